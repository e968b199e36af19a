"""The five descriptors of LEAP, and finding the files that they read.

Below a data root (each part may be missing; CSV and JSON files may end with `.gz`):

    epic100/ (or the root itself)
        EPIC_100_train.csv, EPIC_100_validation.csv, EPIC_100_verb_classes.csv, EPIC_100_noun_classes.csv
    leap/ (or the root itself)
        EPIC_Sounds_*.csv                          EPIC-SOUNDS, categorised or not
        visor/<video>.json                         VISOR
        objects/<video>.npz                        Faster R-CNN, see `detections`; also <video>_detections.npz
                                                   or <name>_<video>_fasterrcnn_objects.npz in leap/ itself
        EPIC_noun_classes.csv                      EPIC-KITCHENS-55's names of the detector's classes
        hand-objects/<video>.pkl                   hand-object detections
        epic_fields/<video>.json                   EPIC Fields
    evidence/<video>.json                          the root is a synthetic kitchen: see `kitchen_evidence`
"""

import re
from collections.abc import Iterable
from pathlib import Path

from leaplan.epic_release import NOUN_CLASSES, find_file
from leaplan.errors import DataError
from leaplan.programs.descriptors.audio import Audio
from leaplan.programs.descriptors.camera import Camera
from leaplan.programs.descriptors.contact import AnnotatedContacts, DetectedContacts, Namer
from leaplan.programs.descriptors.narration import Narration
from leaplan.programs.descriptors.objects import DetectedObjects, Detector, OutlinedObjects, read_names
from leaplan.programs.epic_clips import SPLITS, clips_in
from leaplan.programs.evidence import Clip, Descriptor
from leaplan.programs.hand_objects import HandObjects
from leaplan.programs.visor import Visor
from leaplan.programs.vocabulary import read_classes

VIDEO = re.compile(r"P\d{2}_\d{2,3}(?!\d)")
NAMES = "EPIC_noun_classes.csv"


def descriptors_in(
    root: Path, clips: Iterable[Clip] | None = None, neighbours: int = 1, class_offset: int = 0
) -> list[Descriptor]:
    """Return the descriptors that `root` has files for, ready for an `Assembler`.

    Args:
        root: Laid out as described above.
        clips: Those whose narrations are told as neighbours; all of the annotations by default.
        neighbours: See `Narration`.
        class_offset: Taken off the class ids of detections, see `Detector`.

    Raises:
        DataError: `root` is not a folder, or a file is unreadable.
        ProblemList: Malformed rows.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder", "Give the folder that holds epic100/ and leap/ with --root")
    if (root / "evidence").is_dir():
        from leaplan.programs.kitchen_evidence import descriptors_of

        return descriptors_of(root, neighbours)
    places = [place for place in (root / "leap", root) if place.is_dir()]
    found: list[Descriptor] = [Narration(_neighbours(root, clips) if neighbours else (), neighbours)]
    sounds = list(dict.fromkeys(path for place in places for path in _files(place, "EPIC_Sounds_*.csv")))
    found += [Audio.from_files(sounds)] if sounds else []
    nouns = find_file(root, NOUN_CLASSES)
    visor = Visor(_by_video(places, "visor/*.json"), read_classes(nouns).keys if nouns else ())
    objects = DetectedObjects(_detection_files(places), _detector(places, nouns, class_offset))
    found += [objects, OutlinedObjects(visor)]
    namers: list[Namer] = [visor, objects]
    found += [DetectedContacts(HandObjects(_by_video(places, "hand-objects/*.pkl")), namers), AnnotatedContacts(visor)]
    return [*found, Camera(_by_video(places, "epic_fields/*.json"))]


def _neighbours(root: Path, clips: Iterable[Clip] | None) -> Iterable[Clip]:
    if clips is not None:
        return clips
    splits = [split for split, names in SPLITS.items() if find_file(root, *names)]
    return clips_in(root, splits) if splits else ()


def _files(place: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern, plain or gzipped, sorted; the plain one where both are there."""
    paths = {path.name: path for path in sorted(place.glob(f"{pattern}.gz"))}
    plain = {f"{path.name}.gz": path for path in sorted(place.glob(pattern))}
    return [path for _, path in sorted((paths | plain).items())]


def _by_video(places: Iterable[Path], *patterns: str) -> dict[str, Path]:
    """Return video to file for files that are named after a video and nothing else."""
    paths = (path for place in places for pattern in patterns for path in _files(place, pattern))
    return {path.name.partition(".")[0]: path for path in paths if VIDEO.fullmatch(path.name.partition(".")[0])}


def _detection_files(places: Iterable[Path]) -> dict[str, Path]:
    """Return video to file of detections, the video's id being anywhere in the name."""
    patterns = ("*_fasterrcnn_objects.npz", "*_detections.npz", "objects/*.npz")
    paths = (path for place in places for pattern in patterns for path in sorted(place.glob(pattern)))
    return {match.group(): path for path in paths if (match := VIDEO.search(path.name))}


def _detector(places: Iterable[Path], nouns: Path | None, offset: int) -> Detector:
    names = next((path for place in places for path in _files(place, NAMES)), None)
    return Detector(read_names(names, nouns) if names else {}, offset)

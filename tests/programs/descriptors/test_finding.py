"""What a data root holds is found and described; what it lacks is left out. Real files give their published counts."""

import gzip
import sys
from collections import Counter
from pathlib import Path

import pytest

from leaplan.errors import DataError
from leaplan.programs.descriptors import descriptors_in
from leaplan.programs.descriptors.audio import read_sounds
from leaplan.programs.detections import read_detections
from leaplan.programs.epic_clips import clips_in
from leaplan.programs.evidence import Assembler, Clip
from leaplan.programs.protobuf import PORTABLE_OBJECT, Box, Detections, Hand, Thing
from leaplan.programs.visor import read_visor
from tests.programs.descriptors import test_audio, test_camera
from tests.programs.descriptors.made import CLIP, annotation, write_detections, write_hand_objects, write_visor

VISOR = {  # frames, annotations, of which with a contact field
    "P01_03": (61, 179, 64),
    "P03_22": (46, 113, 55),
    "P04_26": (4, 20, 8),
    "P28_101": (201, 1049, 305),
    "P32_07": (6, 26, 10),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with a file of each kind."""
    leap = tmp_path / "leap"
    box = (0, 0, 480, 270)
    write_visor(leap / "visor" / "P01_01.json", {150: [annotation("k", "knife", 3, (900, 500, 1000, 600))]})
    packed = leap / "visor" / "P01_01.json"
    (leap / "visor" / "P01_01.json.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    test_audio.write(leap / "EPIC_Sounds_validation.csv", test_audio.ROW)
    write_detections(leap / "epic_P01_01_fasterrcnn_objects.npz", [(n, 2, *box, 0.9) for n in range(60, 180)])
    (leap / "EPIC_noun_classes.csv").write_text("noun_id,class_key,nouns\n2,pan,['pan']\n")
    hand = Hand(Box(0.1, 0.1, 0.2, 0.2), 0.9, PORTABLE_OBJECT, (0.0, 0.0), 1)
    frames = [Detections("P01_01", n, (hand,), (Thing(Box(0.0, 0.0, 0.25, 0.25), 0.9),)) for n in range(150, 200)]
    write_hand_objects(leap / "hand-objects" / "P01_01.pkl", frames)
    (leap / "epic_fields").mkdir()
    test_camera.write(leap / "epic_fields" / "P01_01.json", lambda t: (0.0, 0.0, 0.0, 0.0), range(600))
    (leap / "epic_fields" / "P01_01_line.json").write_text("[1, 2, 3, 4, 5, 6]")
    return tmp_path


def test_files_of_every_kind_are_found_and_work_together(root: Path):
    for place in (root, root / "leap"):
        assembler = Assembler(descriptors_in(place, [CLIP]))
        evidence = assembler.evidence(CLIP)
        assert [section.name for section in evidence.sections] == ["narration", "audio", "objects", "contact", "camera"]
        assert "right hand holds pan" in evidence.text()
        assert "pan: 0.0-4.0 s, in 100%" in evidence.text()
        assert "knife: 0.5 s, outlined" in evidence.text()
        assert [(each.hand, each.object) for each in assembler.contacts(CLIP)] == [("right", "pan")]


def test_evidence_is_the_same_in_every_run_and_order(root: Path):
    other = Clip("P01_01_1", "P01_01", 3.0, 5.0, "wash pan", "wash", "pan", ("pan",))
    first = [Assembler(descriptors_in(root, [CLIP, other])).evidence(clip).key() for clip in (CLIP, other)]
    again = [Assembler(descriptors_in(root, [other, CLIP])).evidence(clip).key() for clip in (other, CLIP)]
    assert first == again[::-1]
    assert len(set(first)) == 2


def test_an_empty_root_still_tells_what_the_clip_itself_says(tmp_path: Path):
    evidence = Assembler(descriptors_in(tmp_path)).evidence(CLIP)
    assert evidence.text() == 'Narration:\nsaid: "cut carrot"\nverb: cut\nnoun: carrot\nall nouns: carrot, knife'
    with pytest.raises(DataError, match="is not a folder"):
        descriptors_in(tmp_path / "nowhere")


def test_descriptors_need_nothing_heavy():
    import subprocess

    code = "import sys, leaplan.programs.descriptors; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "lightning", "pandas", "pickle5", "google.protobuf"} & set(loaded)


@pytest.mark.parametrize("video", VISOR)
def test_the_real_visor_files_hold_what_was_counted(shared: Path, video: str):
    frames = read_visor(shared / "data" / "leap" / "visor" / f"{video}.json.gz")
    annotations = [each for frame in frames for each in frame.annotations]
    touching = [each for each in annotations if each.contact is not None]
    assert (len(frames), len(annotations), len(touching)) == VISOR[video]
    assert all(each.hands for each in touching)


def test_the_real_sounds_hold_what_was_counted(shared: Path):
    leap = shared / "data" / "leap"
    sounds = read_sounds(leap / "EPIC_Sounds_validation.csv.gz")
    assert (len(sounds), len({sound.video for sound in sounds})) == (8035, 137)
    assert len(read_sounds(leap / "EPIC_Sounds_not_categorised_P01_01_P28_101.csv.gz")) == 171
    assert read_sounds(leap / "EPIC_Sounds_recognition_test_timestamps.csv.gz") == []


def test_the_real_detections_are_read(shared: Path):
    track = read_detections(shared / "data" / "leap" / "epic_P01_01_fasterrcnn_objects.npz")
    assert track.table.shape == (357, 6)
    assert (track.frame[0], track.frame[-1]) == (1, 100)
    assert track.frames_between(0.14, 3.37) == 96  # 5..100 of 30 a second


def test_real_evidence_of_a_real_root(shared: Path):
    root = shared / "data"
    clips = {clip.id: clip for clip in clips_in(root)}
    assembler = Assembler(descriptors_in(root, clips.values()))
    door = assembler.evidence(clips["P01_01_0"])
    assert door.text() == (
        'Length of the clip: 3.2 s\n\nNarration:\nsaid: "open door"\nverb: open\nnoun: cupboard\n'
        'after (from 4.2 to 6.0 s): "turn on light"\n\n'
        "Objects seen:\nobject 9: 2.5-3.2 s, in 21% of frames, middle, score 0.60"
    )
    of_visor = [clip for clip in clips.values() if clip.video in VISOR]
    told = Counter((clip.video, section.name) for clip in of_visor for section in assembler.evidence(clip).sections)
    for video in VISOR:
        assert told[video, "objects"] > 0
        assert told[video, "contact"] > 0
    chilli = assembler.evidence(clips["P04_26_1"]).text()
    assert "4.9-5.5 s: cut / chop" in chilli
    assert "1.4-4.6 s: right hand holds knife" in chilli

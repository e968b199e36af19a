"""What programs are made for: EPIC-KITCHENS-100, or leaplan's synthetic kitchen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from leaplan.epic_release import NOUN_CLASSES, VERB_CLASSES, need_file
from leaplan.errors import ConfigError, DataError
from leaplan.programs import kitchen_evidence as kitchen
from leaplan.programs.descriptors import descriptors_in
from leaplan.programs.epic_clips import clips_in
from leaplan.programs.evidence import HEADINGS, Assembler, Clip, Contact, Descriptor
from leaplan.programs.kitchen import kitchen_language
from leaplan.programs.kitchen_rules import KitchenRules
from leaplan.programs.language import Language, Program
from leaplan.programs.rules import Rules
from leaplan.programs.vocabulary import EpicVocabulary, epic_language
from leaplan.reading import document_of

ANNOTATIONS = "annotations.json"
MAKE = "Make one:  leaplan check-data synthetic --root FOLDER"
SPLITS = {"train": "train", "val": "val", "validation": "val"}  # what they may be called


class ProgramMaker(Protocol):
    """What makes a program from a clip and its contacts alone."""

    def program_for(self, clip: Clip, contacts: Sequence[Contact] = ()) -> Program:
        """Return the program of `clip`.

        Raises:
            Unsupported: There is none.
        """
        ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """Clips, and all that is needed to make programs for them.

    Args:
        name: "epic" or "kitchen".
        title: As people know it.
        language: Of the programs.
        splits: The split of each clip.
        clips: In the order of the output.
        assembler: Puts evidence together.
        rules: Makes programs without a language model.
        descriptors: What was found of which kind of evidence, for people.
        categories: Category of each object, for the choice of exemplars.
    """

    name: str
    title: str
    language: Language
    splits: tuple[str, ...]
    clips: tuple[Clip, ...]
    assembler: Assembler
    rules: ProgramMaker
    descriptors: tuple[str, ...]
    categories: Mapping[str, str]


def epic_dataset(root: Path, splits: Sequence[str], neighbours: int = 0, class_offset: int = 0) -> Dataset:
    """Return the clips of EPIC-KITCHENS-100 below `root`, split by split.

    Args:
        root: The folder that holds `epic100/` and perhaps `leap/`; see `descriptors.descriptors_in`.
        splits: Of "train" and "val".
        neighbours: How many narrations before and after a clip its evidence tells.
        class_offset: Of the object detections.

    Raises:
        UserError: A file is missing or malformed, or there is no such split.
    """
    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        raise ConfigError(f"EPIC-KITCHENS has no split '{unknown[0]}'", "Give --splits train val, or one of them")
    found = {split: clips_in(root, [split]) for split in dict.fromkeys(SPLITS[each] for each in splits)}
    clips = tuple(clip for each in found.values() for clip in each)
    vocabulary = _epic_vocabulary(root)
    descriptors = descriptors_in(root, clips, neighbours, class_offset)
    return Dataset(
        "epic",
        "EPIC-KITCHENS-100",
        vocabulary.language,
        tuple(split for split, each in found.items() for _ in each),
        clips,
        Assembler(descriptors),
        Rules(vocabulary),
        _kinds(descriptors),
        dict(zip(vocabulary.nouns.keys, vocabulary.nouns.categories, strict=True)),
    )


def kitchen_dataset(root: Path, splits: Sequence[str], neighbours: int = 0) -> Dataset:
    """Return the clips of the synthetic kitchen at `root` (or of the only one below it), of `splits`, or of all.

    Raises:
        UserError: There is no kitchen, or no such split.
    """
    folder = kitchen_folder(root)
    document = document_of(folder / ANNOTATIONS)
    told = {video["id"]: video["split"] for video in document.get("videos", ())}
    unknown = [split for split in splits if split not in told.values()]
    if unknown:
        raise ConfigError(
            f"the kitchen has no split '{unknown[0]}'", f"There are {', '.join(sorted(set(told.values())))}"
        )
    clips = tuple(clip for clip in kitchen.read_clips(folder) if not splits or told[clip.video] in splits)
    language, descriptors = kitchen_language(document.get("vocabulary", {})), kitchen.descriptors_of(folder, neighbours)
    return Dataset(
        "kitchen",
        "the synthetic kitchen",
        language,
        tuple(told[clip.video] for clip in clips),
        clips,
        Assembler(descriptors),
        KitchenRules(language),
        _kinds(descriptors),
        {},
    )


def selected(dataset: Dataset, ids: Sequence[str] = (), limit: int | None = None) -> Dataset:
    """Return `dataset` with the clips of `ids` only, if given, and of those the first `limit`.

    Raises:
        ConfigError: Some of `ids` are no clips, or nothing is left.
    """
    wanted = set(ids)
    unknown = sorted(wanted - {clip.id for clip in dataset.clips})
    if unknown:
        shown = ", ".join(unknown[:5])
        raise ConfigError(f"no clip {shown} in {dataset.title}", "Ids are such as P01_01_0; check --splits as well")
    kept = [at for at, clip in enumerate(dataset.clips) if not wanted or clip.id in wanted][:limit]
    if not kept:
        raise ConfigError(f"no clips of {dataset.title} are left", "Check --splits and --limit")
    splits = tuple(dataset.splits[at] for at in kept)
    return replace(dataset, splits=splits, clips=tuple(dataset.clips[at] for at in kept))


def language_at(root: Path) -> Language:
    """Return the language of the synthetic kitchen at `root`, or else that of EPIC-KITCHENS' class files there.

    Raises:
        UserError: Neither is there, or a file is malformed.
    """
    if _kitchens(root):
        return kitchen_language(document_of(kitchen_folder(root) / ANNOTATIONS).get("vocabulary", {}))
    return _epic_vocabulary(root).language


def _epic_vocabulary(root: Path) -> EpicVocabulary:
    return epic_language(need_file(root, VERB_CLASSES), need_file(root, NOUN_CLASSES))


def _kitchens(root: Path) -> list[Path]:
    if (root / "evidence").is_dir():
        return [root]
    return sorted(path.parent for path in root.glob("kitchen-*/evidence"))


def kitchen_folder(root: Path) -> Path:
    """Return `root` if it is a synthetic kitchen, or else the only one below it.

    Raises:
        DataError: There is none, or there are several.
    """
    found = _kitchens(root)
    if len(found) != 1:
        names = ", ".join(path.name for path in found)
        what = f"has several kitchens: {names}" if found else "has no synthetic kitchen"
        hint = "Give the folder of one of them with --root" if found else MAKE
        raise DataError(f"{root} {what}", hint)
    return found[0]


def _kinds(descriptors: Sequence[Descriptor]) -> tuple[str, ...]:
    names = {descriptor.name for descriptor in descriptors}
    return tuple(name for name in HEADINGS if name in names)

"""What the splits of a dataset hold, and a validation part where the protocol has none."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from leaplan.data.protocols import HORIZONS, PROTOCOLS, Counts
from leaplan.errors import DataError
from leaplan.records import Annotations, Video, WindowRef


def measure(annotations: Annotations) -> dict[str, Counts]:
    """Return what each split holds, empty splits left out."""
    if annotations.windows is not None:
        return {split: _listed(refs) for split, refs in annotations.windows.items() if refs}
    found = {split: annotations.of_split(split) for split in ("train", "val", "test")}
    return {split: _counted(videos) for split, videos in found.items() if videos}


def _counted(videos: tuple[Video, ...]) -> Counts:
    lengths = [len(video.segments) for video in videos]
    t3, t4, t5, t6 = (sum(max(0, length - horizon + 1) for length in lengths) for horizon in HORIZONS)
    return Counts(len(videos), sum(lengths), (t3, t4, t5, t6))


def _listed(references: tuple[WindowRef, ...]) -> Counts:
    t3, t4, t5, t6 = (sum(ref.horizon == horizon for ref in references) or None for horizon in HORIZONS)
    return Counts(len({ref.video for ref in references}), None, (t3, t4, t5, t6))


def checksum(annotations: Annotations) -> str:
    """Return the SHA-256 of the sorted lines "split video", or "split video:first+horizon" of windows."""
    if annotations.windows is not None:
        lines = [
            f"{split} {ref.video}:{ref.first}+{ref.horizon}\n"
            for split, references in annotations.windows.items()
            for ref in references
        ]
    else:
        lines = [f"{video.split} {video.id}\n" for video in annotations.videos if video.split]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def deviation(annotations: Annotations) -> str:
    """Return a note if the splits are not those of the published protocol, else ""."""
    protocol = PROTOCOLS.get(annotations.dataset, {}).get(annotations.protocol)
    if protocol is None or not protocol.sha256 or protocol.sha256 == checksum(annotations):
        return ""
    found = measure(annotations)
    sizes = ", ".join(
        f"{split} {found[split].videos if split in found else 0} of {counts.videos}"
        for split, counts in protocol.splits.items()
    )
    return f"the splits are not those published as '{annotations.protocol}' (videos: {sizes}): do not compare"


def carve_validation(annotations: Annotations, share: float, seed: int) -> Annotations:
    """Move a share of the training videos to the split "val", if the protocol has no validation part.

    The share is taken in each task: rounded, at least one of five or more videos, never all. Videos are
    ranked by a hash of (seed, id), so that neither their order nor the other videos change the choice.
    Where windows are listed, a video's training windows follow it; its test windows stay. A share of 0 moves none.

    Raises:
        DataError: `share` is below 0, or 1 or more, or there are fewer than two training videos.
    """
    if not 0 <= share < 1:
        what = f"validation share is {share}, but must be at least 0 and below 1"
        raise DataError(what, "Set --data.validation 0.1")
    splits = set(annotations.windows or ()) | {video.split for video in annotations.videos}
    if "val" in splits:
        return annotations
    if share == 0:
        note = "no video is set aside for validation: the weights of the last epoch are taken, whatever they score"
        return replace(annotations, notes=(*annotations.notes, note))
    training = [video for video in annotations.of_split("train") if video.segments]
    if len(training) < 2:
        raise DataError(
            f"split 'train' of {annotations.dataset}, protocol '{annotations.protocol}', has "
            f"{len(training)} annotated videos: too few to set some aside for validation",
            f"See what is there:  leaplan check-data {annotations.dataset}",
        )
    chosen = _choose(training, share, seed)
    videos = tuple(replace(v, split="val") if v.id in chosen else v for v in annotations.videos)
    note = (
        f"{len(chosen)} of {len(training)} training videos are set aside for validation "
        f"(share {share:g}, seed {seed}), because the protocol has no validation part"
    )
    return replace(
        annotations,
        videos=videos,
        windows=_moved(annotations.windows, chosen),
        notes=(*annotations.notes, note),
    )


def _choose(training: list[Video], share: float, seed: int) -> set[str]:
    by_task: dict[int | None, list[str]] = defaultdict(list)
    for video in training:
        by_task[video.task].append(video.id)
    chosen: set[str] = set()
    for names in by_task.values():
        wanted = max(round(share * len(names)), 1 if len(names) >= 5 else 0)
        chosen.update(_ranked(names, seed)[: min(wanted, len(names) - 1)])
    return chosen or set(_ranked([video.id for video in training], seed)[:1])


def _ranked(names: list[str], seed: int) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def _moved(
    windows: Mapping[str, tuple[WindowRef, ...]] | None, chosen: set[str]
) -> Mapping[str, tuple[WindowRef, ...]] | None:
    if windows is None:
        return None
    training = windows.get("train", ())
    return {
        **windows,
        "train": tuple(ref for ref in training if ref.video not in chosen),
        "val": tuple(ref for ref in training if ref.video in chosen),
    }

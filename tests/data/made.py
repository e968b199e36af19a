"""Annotations and features made for a test, with a video of each split and steps of whole and half seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from leaplan.records import Annotations, Segment, Step, Video, Vocabulary

WIDTH = 6


def video(name: str, steps: list[int], split: str = "train", task: int | None = 0, gap: float = 2.5) -> Video:
    """A video whose step number i lasts from i * gap + 1 to i * gap + 3 seconds."""
    segments = tuple(Segment(f"{name}:{i}", i * gap + 1, i * gap + 3, step) for i, step in enumerate(steps))
    return Video(name, task, None, split, segments)


def annotations(*videos: Video, classes: int = 9) -> Annotations:
    """The videos, under a vocabulary of `classes` steps and two tasks."""
    steps = tuple(Step(str(10 + i), f"step {i}", 0) for i in range(classes))
    return Annotations("made", "all", Vocabulary(steps, ("a task", "another")), videos, sha256="f" * 64)


def three_splits() -> Annotations:
    """Two training videos, one for validation, one for testing."""
    return annotations(
        video("t_1", [0, 1, 2, 3, 1]),
        video("t_2", [1, 0, 2, 4]),
        video("v", [2, 3, 0, 1], "val"),
        video("x", [4, 3, 2, 1, 0, 0], "test", task=1),
    )


def write_features(folder: Path, given: Annotations, seconds: int = 30, seed: int = 0) -> dict[str, np.ndarray]:
    """Write random `<video>.npy` arrays [seconds, WIDTH] and return them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {v.id: rng.normal(size=(seconds, WIDTH)).astype(np.float32) for v in given.videos}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return arrays


def write_segments(path: Path, given: Annotations, rows: int = 10, leave_out: tuple[str, ...] = ()) -> np.ndarray:
    """Write an archive of the segments not in `leave_out`, shuffled; return features by annotation order."""
    rng = np.random.default_rng(1)
    found = [(v.id, s) for v in given.videos for s in v.segments if s.id not in leave_out]
    features = rng.normal(size=(len(found), rows, WIDTH) if rows else (len(found), WIDTH)).astype(np.float32)
    order = rng.permutation(len(found))
    np.savez(
        path,
        feats=features[order],
        video_id=np.array([found[i][0] for i in order]),
        step_id=np.array([int(given.vocabulary.steps[found[i][1].step].key) for i in order]),
        start=np.array([found[i][1].start for i in order]),
    )
    return features


def moved(given: Annotations, name: str, seconds: float) -> Annotations:
    """The annotations with all segments of a video later by `seconds`."""

    def later(v: Video) -> Video:
        segments = tuple(replace(s, start=s.start + seconds, stop=s.stop + seconds) for s in v.segments)
        return replace(v, segments=segments)

    return replace(given, videos=tuple(later(v) if v.id == name else v for v in given.videos))

"""The embedded synthetic kitchen: simulated, filmed and annotated on this machine, so that anything runs at once."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from leaplan.data.clips import ClipSource, ProgramFile
from leaplan.data.datamodule import VideoDataModule, View
from leaplan.data.kitchen import ensure_kitchen
from leaplan.data.sources import Source
from leaplan.errors import DataError
from leaplan.records import Annotations, Segment, Step, Video, Vocabulary

CACHE = "~/.cache/leaplan"
FOLDERS = ("kitchen-v1-seed7-240",)
FRAME_RATE = 10.0  # of the kitchen's films


class SyntheticKitchen(VideoDataModule):
    """The synthetic kitchen. Its features are those of its decoded videos, a row per second.

    Args:
        root: Cache folder in which the kitchen is made once.
        view, source: As `VideoDataModule`.
        protocol: "people": persons of one split are in no other.
        batch_size: Samples per batch and process.
        kitchen_seed: Of the simulator.
        videos: How many.
        programs, workers: As `VideoDataModule`.
    """

    dataset = "synthetic"

    def __init__(
        self,
        root: str | Path = CACHE,
        view: View | None = None,
        source: Source | ClipSource | None = None,
        protocol: str = "people",
        batch_size: int = 32,
        kitchen_seed: int = 7,
        videos: int = 240,
        programs: ProgramFile | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__(root, view, source, protocol, batch_size, programs=programs, workers=workers)
        self.kitchen_seed, self.videos = kitchen_seed, videos

    def prepare_data(self) -> None:
        """Make the kitchen, on one process only."""
        make_kitchen(self.root, self.kitchen_seed, self.videos)

    @property
    def folder(self) -> Path:
        """The kitchen's folder, made where it is missing."""
        return make_kitchen(self.root, self.kitchen_seed, self.videos)

    def read(self) -> Annotations:
        """Return the kitchen's annotations; see `read_synthetic`."""
        return read_synthetic(self.root, self.protocol, self.kitchen_seed, self.videos)


def read_synthetic(root: Path, protocol: str = "people", seed: int = 7, videos: int = 240) -> Annotations:
    """Return the annotations of the kitchen below `root`, made first where it is missing.

    Raises:
        DataError: Another protocol than "people", or the folder cannot be written.
    """
    if protocol != "people":
        raise DataError(f"the synthetic kitchen has no protocol '{protocol}'", "Use protocol people")
    folder = make_kitchen(root, seed, videos)
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    classes = content["vocabulary"]
    vocabulary = Vocabulary(
        steps=tuple(
            Step(str(index), step["name"], None, step["verb"], step["noun"])
            for index, step in enumerate(classes["steps"])
        ),
        tasks=tuple(classes["tasks"]),
        verbs=tuple(classes["verbs"]),
        nouns=tuple(classes["nouns"]),
    )
    return Annotations(
        dataset="synthetic",
        protocol=protocol,
        vocabulary=vocabulary,
        videos=tuple(_video(entry) for entry in content["videos"]),
        notes=("simulated videos: figures say that the software works, not how well a planner plans",),
        sha256=json.loads((folder / "complete.json").read_text(encoding="utf-8"))["sha256"]["annotations.json"],
    )


def make_kitchen(root: Path, seed: int, videos: int) -> Path:
    """Return the kitchen's folder; while it is made, show how far it is."""
    if not sys.stderr.isatty():
        return ensure_kitchen(root, seed=seed, videos=videos, progress=_print_tenths)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("making the synthetic kitchen (once)", total=videos, visible=False)
        return ensure_kitchen(
            root, seed=seed, videos=videos, progress=lambda n, _: bar.update(task, completed=n, visible=True)
        )


def _print_tenths(done: int, videos: int) -> None:
    if done % max(1, videos // 4) == 0:
        print(f"making the synthetic kitchen (once): {done} of {videos} videos", file=sys.stderr, flush=True)


def _video(entry: dict[str, object]) -> Video:
    segments = entry["segments"]
    assert isinstance(segments, list)
    return Video(
        id=str(entry["id"]),
        task=int(str(entry["task"])),
        duration=float(str(entry["duration"])),
        split=str(entry["split"]),
        segments=tuple(Segment(s["id"], s["start"], s["stop"], s["step"], s["text"]) for s in segments),
        person=str(entry["person"]),
        frame_rate=FRAME_RATE,
    )

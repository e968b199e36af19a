"""The dataset of a run, as far as it is at hand: class names, times of samples, step orders of training, videos."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from leaplan.data.datamodule import VideoDataModule
from leaplan.data.kitchen.files import MARKER, folder_of
from leaplan.data.synthetic import SyntheticKitchen
from leaplan.data.video_files import index_videos
from leaplan.data.views import PlanningWindows
from leaplan.errors import DataError, UserError
from leaplan.on_runs.folders import RunFolder, at
from leaplan.records import Annotations, Vocabulary

PLACES = ("videos", "")  # of videos, in a dataset's folder


@dataclass(frozen=True)
class Times:
    """When a sample happens.

    Args:
        start, stop: Seconds, of the whole sample.
        seen: Moments that are worth a picture: start and goal of a window, moments within a clip.
    """

    start: float
    stop: float
    seen: tuple[float, ...]


@dataclass(frozen=True)
class AtHand:
    """What a report may take from the dataset.

    Args:
        vocabulary: Class names, None where the dataset is not there.
        times: Sample id to when it happens.
        orders: Step ids of each training video, with its task (-1 without one).
        videos: Video id to its file.
        frame_rate: Video id to the rate that pictures of a folder are counted in.
        folder: Of the dataset, None where it is not there.
        missing: Why something is missing, for people; "" where nothing is.
    """

    vocabulary: Vocabulary | None = None
    times: Mapping[str, Times] = field(default_factory=dict)
    orders: Sequence[tuple[int, tuple[int, ...]]] = ()
    videos: Mapping[str, Path] = field(default_factory=dict)
    frame_rate: Mapping[str, float | None] = field(default_factory=dict)
    folder: Path | None = None
    missing: str = ""


def open_dataset(run: RunFolder, root: str = "") -> AtHand:
    """Return what is at hand of the dataset that `run` was evaluated on. Nothing is raised: `missing` tells why.

    Args:
        run: Its config.yaml tells the dataset.
        root: Folder of the dataset; "" looks where training did, from here and from beside the folder of runs.
    """
    if not run.config.get("data"):
        return AtHand(missing="config.yaml does not tell the dataset: classes are numbered where no file names them")
    reasons = []
    for place in [root] if root else _places(run):
        try:
            return _read(run, place)
        except UserError as error:
            reasons.append(error.what.splitlines()[0])
        except Exception as error:  # a parser raises anything; a report does without the dataset
            reasons.append(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason told'}")
    why = f"the dataset is not at hand ({reasons[0]})"
    return AtHand(missing=f"{why}. Say where it is:  leaplan report {run.folder} --root FOLDER")


def _places(run: RunFolder) -> list[str]:
    """Return folders where the dataset may lie: as training was told, relative to here or to the folder above runs."""
    told = str(at(run.config, "root") or at(run.config, "data", "init_args", "root") or "data")
    beside = Path(os.path.normpath(run.folder.resolve().parent.parent / Path(told).expanduser()))
    return list(dict.fromkeys([told, str(beside)]))


def _read(run: RunFolder, root: str) -> AtHand:
    data = _data_module(run, root)
    if isinstance(data, SyntheticKitchen):
        made = folder_of(data.root, data.kitchen_seed, data.videos)
        if not (made / MARKER).is_file():  # a report makes no kitchen
            raise DataError(f"{made} is not there")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        annotations = data.annotations
    files = _videos(data, [video.id for video in annotations.of_split(run.split)])
    return AtHand(
        vocabulary=annotations.vocabulary,
        times=_times(data, annotations, run.split),
        orders=[
            (-1 if video.task is None else video.task, tuple(segment.step for segment in video.segments))
            for video in annotations.of_split("train")
        ],
        videos=files,
        frame_rate={video.id: video.frame_rate for video in annotations.videos},
        folder=data.folder,
        missing="" if files else f"no videos of the split {run.split} below {data.folder}: no pictures are shown",
    )


def _data_module(run: RunFolder, root: str) -> VideoDataModule:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoDataModule, "data")
    config: dict[str, Any] = dict(run.config["data"])
    settings = {**config.get("init_args", {}), "root": root}
    settings.pop("programs", None)
    view = dict(settings.get("view") or {})
    if str(view.get("class_path", "")).endswith("PlanningWindows"):
        view["init_args"] = {**view.get("init_args", {}), "horizon": run.config.get("horizon", 3)}
    settings["view"] = view
    parsed = parser.parse_object({"data": {**config, "init_args": settings}})
    built: VideoDataModule = parser.instantiate(parsed).data
    return built


def _videos(data: VideoDataModule, ids: Sequence[str]) -> dict[str, Path]:
    own = str(getattr(data.source, "folder", ""))
    for name in dict.fromkeys((own, *PLACES)):
        folder = data.folder / name
        if folder.is_dir() and (found := index_videos(folder, ids)):
            return found
    return {}


def _times(data: VideoDataModule, annotations: Annotations, split: str) -> dict[str, Times]:
    if isinstance(data.view, PlanningWindows):
        windows = data.view(annotations, split)
        return {w.sample_id: Times(w.start_time, w.goal_time, (w.start_time, w.goal_time)) for w in windows}
    found = {}
    for clip in data.view(annotations, split):
        shown = [window for window in clip.windows if window is not None]
        if shown:
            start, stop = shown[0].start, shown[-1].stop
            found[clip.sample_id] = Times(start, stop, tuple(start + (stop - start) * q for q in (0.1, 0.5, 0.9)))
    return found

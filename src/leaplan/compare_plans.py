"""Planning runs for `leaplan compare`: which windows their seeds planned right, as shares of the same windows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from leaplan.errors import ConfigError, DataError
from leaplan.planning.score import SHOWN, read_predictions
from leaplan.planning.scoring.figures import ratios
from leaplan.planning.scoring.predictions import Predictions
from leaplan.recognition.intervals import Share

USUAL = ("success_rate", "mean_accuracy", "mean_iou")
PATTERN = re.compile(rf"(?:(?P<decoding>\w+)\.)?(?P<figure>{'|'.join(SHOWN)})")
FIGURES = f"{', '.join(SHOWN)}; of one decoding, viterbi.success_rate"


@dataclass(frozen=True)
class PlannedWindows:
    """What planning runs made of the windows that all of them have. N windows.

    Args:
        shares: Label to one entry per seed: names such as "viterbi.success_rate" to their shares (N,).
        videos: (N,), or the windows' own ids where files tell no videos.
        left_out: How many windows some run has and others have not.
    """

    shares: Mapping[str, list[dict[str, Share]]]
    videos: tuple[str, ...]
    left_out: int


def files_of_plans(models: Mapping[str, Sequence[Path]], split: str) -> dict[str, list[Path]]:
    """Return the files of plans of planning runs, label to one per seed; {} of runs that recognise or anticipate.

    Raises:
        DataError: Some runs plan and others do not.
    """
    found = {folder: _file_of(folder, split) for folders in models.values() for folder in folders}
    if not any(found.values()):
        return {}
    for folder, path in found.items():
        if path is None:
            what = f"{folder} has no plans in predictions/{split}.jsonl, but other runs have"
            raise DataError(what, "Compare planning runs with one another, each evaluated by  leaplan test")
    return {label: [path for folder in folders if (path := found[folder])] for label, folders in models.items()}


def _file_of(folder: Path, split: str) -> Path | None:
    """Return the plans of a planning run. Runs that recognise or anticipate have scores beside their predictions."""
    path = folder / "predictions" / f"{split}.jsonl"
    return path if path.is_file() and not path.with_suffix(".npz").is_file() else None


def read_plans(models: Mapping[str, Sequence[Path]], figures: Sequence[str] | None) -> PlannedWindows:
    """Read the plans of models over their seeds, cut to their common windows.

    Args:
        models: Label to files of plans.
        figures: Names; None takes the usual ones of each decoding.

    Raises:
        ConfigError: There is no such figure.
        DataError: A file is damaged or lacks a figure, runs have no window in common, or the true steps of one differ.
    """
    for name in figures or ():
        if not PATTERN.fullmatch(name):
            raise ConfigError(f"'{name}' is no figure of plans", f"Such as {FIGURES}")
    files = {label: [read_predictions(path) for path in paths] for label, paths in models.items()}
    everything = [file for seeds in files.values() for file in seeds]
    common = sorted(set.intersection(*(set(file.sample_ids) for file in everything)))
    if not common:
        raise DataError(f"{everything[0].path} and the others have no window in common", "Compare runs of one data set")
    first, *_ = cut = [_cut(file, common) for file in everything]
    for file in cut:
        if not torch.equal(file.target, first.target):
            what = f"{file.path} has other true steps than {first.path}"
            raise DataError(what, "Compare runs of one data set and one horizon")
    shares = iter([_shares(file, figures or USUAL) for file in cut])
    found = {label: [next(shares) for _ in seeds] for label, seeds in files.items()}
    left_out = len(set().union(*(file.sample_ids for file in everything))) - len(common)
    return PlannedWindows(found, first.videos or first.sample_ids, left_out)


def heading(name: str) -> str:
    """Return a figure as tables call it, such as "viterbi SR"; another name as it is."""
    decoding, _, figure = name.rpartition(".")
    return f"{decoding} {SHOWN[figure]}" if decoding and figure in SHOWN else name


def _cut(file: Predictions, samples: Sequence[str]) -> Predictions:
    place = {sample: row for row, sample in enumerate(file.sample_ids)}
    return file.at([place[sample] for sample in samples])


def _shares(file: Predictions, figures: Sequence[str]) -> dict[str, Share]:
    """Return what is asked for of each decoding that the file has."""
    found = {}
    for decoding in file.plans:
        parts = ratios(file, decoding)
        for column, figure in enumerate(parts.names):
            if figure in figures or f"{decoding}.{figure}" in figures:
                below = parts.denominators[:, column]
                hit = parts.numerators[:, column] / below.clip(min=1)  # 0 where the window does not count
                found[f"{decoding}.{figure}"] = Share(hit, below)
    for name in figures:
        if not any(each == name or each.endswith(f".{name}") for each in found):
            raise DataError(f"{file.path} lacks {name}", f"Its decodings are {', '.join(file.plans)}")
    return found

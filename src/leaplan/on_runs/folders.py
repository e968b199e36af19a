"""Run folders as they were left: figures, settings, learning curves; which of them are seeds of one model."""

import csv
import glob
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from leaplan.compare import labelled_folders
from leaplan.errors import ConfigError, DataError
from leaplan.training.results import read_results

SEE_RUNS = "Give folders of runs:  leaplan report runs/NAME"
SEED = re.compile(r"-(?:seed)?(\d+)$")
OUTCOMES = ("results.json", "config.yaml")
PROGRAMS = ("programs.jsonl", "programs.parquet")


@dataclass(frozen=True)
class RunFolder:
    """What a run left.

    Args:
        folder: `runs/<name>`.
        split: Which predictions are shown.
        results: Of `results.json`, {} without one.
        config: Of `config.yaml`, {} without one.
        epochs: Columns of `metrics.csv`: name to one number or None per line; {} without one.
    """

    folder: Path
    split: str
    results: Mapping[str, Any] = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    epochs: Mapping[str, list[float | None]] = field(repr=False)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def task(self) -> str:
        """What it was trained for: "planning", "recognition", "anticipation"; "" where nothing tells."""
        told = self.results.get("task")
        if isinstance(told, str):
            return told
        view = str(at(self.config, "data", "init_args", "view", "class_path"))
        kinds = {"PlanningWindows": "planning", "ActionClips": "recognition", "AnticipationClips": "anticipation"}
        return kinds.get(view.rpartition(".")[2], "")

    @property
    def protocol(self) -> Mapping[str, Any]:
        """How the figures were measured, {} where nothing was."""
        return mapping(self.results.get("protocol"))

    @property
    def figures(self) -> Mapping[str, Any]:
        """The figures of the split, {} where it was not evaluated."""
        return mapping(at(self.results, "metrics", self.split))

    @property
    def seed(self) -> int | None:
        """The seed it was trained with, None where nothing tells."""
        for value in (self.protocol.get("seed"), self.config.get("seed_everything")):
            if isinstance(value, int):
                return value
        return None

    def predictions(self, suffix: str = ".jsonl") -> Path | None:
        """The file of predictions of the split, None where there is none."""
        path = self.folder / "predictions" / f"{self.split}{suffix}"
        return path if path.is_file() else None

    @cached_property
    def setting(self) -> dict[str, Any]:
        """What runs must share to stand in one table: task, data, split and question, but not model or features."""
        data, told = mapping(self.results.get("data")), self.protocol
        config = mapping(self.config.get("data"))
        dataset = data.get("dataset") or str(config.get("class_path", "")).rpartition(".")[2].lower()
        named = {
            "task": self.task,
            "dataset": dataset,
            "protocol": data.get("protocol") or at(config, "init_args", "protocol") or "",
            "annotations": data.get("sha256"),
            "split": self.split,
        }
        asked = ("horizon", "observes", "gap_seconds", "task_given") if self.results else ()
        return named | {name: told.get(name) for name in asked}

    @property
    def command(self) -> str:
        """The command that makes what is missing."""
        return f"leaplan test --config {self.folder / 'config.yaml'}"


@dataclass(frozen=True)
class Model:
    """Runs that differ in nothing but the seed.

    Args:
        label: What people call it.
        runs: One per seed.
    """

    label: str
    runs: tuple[RunFolder, ...]


def read_runs(arguments: Sequence[str], split: str) -> tuple[list[Model], list[Path]]:
    """Return the models that the command line names, and its folders of programs.

    Args:
        arguments: "runs/a", "runs/a-seed*", or "label=runs/a,runs/b"; the same folder twice counts once.
        split: Whose predictions are shown.

    Raises:
        ConfigError: A pattern fits nothing, or the runs of a label differ in their setting.
        DataError: A folder is no run, or a file in it is damaged.
    """
    models: dict[str, list[RunFolder]] = {}
    programs: list[Path] = []
    known: set[Path] = set()
    for argument in arguments:
        label, folders = _named(argument)
        for folder in folders:
            if folder.resolve() in known:
                continue
            known.add(folder.resolve())
            if _holds_programs(folder):
                programs.append(folder)
                continue
            run = read_folder(folder, split)
            models.setdefault(label or _without_seed(run), []).append(run)
    _refuse_mixed(models)
    return [Model(label, tuple(runs)) for label, runs in models.items()], programs


def _named(argument: str) -> tuple[str, list[Path]]:
    if "=" in argument and not Path(argument).exists():
        return labelled_folders(argument)
    names = sorted(glob.glob(argument)) if glob.has_magic(argument) else [argument]  # noqa: PTH207, may be absolute
    if not names:
        raise ConfigError(f"no folder is called {argument}", SEE_RUNS)
    return "", [Path(name).expanduser() for name in names]


def _holds_programs(folder: Path) -> bool:
    if folder.is_file():
        return folder.name.endswith((".jsonl", ".parquet"))
    return any((folder / name).is_file() for name in PROGRAMS)


def read_folder(folder: Path, split: str) -> RunFolder:
    """Return what is in a run folder.

    Raises:
        DataError: It is none, or a file in it is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} {'is a file' if folder.exists() else 'does not exist'}", SEE_RUNS)
    if not any((folder / name).is_file() for name in OUTCOMES):
        study = "; it holds the tables of a study: name the runs of it" if (folder / "tables.json").is_file() else ""
        what = f"{folder} is no run: it holds neither {' nor '.join(OUTCOMES)}{study}"
        raise DataError(what, SEE_RUNS)
    run = RunFolder(folder, split, read_results(folder), _config(folder), _epochs(folder / "metrics.csv"))
    if run.task not in ("planning", "recognition", "anticipation"):
        what = f"{folder} tells no task: neither results.json nor config.yaml is of a run of leaplan"
        raise DataError(what, SEE_RUNS)
    return run


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.yaml"
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not YAML ({reason})", "Move it away, or train the run again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, not settings", "Move it away, or train again")
    return content


def _epochs(path: Path) -> dict[str, list[float | None]]:
    if not path.is_file():
        return {}
    mend = "Move it away: the page is then made without learning curves"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no table ({error})", mend) from error
    columns: dict[str, list[float | None]] = {name: [] for name in header}
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise DataError(f"{path}, line {number}: {len(line)} values, but there are {len(header)} columns", mend)
        for name, value in zip(header, line, strict=True):
            try:
                number_read = float(value) if value else None
            except ValueError as error:
                raise DataError(f"{path}, line {number}: '{value}' under '{name}' is no number", mend) from error
            columns[name].append(number_read if number_read is None or math.isfinite(number_read) else None)
    return columns


def _without_seed(run: RunFolder) -> str:
    """Return the run's name without its seed, if its name ends in the seed."""
    found = SEED.search(run.name)
    return run.name[: found.start()] if found and int(found[1]) == run.seed else run.name


def _refuse_mixed(models: Mapping[str, Sequence[RunFolder]]) -> None:
    for label, (first, *others) in models.items():
        for other in others:
            differing = [name for name, value in first.setting.items() if other.setting.get(name) != value]
            if differing:
                was, found = first.setting[differing[0]], other.setting.get(differing[0])
                raise ConfigError(
                    f"'{label}' stands for runs of one setting, but {differing[0]} is {was} in {first.folder} "
                    f"and {found} in {other.folder}",
                    "Give them labels of their own:  leaplan report a=runs/x b=runs/y",
                )


def by_setting(models: Sequence[Model]) -> list[list[Model]]:
    """Return the models that may stand in one table, group by group, in the order of the command line."""
    groups: dict[str, list[Model]] = {}
    for model in models:
        groups.setdefault(repr(sorted(model.runs[0].setting.items())), []).append(model)
    return list(groups.values())


def mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is a mapping, else {}."""
    return value if isinstance(value, Mapping) else {}


def at(content: Any, *names: str) -> Any:
    """Return what lies under nested `names`, None where one of them is missing."""
    for name in names:
        content = mapping(content).get(name)
    return content

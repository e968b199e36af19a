"""Two runs trained at once, each by `leaplan fit` in a process of its own, with a bar for each."""

import csv
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from leaplan.errors import UserError
from leaplan.training.results import read_results

POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Training:
    """A run to be trained.

    Args:
        what: What people call it.
        folder: Of the run.
        films: Of the kitchen that it learns from.
        epochs: How many it will have.
        arguments: Of `leaplan fit`.
    """

    what: str
    folder: Path
    films: int
    epochs: int
    arguments: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether its results on the test split are there."""
        return "test" in read_results(self.folder).get("metrics", {})

    @property
    def kept(self) -> tuple[int, int] | None:
        """Films and epochs of the run that is in the folder, begun or finished; None where there is none."""
        settings = self.folder / "config.yaml"
        if not settings.is_file():
            return None
        content = yaml.safe_load(settings.read_text(encoding="utf-8"))
        return content["data"]["init_args"]["videos"], content["trainer"]["max_epochs"]

    @property
    def done(self) -> int:
        """Epochs so far."""
        table = self.folder / "metrics.csv"
        if not table.is_file():
            return 0
        with table.open(encoding="utf-8") as rows:
            return sum(1 for _ in csv.reader(rows)) - 1

    @property
    def log(self) -> Path:
        """What it says while it is trained."""
        return self.folder / "log.txt"


def train(runs: Sequence[Training], jobs: int) -> None:
    """Train what is not finished, `jobs` at a time. Cut off, each continues where it was.

    Raises:
        UserError: A run failed; the others are ended.
    """
    waiting, active = [run for run in runs if not run.finished], dict[Training, "subprocess.Popen[bytes]"]()
    with _Signs(waiting) as signs:
        try:
            while waiting or active:
                while waiting and len(active) < jobs:
                    run = waiting.pop(0)
                    active[run] = _start(run)
                time.sleep(POLL_SECONDS)
                signs.tell()
                for run in [run for run, process in active.items() if process.poll() is not None]:
                    if active.pop(run).returncode != 0 or not run.finished:
                        raise UserError(f"training the {run.what} failed: {_reason(run.log)}", f"See {run.log}")
        finally:
            for process in active.values():
                process.kill()
                process.wait()


def _start(run: Training) -> "subprocess.Popen[bytes]":
    run.folder.mkdir(parents=True, exist_ok=True)
    with run.log.open("wb") as log:
        command = [sys.executable, "-m", "leaplan", "fit", *run.arguments]
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _reason(log: Path) -> str:
    """Return the line of a log that tells why a run ended."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith("leaplan: ")), lines[-1] if lines else "it said nothing")
    return told.removeprefix("leaplan: ")


class _Signs:
    """A bar for each run on a terminal; elsewhere a line for each quarter of it."""

    def __init__(self, runs: Sequence[Training]) -> None:
        self.runs = tuple(runs)
        console = Console()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"))
        self.bars = Progress(*columns, TimeElapsedColumn(), console=console) if console.is_terminal else None
        self.told: dict[Training, int] = {}

    def __enter__(self) -> "_Signs":
        if self.bars is not None:
            self.bars.start()
            for run in self.runs:
                self.bars.add_task(run.what, total=run.epochs, completed=run.done)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bars is not None:
            self.bars.stop()

    def tell(self) -> None:
        """Say how far the runs are."""
        for place, run in enumerate(self.runs):
            done = run.done
            if self.bars is not None:
                self.bars.update(self.bars.task_ids[place], completed=done)
            elif done // max(1, run.epochs // 4) > self.told.get(run, 0):
                self.told[run] = done // max(1, run.epochs // 4)
                print(f"  {run.what}: epoch {done} of {run.epochs}", flush=True)

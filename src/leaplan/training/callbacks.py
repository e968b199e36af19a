"""What a run does besides learning: equal epochs after a resume, one table of numbers, a sign of life."""

import csv
import io
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from leaplan.measuring import peak_memory_mb
from leaplan.writing import write_text


class EpochSeed(Callback):
    """Seed each training epoch by (run's seed, epoch, process), so that a resumed run repeats itself.

    Dropout and noise of an epoch then depend on nothing that a killed process took with it.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed torch before the epoch's first batch."""
        torch.manual_seed((self.seed * 1_000_003 + trainer.current_epoch) * 4099 + trainer.global_rank)


def keep_best_and_last(folder: Path, monitor: str, every: int) -> list[Checkpoint]:
    """Return callbacks that keep the weights of the `best.ckpt` by the largest `monitor`, and a `last.ckpt`.

    Both are replaced in one step. Without `monitor` the best are those of the last epoch.
    """
    best = ModelCheckpoint(
        folder,
        "best",
        monitor or None,
        mode="max",
        save_weights_only=True,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    return [best, LastCheckpoint(folder / "last.ckpt", every)]


class LastCheckpoint(Checkpoint):
    """What a run continues from: with the optimiser, and knowing which checkpoint was the best.

    Args:
        path: Written every `every` epochs, and when training ends, however many epochs it had.
        every: Epochs.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self._step = -1  # at which it was written last

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it, if it is time; the best checkpoint of this epoch was chosen before."""
        if (trainer.current_epoch + 1) % self.every == 0:
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it, unless this step was."""
        if self._step != trainer.global_step:
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        self._step = trainer.global_step
        trainer.save_checkpoint(self.path)


class EpochTable(Checkpoint):
    """One row per epoch in `metrics.csv`, complete also after a resume.

    It is a `Checkpoint` because Lightning calls only those after the module has logged the last of an epoch.

    Args:
        path: The table. Rows from a resumed epoch on are written anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the rows of the epochs before this one."""
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            self.rows = [row for row in rows if int(row["epoch"]) < trainer.current_epoch]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Append this epoch's row; the table is replaced in one step."""
        if not trainer.is_global_zero:
            return
        values = {key: f"{float(value):.8g}" for key, value in sorted(trainer.logged_metrics.items())}
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step, **values})
        names = sorted({name for row in self.rows for name in row} - {"epoch", "step"})
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, ["epoch", "step", *names], restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_text(self.path, text.getvalue())


class _BarAboveValues(Progress):
    """A bar, and a line of values below it: beside it they would leave no room on 80 columns."""

    values = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return both."""
        yield self.make_tasks_table(self.tasks)
        if self.values:
            yield Text(self.values, style="dim")


class EpochProgress(Callback):
    """A bar over the epochs on a terminal, about ten plain lines elsewhere.

    Args:
        watch: Names of logged values to show, fractions in percent.
    """

    def __init__(self, watch: Sequence[str]) -> None:
        self.watch = tuple(watch)
        self.console = Console()
        self.bar: _BarAboveValues | None = None
        self.began = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the bar."""
        self.began = time.monotonic()
        if trainer.is_global_zero and self.console.is_terminal:
            columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
            self.bar = _BarAboveValues(*columns, console=self.console)
            self.bar.start()
            self.bar.add_task("", total=trainer.max_epochs, completed=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the bar, or print a line."""
        if not trainer.is_global_zero:
            return
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 1
        if self.bar is not None:
            self.bar.values = self._values(trainer)
            self.bar.update(self.bar.task_ids[0], completed=done)
        elif done == total or done % max(1, total // 10) == 0:
            seconds = time.monotonic() - self.began
            print(f"epoch {done}/{total}  {self._values(trainer)}  {seconds:.0f} s", flush=True)

    def _values(self, trainer: Trainer) -> str:
        parts = []
        for name in self.watch:
            if name in trainer.logged_metrics:
                value = float(trainer.logged_metrics[name])
                parts.append(f"{name} {value:.3f}" if "loss" in name else f"{name} {100 * value:.1f} %")
        return "  ".join(parts)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


class Stopwatch(Callback):
    """Seconds spent in `fit`, over all starts of the run."""

    def __init__(self) -> None:
        self.before, self.began = 0.0, 0.0

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self.before + (time.monotonic() - self.began if self.began else 0.0)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self.began = time.monotonic()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop."""
        self.before, self.began = self.seconds, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Keep the seconds in the checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.before = float(state_dict["seconds"])


def cost_of(module: LightningModule) -> dict[str, Any]:
    """Return what `results.json` says of a run's cost: parameters, memory, and seconds where they were counted."""
    parameters = list(module.parameters())
    cost: dict[str, Any] = {
        "parameters": {
            "total": sum(p.numel() for p in parameters),
            "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        },
        "peak_memory_mb": peak_memory_mb(),
    }
    watch = next((c for c in module.trainer.callbacks if isinstance(c, Stopwatch)), None)
    if watch is not None:
        cost["seconds"] = round(watch.seconds, 1)
    return cost

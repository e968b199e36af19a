"""What a run does besides learning survives a resume: the table, the random numbers, the seconds."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from leaplan.training import callbacks
from leaplan.training.callbacks import EpochProgress, EpochSeed, EpochTable, Stopwatch, keep_best_and_last


def trainer(epoch: int = 0, rank: int = 0, **logged: float) -> SimpleNamespace:
    """As much of a trainer as a callback looks at."""
    return SimpleNamespace(
        current_epoch=epoch,
        global_step=10 * (epoch + 1),
        global_rank=rank,
        is_global_zero=rank == 0,
        max_epochs=4,
        logged_metrics={name.replace("_", "/"): torch.tensor(value) for name, value in logged.items()},
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def draw(epoch: int, seed: int = 7, rank: int = 0, before: int = 0) -> list[float]:
    torch.manual_seed(123)
    torch.rand(before)
    EpochSeed(seed).on_train_epoch_start(trainer(epoch, rank), None)
    return torch.rand(3).tolist()


def test_an_epoch_draws_the_same_numbers_whatever_came_before():
    assert draw(5) == draw(5, before=17)


def test_epochs_seeds_and_processes_draw_different_numbers():
    drawn = [draw(epoch, seed, rank) for epoch in range(5) for seed in (7, 8) for rank in range(3)]
    assert len({tuple(numbers) for numbers in drawn}) == len(drawn)


def run_epochs(path: Path, *epochs: int) -> EpochTable:
    table = EpochTable(path)
    table.on_train_start(trainer(epochs[0]), None)
    for epoch in epochs:
        table.on_train_epoch_end(trainer(epoch, train_loss=1 / (epoch + 3), val_rate=epoch / 7), None)
    return table


def test_the_table_has_a_row_per_epoch(tmp_path):
    run_epochs(tmp_path / "metrics.csv", 0, 1)
    assert rows(tmp_path / "metrics.csv") == [
        {"epoch": "0", "step": "10", "train/loss": "0.33333334", "val/rate": "0"},
        {"epoch": "1", "step": "20", "train/loss": "0.25", "val/rate": "0.14285715"},
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_the_table_of_a_resumed_run_is_that_of_an_uninterrupted_one(stop, tmp_path):
    run_epochs(tmp_path / "whole.csv", *range(5))
    run_epochs(tmp_path / "cut.csv", *range(stop + 1))  # the last row is of an epoch that no checkpoint holds
    run_epochs(tmp_path / "cut.csv", *range(stop, 5))
    assert (tmp_path / "cut.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_the_table_of_an_abandoned_run_is_not_continued_by_a_new_one(tmp_path):
    run_epochs(tmp_path / "metrics.csv", 0, 1, 2)
    run_epochs(tmp_path / "metrics.csv", 0)
    assert [row["epoch"] for row in rows(tmp_path / "metrics.csv")] == ["0"]


def test_a_value_that_appears_later_gets_a_column_and_earlier_rows_stay_empty(tmp_path):
    table = run_epochs(tmp_path / "metrics.csv", 0)
    table.on_train_epoch_end(trainer(1, val_other=0.5), None)
    assert [row["val/other"] for row in rows(tmp_path / "metrics.csv")] == ["", "0.5"]
    assert [row["train/loss"] for row in rows(tmp_path / "metrics.csv")] == ["0.33333334", ""]


def test_only_the_first_process_writes_the_table(tmp_path):
    EpochTable(tmp_path / "metrics.csv").on_train_epoch_end(trainer(rank=1, val_a=1.0), None)
    assert list(tmp_path.iterdir()) == []


def test_progress_prints_fractions_in_percent_and_losses_as_they_are(capsys):
    progress = EpochProgress(["train/loss", "val/rate", "absent"])
    progress.on_fit_start(trainer(), None)
    for epoch in range(4):
        progress.on_train_epoch_end(trainer(epoch, train_loss=1.5, val_rate=0.25), None)
    progress.on_train_epoch_end(trainer(0, rank=1, train_loss=1.5), None)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["epoch 1/4", "epoch 2/4", "epoch 3/4", "epoch 4/4"]
    assert all("train/loss 1.500  val/rate 25.0 %  " in line for line in lines)


def test_seconds_are_counted_over_all_starts_of_a_run(monkeypatch):
    clock = iter([100.0, 130.0, 131.0, 500.0, 504.0, 505.0])
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: next(clock))
    first = Stopwatch()
    first.on_fit_start(trainer(), None)
    state = first.state_dict()  # saved after 30 s, killed later
    second = Stopwatch()
    second.load_state_dict(state)
    assert second.seconds == 30.0
    second.on_fit_start(trainer(), None)  # at 131 s of another clock
    second.on_fit_end(trainer(), None)
    assert second.seconds == 30.0 + 369.0


def test_the_best_checkpoint_is_that_of_the_largest_figure(tmp_path):
    best, last = keep_best_and_last(tmp_path, "val/selection", 5)
    assert (best.filename, best.monitor, best.mode, best.save_top_k) == ("best", "val/selection", "max", 1)
    assert (last.path, last.every) == (tmp_path / "last.ckpt", 5)


class Counting(LightningModule):
    """Logs the number of the epoch when the epoch ends, as late as a module can."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, index):
        return (self.weight * batch).sum()

    def on_train_epoch_end(self):
        self.log("train/late", float(self.current_epoch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder: Path, epochs: int, every: int, start: str | None = None, steps: int = -1) -> Trainer:
    silent = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    callbacks = [EpochTable(folder / "metrics.csv"), *keep_best_and_last(folder, "train/late", every)]
    run = Trainer(max_epochs=epochs, max_steps=steps, callbacks=callbacks, default_root_dir=folder, **silent)
    run.fit(Counting(), DataLoader(torch.ones(4, 1), batch_size=2), ckpt_path=start, weights_only=True)
    return run


@pytest.mark.filterwarnings("ignore")
def test_the_table_holds_what_is_logged_at_the_very_end_of_its_epoch(tmp_path):
    fit(tmp_path, epochs=3, every=1)
    assert [(row["epoch"], row["train/late"]) for row in rows(tmp_path / "metrics.csv")] == [
        ("0", "0"),
        ("1", "1"),
        ("2", "2"),
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("epochs", "every", "written"), [(1, 5, [2]), (4, 3, [6, 8]), (4, 2, [4, 8]), (3, 1, [2, 4, 6])]
)
def test_the_last_checkpoint_is_written_now_and_then_and_at_the_end_however_early(
    tmp_path, monkeypatch, epochs, every, written
):
    steps, real = [], Trainer.save_checkpoint
    monkeypatch.setattr(
        Trainer,
        "save_checkpoint",
        lambda self, path, *rest: (
            (Path(path).name == "last.ckpt" and steps.append(self.global_step)) or real(self, path, *rest)
        ),
    )
    fit(tmp_path, epochs, every)
    assert steps == written
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["optimizer_states"]
    best = next(state for name, state in content["callbacks"].items() if name.startswith("ModelCheckpoint"))
    assert best["best_model_score"] == epochs - 1  # chosen before the last checkpoint was written


@pytest.mark.filterwarnings("ignore")
def test_what_the_last_checkpoint_continues_is_the_next_epoch(tmp_path):
    fit(tmp_path, epochs=2, every=5)
    table = (tmp_path / "metrics.csv").read_text()
    fit(tmp_path, epochs=2, every=5, start=str(tmp_path / "last.ckpt"))  # nothing is left to do
    assert (tmp_path / "metrics.csv").read_text() == table
    assert fit(tmp_path, epochs=4, every=5, start=str(tmp_path / "last.ckpt")).global_step == 8
    assert [row["epoch"] for row in rows(tmp_path / "metrics.csv")] == ["0", "1", "2", "3"]


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_ends_by_its_number_of_steps_has_a_last_checkpoint(tmp_path):
    assert fit(tmp_path, epochs=9, every=5, steps=3).global_step == 3
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3

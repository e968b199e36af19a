"""Two real processes train a recogniser to the losses and figures of one."""

import csv
from pathlib import Path

import numpy as np
import pytest

from leaplan.__main__ import main
from tests.ddp.test_cli_processes import TWO, leaplan
from tests.small_leap import leap_experiment
from tests.small_niv import write_small_niv
from tests.test_leap import scores_of


def epochs_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("anticipate", [False, True])
def test_two_processes_have_the_losses_and_scores_of_one(tmp_path, anticipate):
    root = write_small_niv(tmp_path / "data", videos=20)
    config = leap_experiment(tmp_path, root, anticipate=anticipate, epochs=2)
    assert main(["fit", "--config", str(config), "--name", "one", "--batch_size", "8"]) == 0
    leaplan("fit", "--config", config, "--name", "two", "--batch_size", "4", *TWO)
    one, two = tmp_path / "runs" / "one", tmp_path / "runs" / "two"
    for first, second in zip(epochs_of(one), epochs_of(two), strict=True):
        assert [name for name in first if first[name]] == [name for name in second if second[name]]
        for name in filter(first.get, first):
            assert float(first[name]) == pytest.approx(float(second[name]), rel=1e-4, abs=1e-6), name
    ours, theirs = scores_of(one), scores_of(two)
    assert ours["sample_id"].tolist() == theirs["sample_id"].tolist()
    assert np.abs(ours["action"] - theirs["action"]).max() < 1e-3

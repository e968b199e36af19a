"""A run folder is one run at Weights & Biases, however often it is started."""

import pytest
from lightning.pytorch.loggers import wandb as lightning_wandb

from leaplan.errors import ConfigError
from leaplan.training.weights_and_biases import WandbRun, run_id


@pytest.fixture
def installed(monkeypatch):
    """As if the package were there: nothing of it is called before a run begins."""
    monkeypatch.setattr(lightning_wandb, "_WANDB_AVAILABLE", True)


def test_a_folder_that_is_continued_goes_on_in_its_run(installed, tmp_path):
    first, again = (WandbRun(str(tmp_path / "a"), entity="team") for _ in range(2))
    assert first._wandb_init == again._wandb_init
    assert first._wandb_init["id"] == (tmp_path / "a" / "wandb_id.txt").read_text().strip()
    assert first._wandb_init["resume"] == "allow"
    assert first._wandb_init["name"] == "a"


def test_another_folder_and_one_that_was_overwritten_are_other_runs(tmp_path):
    ids = {run_id(tmp_path / name) for name in "ab"}
    (tmp_path / "a" / "wandb_id.txt").unlink()
    ids.add(run_id(tmp_path / "a"))
    assert len(ids) == 3


def test_a_missing_package_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(lightning_wandb, "_WANDB_AVAILABLE", "")
    with pytest.raises(ConfigError, match="not installed") as error:
        WandbRun(str(tmp_path))
    assert "leaplan[wandb]" in str(error.value)

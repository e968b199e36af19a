"""Two real processes train a recogniser to the losses and figures of one."""

import csv
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.distributed.nn.functional import all_reduce

from leaplan.__main__ import main
from leaplan.data.niv import read_niv
from leaplan.data.splits import carve_validation
from leaplan.recognition.backbones import UniFormerV2
from leaplan.recognition.blocks import LocalRelation
from leaplan.recognition.encoder import UniFormerV2Encoder
from leaplan.records import RecognitionProblem
from tests.ddp.test_cli_processes import TWO, started
from tests.ddp.two_processes import SECONDS
from tests.small_leap import leap_experiment
from tests.small_niv import write_small_niv
from tests.test_leap import scores_of
from tests.test_leap_frames import NETWORK, experiment, write_films


def epochs_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("anticipate", [False, True])
def test_two_processes_have_the_losses_and_scores_of_one(pair, tmp_path, anticipate):
    root = write_small_niv(tmp_path / "data", videos=20)
    config = leap_experiment(tmp_path, root, anticipate=anticipate, epochs=2)
    assert main(["fit", "--config", str(config), "--name", "one", "--batch_size", "8"]) == 0
    pair.leaplan("fit", "--config", config, "--name", "two", "--batch_size", "4", *TWO)
    assert_equal(tmp_path / "runs" / "one", tmp_path / "runs" / "two")


def assert_equal(one: Path, two: Path) -> None:
    """Compare losses and figures of each epoch, and the scores of the test clips."""
    for first, second in zip(epochs_of(one), epochs_of(two), strict=True):
        assert [name for name in first if first[name]] == [name for name in second if second[name]]
        for name in filter(first.get, first):
            assert float(first[name]) == pytest.approx(float(second[name]), rel=1e-4, abs=1e-6), name
    ours, theirs = scores_of(one), scores_of(two)
    assert ours["sample_id"].tolist() == theirs["sample_id"].tolist()
    assert np.abs(ours["action"] - theirs["action"]).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("anticipate", "workers"), [(False, "0"), (True, "1")])
def test_two_processes_on_frames_have_the_losses_and_scores_of_one(pair, tmp_path, anticipate, workers):
    root = write_films(tmp_path / "films")
    config = experiment(tmp_path, root, anticipate=anticipate)
    for video in carve_validation(read_niv(root), 0.34, 7).of_split("train")[:2]:
        (root / "niv" / "videos" / f"{video.id}.mp4").write_bytes(b"")
    common = ["fit", "--config", str(config), "--data.workers", workers]
    assert main([*common, "--name", "one", "--batch_size", "8"]) == 0
    pair.leaplan(*common, "--name", "two", "--batch_size", "4", *TWO)
    one, two = tmp_path / "runs" / "one", tmp_path / "runs" / "two"
    assert_equal(one, two)
    lists = [sorted((run / "broken_videos.txt").read_text().splitlines()) for run in (one, two)]
    assert lists[0] == lists[1]
    assert len(lists[0]) == 2


class SharedBatchNorm(nn.BatchNorm1d):
    """Batch statistics over all processes, as `sync_batchnorm: true` of the trainer has them on GPUs, on a CPU."""

    def forward(self, rows):  # (M, C)
        if not self.training:
            return super().forward(rows)
        sums = torch.cat([rows.sum(0), rows.square().sum(0), rows.new_full((1,), len(rows))])
        if torch.distributed.is_initialized():
            sums = all_reduce(sums)
        mean, square = (sums[:-1] / sums[-1]).chunk(2)
        variance = square - mean.square()
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * sums[-1] / (sums[-1] - 1), self.momentum)
        return (rows - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias


class SharedStatistics:
    """A small UniFormerV2 of the motion kind whose local relation aggregators share their batch statistics."""

    def build(self, problem: RecognitionProblem) -> nn.Module:
        network = UniFormerV2(**{**NETWORK, "kind": "ssv2"}).build(problem)
        for relation in network.modules():
            if isinstance(relation, LocalRelation):
                relation.norm = SharedBatchNorm(relation.norm.num_features)
        return network


@pytest.mark.slow
@pytest.mark.parametrize("broken", [0, 1])
def test_a_broken_film_that_one_of_two_processes_meets_ends_both_without_a_traceback(tmp_path, broken):
    root = write_films(tmp_path / "films", test=2)
    config = experiment(tmp_path, root)
    assert main(["fit", "--config", str(config), "--final", "none"]) == 0
    video = read_niv(root).of_split("test")[broken]
    (root / "niv" / "videos" / f"{video.id}.mp4").write_bytes(b"")
    process = started("test", "--config", config, "--batch_size", "1", *TWO)
    _, error = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert f"{video.id}.mp4" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_two_processes_of_the_motion_kind_equal_one_if_they_share_batch_statistics(pair, tmp_path):
    """Without, losses differ in the fourth digit: batch statistics are all that parts them."""
    root = write_films(tmp_path / "films")
    config = experiment(tmp_path, root)
    content = yaml.safe_load(config.read_text())
    content["model"]["init_args"]["backbone"] = {"class_path": f"{__name__}.SharedStatistics"}
    config.write_text(yaml.safe_dump(content))
    assert main(["fit", "--config", str(config), "--name", "one", "--batch_size", "8"]) == 0
    pair.leaplan("fit", "--config", config, "--name", "two", "--batch_size", "4", *TWO)
    assert_equal(tmp_path / "runs" / "one", tmp_path / "runs" / "two")


def test_the_trainer_can_let_processes_share_all_batch_statistics_of_the_motion_kind():
    """What `sync_batchnorm: true` does before training: nothing that is computed or saved changes by it."""
    torch.manual_seed(0)
    network = UniFormerV2Encoder(frames=2, **{**NETWORK, "kind": "ssv2"})
    for relation in network.modules():
        if isinstance(relation, LocalRelation):
            nn.init.normal_(relation.expand.weight)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(deepcopy(network))
    kinds = [type(module) for module in converted.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert kinds == [nn.SyncBatchNorm] * 2
    assert converted.state_dict().keys() == network.state_dict().keys()
    clips = torch.randint(0, 256, (3, 3, 2, 32, 32), dtype=torch.uint8)
    for mode in (True, False):
        assert torch.equal(network.train(mode)(clips).pooled, converted.train(mode)(clips).pooled)

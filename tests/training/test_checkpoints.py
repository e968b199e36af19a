"""Checkpoints hold what was trained, say what they are for, and are refused with a reason where they do not fit."""

import random

import pytest
import torch
from torch import nn

from leaplan.errors import CheckpointError
from leaplan.training.checkpoints import read_checkpoint, refuse_misfit, refuse_other, trainable_state

executed: list[str] = []


class Trap:
    """An object that tells when it is unpickled."""

    def __reduce__(self):
        return executed.append, ("unpickled",)


def network(frozen: bool = True) -> nn.Module:
    """A frozen base with a trainable head and buffers, one of them not persistent."""
    module = nn.ModuleDict({"base": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4), "head": nn.Linear(4, 2)})
    module.register_buffer("mean", torch.ones(4))
    module.register_buffer("cache", torch.ones(4), persistent=False)
    module["base"].requires_grad_(not frozen)
    return module


def write(path, **content):
    torch.save({"leaplan": {"task": "planning"}, "state_dict": {}, **content}, path)
    return path


def test_a_checkpoint_is_read_as_it_was_written(tmp_path):
    state = trainable_state(network())
    found = read_checkpoint(write(tmp_path / "a.ckpt", state_dict=state, epoch=3))
    assert found["epoch"] == 3
    assert all(torch.equal(found["state_dict"][name], value) for name, value in state.items())


def test_a_missing_checkpoint_is_told_with_the_command_that_makes_one(tmp_path):
    for path in (tmp_path / "nowhere.ckpt", tmp_path):
        with pytest.raises(CheckpointError, match=r"does not exist\n  Train first:  leaplan fit"):
            read_checkpoint(path)


FOREIGN = {
    "of another program": {"epoch": 1, "state_dict": {}},
    "weights alone": {"weight": torch.ones(3)},
    "a tensor": torch.ones(3),
    "a list": [1, 2],
    "ours in name": {"leaplan": "0.1", "state_dict": {}},
    "without a state": {"leaplan": {}, "state_dict": None},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_program_is_refused(kind, tmp_path):
    torch.save(FOREIGN[kind], tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="was not written by leaplan"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_objects_are_never_unpickled(tmp_path):
    write(tmp_path / "a.ckpt", extra=Trap())
    with pytest.raises(CheckpointError, match="never unpickled") as refusal:
        read_checkpoint(tmp_path / "a.ckpt")
    assert "trust" not in str(refusal.value)  # torch's advice to unpickle regardless
    assert executed == []


@pytest.mark.filterwarnings("ignore")
def test_whatever_the_damage_the_answer_is_one_message(tmp_path):
    """Cut anywhere, overwritten anywhere, or random from the start."""
    path = write(tmp_path / "a.ckpt", state_dict={"weight": torch.ones(9, 9)}, names=[str(i) for i in range(40)])
    whole, rng = path.read_bytes(), random.Random(0)
    damaged = [whole[: rng.randrange(len(whole))] for _ in range(60)]
    damaged += [whole[:i] + rng.randbytes(9) + whole[i + 9 :] for i in rng.sample(range(len(whole)), 60)]
    damaged += [rng.randbytes(rng.randrange(60)) for _ in range(120)]
    answers = [answer_to(path, content) for content in damaged]
    told = [answer for answer in answers if answer]  # a few bytes may change nothing that is looked at
    assert len(told) >= 180
    assert all(answer.startswith(f"{path} ") and len(answer.splitlines()) == 2 for answer in told)


def answer_to(path, content: bytes) -> str:
    path.write_bytes(content)
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        return str(error)
    return ""


def test_frozen_parameters_are_left_out_and_buffers_stay():
    assert set(trainable_state(network())) == {
        "mean",
        "head.weight",
        "head.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }
    assert {"base.weight", "base.bias"} < set(trainable_state(network(frozen=False)))


def test_a_state_that_fits_is_accepted():
    refuse_misfit(network(), trainable_state(network()), "a.ckpt")


def test_a_misfit_names_what_is_missing_unexpected_and_of_another_shape():
    state = trainable_state(network())
    del state["head.bias"]
    state["tail.weight"] = torch.ones(1)
    state["head.weight"] = torch.ones(3, 4)
    with pytest.raises(CheckpointError) as refusal:
        refuse_misfit(network(), state, "a.ckpt")
    assert refusal.value.what == (
        "a.ckpt does not fit the network: missing head.bias; unexpected tail.weight; "
        "head.weight has shape (3, 4), the network (2, 4)"
    )


def test_frozen_weights_in_a_checkpoint_are_a_misfit():
    with pytest.raises(CheckpointError, match=r"unexpected base\.bias; unexpected base\.weight"):
        refuse_misfit(network(), trainable_state(network(frozen=False)), "a.ckpt")


def test_a_long_misfit_stays_short():
    state = {f"layer{i}": torch.ones(1) for i in range(500)}
    with pytest.raises(CheckpointError) as refusal:
        refuse_misfit(network(), state, "a.ckpt")
    assert refusal.value.what.count(";") == 7


SAID = {"horizon": 3, "steps": ["boil water", "add tea"], "tasks": []}


def test_a_checkpoint_of_the_same_problem_is_accepted():
    refuse_other({**SAID, "more": 1}, SAID, "a.ckpt")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({**SAID, "horizon": 4}, "horizon: 4, the data has 3"),
        ({"steps": SAID["steps"], "tasks": []}, "horizon: None, the data has 3"),
        (
            {**SAID, "steps": ["boil water", "add milk"]},
            "2 entries ('add milk', ...), the data has 2 entries ('add tea'",
        ),
        ({**SAID, "steps": ["boil water"]}, "steps: 1 entries, the data has 2 entries"),
        ({}, "horizon: None, the data has 3; steps: None, the data has 2 entries; tasks: None, the data has 0 entries"),
    ],
)
def test_a_checkpoint_of_another_problem_is_refused_with_both_values(found, words):
    with pytest.raises(CheckpointError) as refusal:
        refuse_other(found, SAID, "a.ckpt")
    assert words in refusal.value.what

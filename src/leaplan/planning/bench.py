"""`leaplan bench planner`: speed and memory of the planner, beside the code that was released."""

import argparse
import time
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.measuring import Figure, Measurement, peak_memory_mb, seconds_of
from leaplan.planning.decoding import transition_counts, transition_log_probabilities, viterbi
from leaplan.planning.losses import step_loss
from leaplan.planning.network import Planner
from leaplan.planning.steps import StepRefiner
from leaplan.training.optim import adamw

EXAMPLES = "example: leaplan bench planner --preset paper --json bench.json"
TRANSITIONS: tuple[Literal["counted", "dense"], ...] = ("counted", "dense")
WIDTH, HEADS, LAYERS = 128, 32, 2  # SCHEMA
CLASSES, SENTENCES, TEXT_WIDTH = 133, 6, 768  # CrossTask with SCHEMA's descriptions
RELEASED = "released code: 64.5, another machine"  # of the same step, with the passes of other losses
SMALL = "Viterbi: B = 256, T = 4; decoder: width 128, 32 heads, 133 x 6 descriptions; training step: B = 32"
PAPER = "PlanLLM stage 1: Q-Former 12 x 768, B = 32, T = 3, N = 48"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark takes."""
    parser.add_argument(
        "--preset",
        choices=["small", "paper"],
        default="small",
        help="SCHEMA's sizes and decoding (default), or one stage-1 step at PlanLLM's sizes",
    )
    add_torch_options(parser)


def add_torch_options(parser: argparse.ArgumentParser) -> None:
    """Add threads and repeats."""
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="how often to measure (default 5)")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure a training step, and with the small preset Viterbi and the decoder."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(7)
    if options.preset == "paper":
        return Measurement(PAPER, stage_one_step(options.repeats))
    figures = train_step(options.repeats)  # first: peak memory counts what came before
    for kind in TRANSITIONS:
        for classes in (133, 778):
            figures += viterbi_against_loop(classes, kind, options.repeats)
    return Measurement(SMALL, figures + decoder_against_repeated_memory(options.repeats))


def stage_one_step(repeats: int, windows: int = 32, **sizes: int) -> list[Figure]:
    """Return CPU seconds of a step of stage 1 at PlanLLM's sizes, windows a second, parameters and peak memory.

    Q-Former of 12 layers x 768 with cross-attention in every second, width 512, NIV's 48 classes, T = 3.

    Args:
        repeats: How many steps.
        windows: B.
        sizes: Options of `StepQueries` other than the paper's, for tests.
    """
    queries: dict[str, Any] = {"width": 768, "layers": 12, "heads": 12, "cross_every": 2, **sizes}
    planner = Planner(3, 48, 5, 1, 512, TEXT_WIDTH, width=512, heads=32, layers=2, step_queries=queries)
    optimizer = adamw([planner], 1e-4, 0.02)
    start, goal = torch.randn(2, windows, 1, 512)
    descriptions, truth = torch.randn(48, SENTENCES, TEXT_WIDTH), torch.randint(0, 48, (windows, 3))

    def step() -> None:
        optimizer.zero_grad()
        planner.align(start, goal, descriptions, truth).sum().backward()
        optimizer.step()

    return _of_a_step(planner, seconds_of(step, repeats, time.process_time), windows, RELEASED, "177.4 M")


def train_step(repeats: int, windows: int = 32) -> list[Figure]:
    """Return what `stage_one_step` does, of one training step at SCHEMA's CrossTask sizes."""
    planner = Planner(4, CLASSES, 18, 1, 512, TEXT_WIDTH, width=WIDTH, heads=HEADS, layers=LAYERS)
    optimizer = torch.optim.AdamW(planner.parameters(), 1e-3)
    start, goal = torch.randn(2, windows, 1, 512)
    descriptions = torch.randn(CLASSES, SENTENCES, TEXT_WIDTH)
    truth = torch.randint(0, CLASSES, (windows, 4))

    def step() -> None:
        loss: Tensor = step_loss(planner(start, goal, descriptions).steps, truth).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return _of_a_step(planner, seconds_of(step, repeats, time.process_time), windows)


def _of_a_step(planner: Planner, cpu: tuple[float, ...], windows: int, time: str = "", size: str = "") -> list[Figure]:
    """Return the figures of a training step; `time` and `size` are those of the released code."""
    parameters = sum(parameter.numel() for parameter in planner.parameters())
    return [
        Figure("training step", cpu, "CPU s", "lower", time),
        Figure("trained windows", tuple(windows / seconds for seconds in cpu), "windows/CPU s", "higher"),
        Figure("parameters", (parameters,), "", "", size and f"released code: {size}"),
        Figure("peak resident memory of the step", (peak_memory_mb(),), "MB", "lower"),
    ]


def viterbi_against_loop(
    classes: int, kind: Literal["counted", "dense"], repeats: int, windows: int = 256, horizon: int = 4
) -> list[Figure]:
    """Return seconds of batched Viterbi, and how many times a NumPy loop over samples takes.

    Args:
        classes: N.
        kind: "counted": as sparse as transitions counted in videos; "dense": every transition has its own value.
        repeats: How many calls; half as many of the loop.
        windows, horizon: B, T.
    """
    emissions = torch.randn(windows, horizon, classes).log_softmax(-1)
    if kind == "counted":
        videos = torch.randint(0, classes, (classes, 8)).tolist()
        transitions = transition_log_probabilities(transition_counts(videos, classes))
    else:
        transitions = torch.randn(classes, classes).log_softmax(-1)
    ours, theirs = emissions.numpy(), transitions.numpy()
    batched = seconds_of(lambda: viterbi(emissions, transitions), repeats)
    looped = seconds_of(lambda: [_viterbi_of_one(sample, theirs) for sample in ours], max(1, repeats // 2))
    return _against(f"Viterbi, N = {classes}, {kind}", batched, "NumPy loop", looped)


def _against(name: str, ours: tuple[float, ...], what: str, theirs: tuple[float, ...]) -> list[Figure]:
    ratio = tuple(their / our for our, their in zip(ours, theirs, strict=False))
    return [
        Figure(f"{name}: ours", tuple(1e3 * seconds for seconds in ours), "ms", "lower"),
        Figure(f"{name}: {what}", tuple(1e3 * seconds for seconds in theirs), "ms"),
        Figure(f"{name}: times faster", ratio, "", "higher"),
    ]


def _viterbi_of_one(emissions: NDArray[np.float32], transitions: NDArray[np.float32]) -> list[int]:
    """Return the best plan of one window, as the released planners compute it: one sample at a time."""
    score, back = emissions[0], []
    for emission in emissions[1:]:
        paths = score[:, None] + transitions
        back.append(paths.argmax(0))
        score = paths.max(0) + emission
    plan = [int(score.argmax())]
    for pointers in reversed(back):
        plan.append(int(pointers[plan[-1]]))
    return plan[::-1]


def decoder_against_repeated_memory(repeats: int, windows: int = 256) -> list[Figure]:
    """Return seconds of the refiner with one memory for the batch, against the memory copied per window."""
    refiner = StepRefiner(WIDTH, HEADS, LAYERS, dropout=0.2).eval()
    steps = torch.randn(windows, 4, WIDTH)
    memory = torch.randn(CLASSES * SENTENCES, WIDTH)
    copied = memory.expand(windows, -1, -1)
    with torch.inference_mode():
        difference = (refiner(steps, memory) - refiner(steps, copied)).abs().max().item()
        shared = seconds_of(lambda: refiner(steps, memory), repeats)
        repeated = seconds_of(lambda: refiner(steps, copied), repeats)
    different = Figure("decoder forward: largest difference", (difference,), "", "lower")
    return [*_against("decoder forward", shared, "a memory for each window", repeated), different]

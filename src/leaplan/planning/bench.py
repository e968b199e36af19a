"""`leaplan bench planner`: speed and memory of the planner, as ratios measured within one run."""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from leaplan.planning import bench_language
from leaplan.planning.decoding import transition_counts, transition_log_probabilities, viterbi
from leaplan.planning.losses import step_loss
from leaplan.planning.network import Planner
from leaplan.planning.steps import StepRefiner
from leaplan.planning.timing import median_seconds
from leaplan.training.optim import adamw
from leaplan.training.results import environment, peak_memory_mb
from leaplan.writing import write_json

EXAMPLE = "example: leaplan bench planner --preset paper --json bench.json"
TRANSITIONS = ("counted", "dense")
WIDTH, HEADS, LAYERS = 128, 32, 2  # SCHEMA
CLASSES, SENTENCES, TEXT_WIDTH = 133, 6, 768  # CrossTask with SCHEMA's descriptions
RELEASED_CPU_SECONDS = 64.5  # of the same step, with the passes that only serve other losses; two shared cores


def main(argv: list[str]) -> int:
    """Run the benchmark that `argv` names and print its table."""
    parser = argparse.ArgumentParser("leaplan bench", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("subject", choices=["planner", "language"])
    parser.add_argument(
        "--preset",
        choices=["small", "paper"],
        default="small",
        help="of the planner: SCHEMA's sizes and decoding, or one stage-1 step at PlanLLM's sizes",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="the median of so many is printed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.manual_seed(7)
    if options.subject == "language":
        rows = bench_language.run(options.repeats)
    elif options.preset == "paper":
        rows = {"stage 1 step": stage_one_step(options.repeats)}
        print_stage_one(rows["stage 1 step"])
    else:
        rows = small(options.repeats)
    if options.json:
        write_json(
            options.json,
            {"bench": options.subject, "threads": options.threads, **rows, "environment": environment()},
        )
    return 0


def small(repeats: int) -> dict[str, Any]:
    """Measure and print a training step at SCHEMA's sizes, Viterbi and the decoder's forward pass."""
    rows: dict[str, Any] = {
        "train step": train_step(repeats),  # first: peak memory counts what came before
        "viterbi": [viterbi_against_loop(classes, kind, repeats) for kind in TRANSITIONS for classes in (133, 778)],
        "decoder": decoder_against_repeated_memory(repeats),
    }
    _print(rows)
    return rows


def stage_one_step(repeats: int, windows: int = 32, **sizes: int) -> dict[str, float]:
    """Return CPU seconds of a step of stage 1 at PlanLLM's sizes, its parameters and peak memory.

    Q-Former of 12 layers x 768 with cross-attention in every second, width 512, NIV's 48 classes, T = 3.

    Args:
        repeats: The median of so many steps.
        windows: B.
        sizes: Options of `StepQueries` other than the paper's, for tests.
    """
    queries = {"width": 768, "layers": 12, "heads": 12, "cross_every": 2, **sizes}
    planner = Planner(3, 48, 5, 1, 512, TEXT_WIDTH, width=512, heads=32, layers=2, step_queries=queries)
    optimizer = adamw([planner], 1e-4, 0.02)
    start, goal = torch.randn(2, windows, 1, 512)
    descriptions, truth = torch.randn(48, SENTENCES, TEXT_WIDTH), torch.randint(0, 48, (windows, 3))

    def step() -> None:
        optimizer.zero_grad()
        planner.align(start, goal, descriptions, truth).sum().backward()
        optimizer.step()

    cpu = median_seconds(step, repeats, clock=time.process_time)
    parameters = sum(parameter.numel() for parameter in planner.parameters())
    return {"windows": windows, "cpu_s": cpu, "parameters": parameters, "peak_memory_mb": peak_memory_mb()}


def print_stage_one(row: dict[str, float]) -> None:
    """Print the figures beside those of the released code."""
    table = Table("what", "ours", "released code", title="PlanLLM stage 1, Q-Former 12 x 768, B = 32, T = 3, N = 48")
    table.add_row("training step", f"{row['cpu_s']:.1f} CPU s", f"{RELEASED_CPU_SECONDS:.1f} CPU s, another machine")
    table.add_row("parameters", f"{row['parameters'] / 1e6:.1f} M", "177.4 M")
    table.add_row("peak memory", f"{row['peak_memory_mb']:.0f} MB", "")
    Console().print(table)


def viterbi_against_loop(classes: int, kind: str, repeats: int, windows: int = 256, horizon: int = 4) -> dict[str, Any]:
    """Return seconds of batched Viterbi and of a NumPy loop over samples, and their ratio.

    Args:
        classes: N.
        kind: "counted": as sparse as transitions counted in videos; "dense": every transition has its own value.
        repeats: The median of so many calls.
        windows, horizon: B, T.
    """
    emissions = torch.randn(windows, horizon, classes).log_softmax(-1)
    if kind == "counted":
        videos = torch.randint(0, classes, (classes, 8)).tolist()
        transitions = transition_log_probabilities(transition_counts(videos, classes))
    else:
        transitions = torch.randn(classes, classes).log_softmax(-1)
    ours, theirs = emissions.numpy(), transitions.numpy()
    batched = median_seconds(lambda: viterbi(emissions, transitions), repeats)
    looped = median_seconds(lambda: [_viterbi_of_one(sample, theirs) for sample in ours], max(1, repeats // 2))
    return {"classes": classes, "transitions": kind, "batched_s": batched, "loop_s": looped, "ratio": looped / batched}


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


def decoder_against_repeated_memory(repeats: int, windows: int = 256) -> dict[str, float]:
    """Return seconds of the refiner with one memory for the batch and with the memory copied per window."""
    refiner = StepRefiner(WIDTH, HEADS, LAYERS, dropout=0.2).eval()
    steps = torch.randn(windows, 4, WIDTH)
    memory = torch.randn(CLASSES * SENTENCES, WIDTH)
    copied = memory.expand(windows, -1, -1)
    with torch.inference_mode():
        difference = (refiner(steps, memory) - refiner(steps, copied)).abs().max().item()
        shared = median_seconds(lambda: refiner(steps, memory), repeats)
        repeated = median_seconds(lambda: refiner(steps, copied), repeats)
    return {"shared_s": shared, "repeated_s": repeated, "ratio": repeated / shared, "difference": difference}


def train_step(repeats: int, windows: int = 32) -> dict[str, float]:
    """Return CPU seconds of one training step at SCHEMA's CrossTask sizes, parameters and peak memory."""
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

    cpu = median_seconds(step, repeats, clock=time.process_time)
    return {
        "windows": windows,
        "cpu_s": cpu,
        "parameters": sum(parameter.numel() for parameter in planner.parameters()),
        "peak_memory_mb": peak_memory_mb(),
    }


def _print(rows: dict[str, Any]) -> None:
    table = Table(
        "what", "ours", "against", "ratio", title="B = 256, T = 4; decoder: width 128, 32 heads, 133 x 6 descriptions"
    )
    for row in rows["viterbi"]:
        table.add_row(
            f"Viterbi N={row['classes']}, {row['transitions']}",
            f"{1e3 * row['batched_s']:.1f} ms batched",
            f"{1e3 * row['loop_s']:.1f} ms NumPy loop",
            f"{row['ratio']:.1f} x",
        )
    decoder = rows["decoder"]
    table.add_row(
        "decoder forward",
        f"{1e3 * decoder['shared_s']:.1f} ms, one memory",
        f"{1e3 * decoder['repeated_s']:.1f} ms, one each",
        f"{decoder['ratio']:.1f} x",
    )
    step = rows["train step"]
    table.add_row(
        "training step, B=32",
        f"{step['cpu_s']:.2f} CPU s",
        f"{step['parameters'] / 1e6:.2f} M parameters",
        "",
    )
    table.add_row("peak memory by then", f"{step['peak_memory_mb']:.0f} MB", "", "")
    Console().print(table)

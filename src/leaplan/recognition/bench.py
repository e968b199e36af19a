"""`leaplan bench recogniser`: cost of UniFormerV2 per clip: CPU seconds, GMACs, parameters, memory."""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from leaplan.recognition.encoder import UniFormerV2Encoder
from leaplan.recognition.layout import shapes_only
from leaplan.recognition.uniformerv2 import RELATIONS, ClassHead
from leaplan.training.results import environment, peak_memory_mb
from leaplan.writing import write_json

EXAMPLE = "example: leaplan bench recogniser --size b16 --repeats 3 --json bench.json"
RESOLUTION = {"tiny": (72, 96), "b16": (224, 224), "l14": (224, 224)}
CLASSES = {"kinetics": 400, "ssv2": 174}


class Official(NamedTuple):
    """Figures of the official code at batch 1, 8 frames of 224 pixels; CPU seconds on two shared cores."""

    gmacs: float
    parameters: int
    forward_cpu_s: float
    training_cpu_s: float
    forward_mb: float
    training_mb: float


OFFICIAL = {
    ("b16", "kinetics"): Official(148.1, 114_552_208, 6.29, 22.26, 1380, 3100),
    ("b16", "ssv2"): Official(93.6, 162_992_814, 6.62, 23.2, 1480, 2670),
}


def main(argv: list[str]) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser("leaplan bench", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("subject", choices=["recogniser"])
    parser.add_argument("--size", choices=list(RESOLUTION), default="tiny", help="of the network (default tiny)")
    parser.add_argument("--kind", choices=list(RELATIONS), help="of the network (default both)")
    parser.add_argument("--frames", type=int, default=8, help="per clip (default 8)")
    parser.add_argument("--batch", type=int, default=1, help="clips at a time (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default 1)")
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many is printed, after one more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(argv)
    kinds = [options.kind] if options.kind else list(RELATIONS)
    rows = {
        kind: measured(options.size, kind, options.frames, options.batch, options.repeats, options.threads)
        for kind in kinds
    }
    print_table(options.size, options.frames, options.batch, rows)
    if options.json:
        settings = {"size": options.size, "frames": options.frames, "batch": options.batch, "threads": options.threads}
        write_json(options.json, {"bench": "recogniser", **settings, **rows, "environment": environment()})
    return 0


def measured(size: str, kind: str, frames: int, batch: int, repeats: int, threads: int) -> dict[str, float]:
    """Return the figures of one network; forward and training each in a process of its own, for their peak memory."""
    figures: dict[str, float] = {"gmacs": gmacs(size, kind, frames), "parameters": parameters(size, kind, frames)}
    for training in (False, True):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            cost = process.submit(passes, size, kind, frames, batch, repeats, threads, training).result()
        name = "training" if training else "forward"
        figures |= {f"{name}_{what}": figure for what, figure in cost.items()}
    return figures


def passes(
    size: str, kind: str, frames: int, batch: int, repeats: int, threads: int, training: bool
) -> dict[str, float]:
    """Return CPU and wall seconds per clip of a forward pass, or of forward and backward, and peak memory in MiB."""
    torch.set_num_threads(threads)
    torch.manual_seed(7)
    network = recogniser(size, kind, frames).train(training)
    clips = torch.randint(0, 256, (batch, 3, frames, *RESOLUTION[size]), dtype=torch.uint8)
    seconds = []
    with torch.set_grad_enabled(training):
        for _ in range(repeats + 1):
            network.zero_grad()
            began, began_wall = time.process_time(), time.perf_counter()
            logits = network[1](network[0](clips).pooled)
            if training:
                logits.sum().backward()
            seconds.append((time.process_time() - began, time.perf_counter() - began_wall))
    cpu, wall = np.median(seconds[1:], axis=0) / batch
    return {"cpu_s": float(cpu), "wall_s": float(wall), "peak_memory_mb": peak_memory_mb()}


def recogniser(size: str, kind: str, frames: int) -> nn.ModuleList:
    """Return a network and its head, at random."""
    encoder = UniFormerV2Encoder(size, kind, frames, RESOLUTION[size])
    return nn.ModuleList([encoder, ClassHead(encoder.width, CLASSES[kind])])


def parameters(size: str, kind: str, frames: int) -> int:
    """Return the number of parameters, head included."""
    with shapes_only():
        return sum(each.numel() for each in recogniser(size, kind, frames).parameters())


def gmacs(size: str, kind: str, frames: int) -> float:
    """Return 10^9 multiply-accumulations of the forward pass of one clip, counted on the meta device."""
    with shapes_only():
        encoder, head = recogniser(size, kind, frames).eval().requires_grad_(False)
        clip = torch.empty(1, 3, frames, *RESOLUTION[size])
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:  # the fused kernel of the CPU is not counted
        head(encoder(clip).pooled)
    return counter.get_total_flops() / 2e9


def print_table(size: str, frames: int, batch: int, rows: dict[str, dict[str, float]]) -> None:
    """Print the figures, beside those of the official code where they are known."""
    height, width = RESOLUTION[size]
    table = Table("what", title=f"UniFormerV2 {size}, {frames} frames of {height} x {width}, batch {batch}")
    columns: list[list[str]] = []
    for kind, row in rows.items():
        official = OFFICIAL.get((size, kind)) if frames == 8 else None
        table.add_column(kind)
        columns.append(_column(row))
        if official:
            table.add_column(f"{kind}, official code")
            columns.append(_column(_figures(official)))
    names = ["GMACs", "parameters", "forward", "forward + backward", "peak memory, forward", "peak memory, training"]
    for name, *cells in zip(names, *columns, strict=True):
        table.add_row(name, *cells)
    Console().print(table)


def _figures(official: Official) -> dict[str, float]:
    return {
        "gmacs": official.gmacs,
        "parameters": official.parameters,
        "forward_cpu_s": official.forward_cpu_s,
        "training_cpu_s": official.training_cpu_s,
        "forward_peak_memory_mb": official.forward_mb,
        "training_peak_memory_mb": official.training_mb,
    }


def _column(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['gmacs']:.1f}" if row["gmacs"] >= 10 else f"{row['gmacs']:.2f}",
        f"{row['parameters'] / 1e6:.2f} M",
        f"{row['forward_cpu_s']:.3g} CPU s",
        f"{row['training_cpu_s']:.3g} CPU s",
        f"{row['forward_peak_memory_mb']:.0f} MB",
        f"{row['training_peak_memory_mb']:.0f} MB",
    ]

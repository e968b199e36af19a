"""`leaplan bench recogniser`: what UniFormerV2 costs per clip, what decoding costs, and which of them bounds a run."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, replace
from statistics import median
from typing import Any

import torch
from rich.console import Console

from leaplan.errors import ConfigError
from leaplan.measuring import Measurement, usable_cores
from leaplan.options import at_least_one
from leaplan.recognition import bench_figures as figures_of
from leaplan.recognition.bench_bound import Bound
from leaplan.recognition.bench_network import (
    RESOLUTION,
    Work,
    cost_alone,
    gmacs,
    parameters,
    refuse_absent,
    utilisation,
)
from leaplan.recognition.uniformerv2 import RELATIONS
from leaplan.video.bench import decode_bench, decode_figures

EXAMPLES = """examples:
  leaplan bench recogniser --size b16 --repeats 3 --json bench.json
  leaplan bench recogniser --size b16 --device cuda --batch 32 --compile --checkpointing"""
FRAMES = {"cpu": [8], "cuda": [8, 16]}
DATA_SECONDS = 3.0  # of decoding that each film is measured for


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark takes."""
    parser.add_argument("--size", choices=list(RESOLUTION), default="tiny", help="of the network (default tiny)")
    parser.add_argument("--kind", choices=list(RELATIONS), help="of the network (default both)")
    parser.add_argument("--frames", type=at_least_one, nargs="+", help="per clip (default 8; on a GPU 8 and 16)")
    parser.add_argument("--batch", type=at_least_one, default=1, help="clips at a time (default 1)")
    parser.add_argument("--threads", type=at_least_one, default=1, help="CPU threads of torch (default 1)")
    parser.add_argument(
        "--workers", type=at_least_one, help="cores that decode in a run (default those that are left, or one)"
    )
    parser.add_argument("--repeats", type=at_least_one, default=3, help="how often to measure (default 3)")
    parser.add_argument("--no-data", action="store_true", help="leave decoding and the bound out")
    step = parser.add_argument_group("whole training steps, in place of passes on one CPU core")
    step.add_argument("--device", choices=["cpu", "cuda"], help="where steps run: clips/s, memory, and MFU on a GPU")
    step.add_argument("--precision", choices=["bf16", "fp32"], help="of autocast (default bf16)")
    step.add_argument("--compile", action="store_true", help="by torch.compile")
    step.add_argument("--checkpointing", action="store_true", help="of all layers")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure networks, decoding, and which of them bounds.

    Raises:
        ConfigError: There is no such device, or options do not go together.
    """
    _refuse_wrong_options(options)
    torch.set_num_threads(options.threads)
    works = _works(options)
    card = torch.cuda.get_device_name() if works[0].device == "cuda" else ""
    if options.device:
        rows = _steps(works, options.repeats, card)
        figures = [figure for row in rows for figure in figures_of.steps(row)]
    else:
        rows = _passes(works, options.repeats)
        figures = [figure for row in rows for figure in figures_of.passes(row)]
    data = [] if options.no_data else _data(options.size, sorted({work.frames for work in works}))
    for film in data:
        figures += decode_figures(film, f"{film['film']}, {film['frames']} frames")
    told = [*figures_of.reasons(rows), *_bounds(rows, data, _workers(options))]
    return Measurement(_title(works[0], options, card), figures, told, card or "cpu", works[0].precision)


def _title(work: Work, options: argparse.Namespace, card: str) -> str:
    height, width = RESOLUTION[work.size]
    switches = [name for name in ("compile", "checkpointing") if getattr(options, name)]
    does = "training steps with AdamW" if options.device else "passes"
    how = ", ".join([card or "CPU", work.precision, *switches])
    return f"UniFormerV2 {work.size}, frames of {height} x {width}, batch {work.batch}: {does} on {how}"


def _refuse_wrong_options(options: argparse.Namespace) -> None:
    needs = [name for name in ("precision", "compile", "checkpointing") if getattr(options, name)]
    if needs and not options.device:
        raise ConfigError(f"--{' and --'.join(needs)} without a device", "Add --device cuda, or --device cpu")
    if options.device:
        refuse_absent(options.device)


def _works(options: argparse.Namespace) -> list[Work]:
    """Return what is to be measured, by kind and frames."""
    first = Work(
        options.size, "kinetics", 0, options.batch, "step", options.device or "cpu",
        (options.precision or "bf16") if options.device else "fp32",
        options.compile, options.checkpointing, options.threads,
    )  # fmt: skip
    kinds: list[Any] = [options.kind] if options.kind else list(RELATIONS)
    frames = options.frames or FRAMES[first.device]
    return [replace(first, kind=kind, frames=count) for kind in kinds for count in frames]


def _passes(works: list[Work], repeats: int) -> list[dict[str, Any]]:
    """Return what forward, and forward and backward, cost in CPU seconds."""
    rows = []
    for work in works:
        row = _row(work)
        once = {"forward": replace(work, does="forward"), "training": replace(work, does="backward")}
        for name, each in once.items():
            row |= {f"{name}_{what}": figure for what, figure in cost_alone(each, repeats).items()}
        rows.append({**row, "clips_per_second": tuple(work.threads / seconds for seconds in row["training_cpu_s"])})
    return rows


def _steps(works: list[Work], repeats: int, card: str) -> list[dict[str, Any]]:
    """Return what training steps cost: clips/s, memory, and MFU or the reason why it is not told."""
    rows = []
    for work in works:
        row = {**_row(work), **cost_alone(work, repeats)}
        if "reason" not in row:
            rates = tuple(1 / seconds for seconds in row["wall_s"])
            shares, reasons = zip(*(utilisation(work, rate, row["gmacs"], card) for rate in rates), strict=True)
            row |= {"clips_per_second": rates, "mfu": None if reasons[0] else shares, "mfu_left_out": reasons[0]}
        rows.append(row)
    return rows


def _row(work: Work) -> dict[str, Any]:
    return {**asdict(work), "gmacs": gmacs(work), "parameters": parameters(work)}


def _data(size: str, frames: list[int]) -> list[dict[str, Any]]:
    """Return what decoding costs, for every film and number of frames."""
    with Console(stderr=True).status("making and decoding films"):
        return [
            {**row, "frames": count}
            for count in frames
            for row in decode_bench(DATA_SECONDS, frames=count, size=RESOLUTION[size])
        ]


def _workers(options: argparse.Namespace) -> int:
    left = usable_cores() - (0 if options.device == "cuda" else options.threads)
    return int(options.workers or max(1, left))


def _bounds(rows: list[dict[str, Any]], data: list[dict[str, Any]], workers: int) -> Iterator[str]:
    """Yield for each network and film what bounds a training run."""
    for row in rows:
        for film in data:
            if "clips_per_second" in row and row["frames"] == film["frames"]:
                model = float(median(row["clips_per_second"]))
                sentence = Bound(model, film["clips_per_second"], workers).sentence
                yield f"{figures_of.name_of(row)}, {film['film']}: {sentence}"

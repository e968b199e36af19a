"""`leaplan bench recogniser`: what UniFormerV2 costs per clip, what decoding costs, and which of them bounds a run."""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from leaplan.errors import ConfigError
from leaplan.recognition import bench_tables as tables
from leaplan.recognition.bench_bound import Bound, usable_cores
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
from leaplan.training.results import environment
from leaplan.video.bench import decode_bench
from leaplan.writing import write_json

EXAMPLES = """examples:
  leaplan bench recogniser --size b16 --repeats 3 --json bench.json
  leaplan bench recogniser --size b16 --device cuda --batch 32 --compile --checkpointing"""
FRAMES = {"cpu": [8], "cuda": [8, 16]}
DATA_SECONDS = 3.0  # of decoding that each film is measured for


def main(argv: list[str]) -> int:
    """Run the benchmark and print its tables.

    Raises:
        ConfigError: There is no such device, or options do not go together.
    """
    options = _parser().parse_args(argv)
    _refuse_wrong_options(options)
    works = _works(options)
    rows = _steps(works, options.repeats) if options.device else _passes(works, options.repeats)
    (tables.print_steps if options.device else tables.print_passes)(rows)
    data = [] if options.no_data else _data(options.size, sorted({work.frames for work in works}))
    bounds = _bounds(rows, data, _workers(options))
    if data:
        tables.print_data(data)
        tables.print_bounds(bounds)
    if options.json:
        content = {"networks": rows, "data": data, "bounds": [bound.figures() for bound in bounds]}
        machine = {**environment(), "cores": usable_cores()}
        write_json(options.json, {"bench": "recogniser", **content, "environment": machine})
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan bench", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", choices=["recogniser"])
    parser.add_argument("--size", choices=list(RESOLUTION), default="tiny", help="of the network (default tiny)")
    parser.add_argument("--kind", choices=list(RELATIONS), help="of the network (default both)")
    parser.add_argument("--frames", type=_count, nargs="+", help="per clip (default 8; on a GPU 8 and 16)")
    parser.add_argument("--batch", type=_count, default=1, help="clips at a time (default 1)")
    parser.add_argument("--threads", type=_count, default=1, help="CPU threads of torch (default 1)")
    parser.add_argument(
        "--workers", type=_count, help="cores that decode in a run (default those that are left, or one)"
    )
    parser.add_argument("--repeats", type=_count, default=3, help="the median of so many is printed (default 3)")
    parser.add_argument("--no-data", action="store_true", help="leave decoding and the bound out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    step = parser.add_argument_group("whole training steps, in place of passes on one CPU core")
    step.add_argument("--device", choices=["cpu", "cuda"], help="where steps run: clips/s, memory, and MFU on a GPU")
    step.add_argument("--precision", choices=["bf16", "fp32"], help="of autocast (default bf16)")
    step.add_argument("--compile", action="store_true", help="by torch.compile")
    step.add_argument("--checkpointing", action="store_true", help="of all layers")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return count


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
            figures = cost_alone(each, repeats)
            row |= {f"{name}_{what}": figure for what, figure in figures.items()}
        del row["does"]
        rows.append({**row, "clips_per_second": work.threads / row["training_cpu_s"]})
    return rows


def _steps(works: list[Work], repeats: int) -> list[dict[str, Any]]:
    """Return what training steps cost: clips/s, memory, and MFU or the reason why it is not told."""
    rows = []
    card = torch.cuda.get_device_name() if works[0].device == "cuda" else ""
    for work in works:
        row = {**_row(work), "card": card, **cost_alone(work, repeats)}
        if "reason" not in row:
            rate = 1 / row["wall_s"]
            mfu, reason = utilisation(work, rate, row["gmacs"], card)
            row |= {"clips_per_second": rate, "mfu": mfu, "mfu_left_out": reason}
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


def _bounds(rows: list[dict[str, Any]], data: list[dict[str, Any]], workers: int) -> list[Bound]:
    return [
        Bound(row["kind"], row["frames"], film["film"], row["clips_per_second"], film["clips_per_second"], workers)
        for row in rows
        for film in data
        if "clips_per_second" in row and row["frames"] == film["frames"]
    ]

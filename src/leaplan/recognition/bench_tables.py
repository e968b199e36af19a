"""What `leaplan bench recogniser` prints."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from leaplan.recognition.bench_bound import Bound
from leaplan.recognition.bench_network import RESOLUTION, training_flops

Row = Mapping[str, Any]


class Official(NamedTuple):
    """Figures of the official code at batch 1, 8 frames of 224 pixels; CPU seconds on two shared cores."""

    gmacs: float
    parameters: int
    forward_cpu_s: float
    training_cpu_s: float
    forward_peak_memory_mb: float
    training_peak_memory_mb: float


OFFICIAL = {
    ("b16", "kinetics"): Official(148.1, 114_552_208, 6.29, 22.26, 1380, 3100),
    ("b16", "ssv2"): Official(93.6, 162_992_814, 6.62, 23.2, 1480, 2670),
}


def print_passes(rows: Sequence[Row]) -> None:
    """Print what passes cost on the CPU, beside the official code where its figures are known."""
    table = Table("what", title=_title(rows[0]))
    names = ["GMACs", "parameters", "forward", "forward + backward", "peak memory, forward", "peak memory, training"]
    columns: list[list[str]] = []
    for row in rows:
        table.add_column(f"{row['kind']}, {row['frames']} frames")
        columns.append(_column(row))
        official = OFFICIAL.get((row["size"], row["kind"])) if row["frames"] == 8 else None
        if official:
            table.add_column("official code")
            columns.append(_column(official._asdict()))
    for name, *cells in zip(names, *columns, strict=True):
        table.add_row(name, *cells)
    Console().print(table)


def _column(row: Row) -> list[str]:
    return [
        _products(row),
        f"{row['parameters'] / 1e6:.2f} M",
        f"{row['forward_cpu_s']:.3g} CPU s",
        f"{row['training_cpu_s']:.3g} CPU s",
        f"{row['forward_peak_memory_mb']:.0f} MB",
        f"{row['training_peak_memory_mb']:.0f} MB",
    ]


def _products(row: Row) -> str:
    return f"{row['gmacs']:.1f}" if row["gmacs"] >= 10 else f"{row['gmacs']:.2f}"


def print_steps(rows: Sequence[Row]) -> None:
    """Print what whole training steps cost on a device."""
    first = rows[0]
    switches = [name for name, key in (("compiled", "compiled"), ("checkpointing", "checkpointing")) if first[key]]
    how = ", ".join([first["card"] or f"CPU, {_threads(first)}", first["precision"], *switches])
    table = Table("network", "GFLOP a clip", "clips/s", "step", "first", "peak memory", "MFU")
    table.title = f"{_title(first)}: training steps with AdamW on {how}"
    for row in rows:
        name = f"{row['kind']}, {row['frames']} frames"
        flops = f"{training_flops(row['gmacs']) / 1e9:.3g}"
        if "reason" in row:
            table.add_row(name, flops, *["-"] * 5)
            continue
        mfu = "-" if row["mfu"] is None else f"{100 * row['mfu']:.1f} %"
        step = f"{1e3 * row['wall_s'] * row['batch']:.4g} ms"
        cells = f"{row['clips_per_second']:.3g}", step, f"{row['first_wall_s']:.1f} s"
        table.add_row(name, flops, *cells, f"{row['peak_memory_mb']:.0f} MB", mfu)
    console = Console()
    console.print(table)
    for row in rows:
        if "reason" in row:
            console.print(f"{row['kind']}, {row['frames']} frames: {row['reason']}", markup=False)
    if reason := next((row["mfu_left_out"] for row in rows if row.get("mfu_left_out")), ""):
        console.print(f"MFU is left out: {reason}", markup=False)


def print_data(rows: Sequence[Row]) -> None:
    """Print what decoding costs."""
    table = Table("film", "clips", "clips/s", "decode", "crop", "used / decoded / in reach")
    table.title = "One core opens, decodes and crops; frames per clip, in reach from key frames on"
    for row in rows:
        frames = " / ".join(f"{row[name] / row['clips']:.1f}" for name in _FRAMES)
        table.add_row(
            row["film"],
            f"{row['frames']} frames",
            f"{row['clips_per_second']:.3g}",
            f"{1e3 * row['decode_seconds']:.3g} ms",
            f"{1e3 * row['transform_seconds']:.3g} ms",
            frames,
        )
    Console().print(table)


_FRAMES = ("frames_used", "frames_decoded", "frames_in_reach")


def print_bounds(bounds: Sequence[Bound]) -> None:
    """Print what bounds a training run on each film."""
    console = Console(soft_wrap=True)
    for bound in bounds:
        console.print(f"{bound.kind}, {bound.frames} frames, {bound.film}:\n  {bound.sentence}", highlight=False)


def _title(row: Row) -> str:
    height, width = RESOLUTION[row["size"]]
    return f"UniFormerV2 {row['size']}, frames of {height} x {width}, batch {row['batch']}"


def _threads(row: Row) -> str:
    return "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"

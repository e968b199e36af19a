"""What `leaplan bench recogniser` measured, as figures beside those of the official code."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from leaplan.measuring import Figure
from leaplan.recognition.bench_network import training_flops

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


def name_of(row: Row) -> str:
    """Return how figures of a network begin."""
    return f"{row['kind']}, {row['frames']} frames"


def passes(row: Row) -> list[Figure]:
    """Return what passes on the CPU cost: `forward_` and `training_` seconds (of each repeat) and memory."""
    official = OFFICIAL.get((row["size"], row["kind"])) if row["frames"] == 8 else None

    def figure(what: str, key: str, unit: str, better: Any = "lower") -> Figure:
        beside = f"official: {getattr(official, key):,.4g}" if official else ""
        repeats = row[key] if isinstance(row[key], tuple) else (row[key],)
        return Figure(f"{name_of(row)}: {what}", repeats, unit, better, beside)

    return [
        figure("products of a forward pass", "gmacs", "GMAC/clip", ""),
        figure("parameters", "parameters", "", ""),
        figure("forward", "forward_cpu_s", "CPU s/clip"),
        figure("forward and backward", "training_cpu_s", "CPU s/clip"),
        figure("peak memory, forward", "forward_peak_memory_mb", "MB"),
        figure("peak memory, training", "training_peak_memory_mb", "MB"),
        throughput(row),
    ]


def throughput(row: Row) -> Figure:
    """Return the clips per second that training goes through."""
    return Figure(f"{name_of(row)}: training", row["clips_per_second"], "clips/s", "higher")


def steps(row: Row) -> list[Figure]:
    """Return what whole training steps cost on a device, and the share of its peak (MFU) where that is known."""
    name, flops = name_of(row), training_flops(row["gmacs"]) / 1e9
    figures = [Figure(f"{name}: operations of a training step", (flops,), "GFLOP/clip")]
    if "reason" in row:
        return figures
    figures += [
        throughput(row),
        Figure(f"{name}: first step", (row["first_wall_s"],), "s", "lower"),
        Figure(f"{name}: peak memory", (row["peak_memory_mb"],), "MB", "lower"),
    ]
    if row["mfu"] is not None:
        figures.append(Figure(f"{name}: MFU", tuple(100 * share for share in row["mfu"]), "%", "higher"))
    return figures


def reasons(rows: Sequence[Row]) -> list[str]:
    """Return why something is left out."""
    told = [f"{name_of(row)}: {row['reason']}" for row in rows if "reason" in row]
    left_out = next((f"MFU is left out: {row['mfu_left_out']}" for row in rows if row.get("mfu_left_out")), "")
    return [*told, left_out] if left_out else told

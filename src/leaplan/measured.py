"""Files of benchmark figures: what was measured, with which settings, on which machine."""

import os
import platform
import resource
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import leaplan
from leaplan.writing import write_json

SCHEMA = 1
LIBRARIES = ("torch", "numpy", "lightning", "transformers", "timm", "av")


def write_figures(path: Path, subject: str, settings: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Write what `leaplan bench` measured; `leaplan bench --compare` reads it.

    Args:
        path: Of the JSON file.
        subject: Of the benchmark.
        settings: Options that decide what is measured. Figures of other settings are no comparison.
        figures: Numbers by name, in mappings and lists as deep as you like. A name ends in its unit: `_s`, `seconds`
            and `_ms`, `_mb` (less is better); `per_second`, `per_s`, `per_hour`, `ratio`, `mfu`, `busy` (more is
            better). All other numbers say what was measured, not how well.
    """
    content = {"schema": SCHEMA, "bench": subject, "leaplan": leaplan.__version__, "settings": dict(settings)}
    write_json(path, {**content, "figures": dict(figures), "machine": machine()})


def machine() -> dict[str, Any]:
    """Return what this process runs on: processor, cores it may use, system, GPU (of a process that has loaded torch),
    and versions."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "platform": platform.platform(),
        "gpu": _gpu(),
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 if sys.platform != "darwin" else 1024**2), 1)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _gpu() -> str:
    torch: Any = sys.modules.get("torch")
    return str(torch.cuda.get_device_name()) if torch is not None and torch.cuda.is_available() else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""

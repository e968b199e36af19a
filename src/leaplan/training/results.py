"""`results.json`: every figure with the protocol it was measured under."""

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import leaplan
from leaplan.errors import DataError
from leaplan.writing import write_json

SCHEMA = 1


def read_results(run: Path) -> dict[str, Any]:
    """Return the results of a run folder, {} if it has none yet. A figure that is no finite number is None.

    Raises:
        DataError: The file is damaged.
    """
    path = run / "results.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error})", _again(run)) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, not results", _again(run))
    data = content.get("data")
    if isinstance(data, dict) and "split" in data:
        data["protocol"] = data.pop("split")  # as it was called at first
    return content


def _finite(number: str) -> float | None:
    """Return a figure, None for what is none: NaN, or beyond all numbers."""
    value = float(number)
    return value if isfinite(value) else None


def _again(run: Path) -> str:
    return f"Remove it and evaluate again:  leaplan test --config {run}/config.yaml"


def update_results(run: Path, task: str, sections: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `sections` into the results of `run` and return all of them. Metrics of other splits stay."""
    results = read_results(run)
    metrics = {**results.get("metrics", {}), **sections.get("metrics", {})}
    cost = {**results.get("cost", {}), **sections.get("cost", {})}
    results = {
        "schema": SCHEMA,
        "leaplan": leaplan.__version__,
        "task": task,
        "run": run.name,
        **{key: value for key, value in results.items() if key not in ("schema", "leaplan", "task", "run")},
        **sections,
        "metrics": metrics,
        "cost": cost,
        "environment": environment(),
    }
    write_json(run / "results.json", results)
    return results


def environment() -> dict[str, Any]:
    """Return versions, device and commit."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": version("lightning"),
        "device": device,
        "platform": platform.platform(),
        "git": _commit(),
    }


def _commit() -> str:
    """Return the commit of the checkout that this package runs from, "" outside a checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""

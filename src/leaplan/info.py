"""The verb `info`: what this installation is and runs on, for bug reports; `~` stands for the home folder."""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

import leaplan
from leaplan.measuring import usable_cores

LIBRARIES = (
    *("torch", "torchvision", "lightning", "torchmetrics", "transformers", "peft", "timm", "tokenizers", "safetensors"),
    *("jsonargparse", "numpy", "av", "decord", "torchcodec", "pillow", "pyarrow", "openai", "rich"),
)
DECODERS = {"pyav": "av", "decord": "decord", "torchcodec": "torchcodec"}
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # of NVIDIA, of NVIDIA below Windows, of AMD
VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF", "PYTHONPATH"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TMPDIR", "TERM", "NO_COLOR"),
    *("SLURM_JOB_ID", "SLURM_NTASKS", "LOCAL_RANK", "WORLD_SIZE", "WANDB_MODE"),
)
SECRETS = ("OPENAI_API_KEY", "HF_TOKEN", "WANDB_API_KEY")  # told to be set, never what to
MOST_FILES = 50_000  # of a cache are counted; what is larger is told as "more than"
EXAMPLES = """examples:
  leaplan info
  leaplan info --json"""


def main(argv: list[str]) -> int:
    """Run `leaplan info` and return 0."""
    parser = argparse.ArgumentParser(
        "leaplan info",
        description="Tell versions, devices, decoders and caches. Put it into bug reports.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(argv)
    found = gathered()
    if options.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print_info(found)
    return 0


def gathered() -> dict[str, dict[str, Any]]:
    """Return all that is told, by subject."""
    return {
        "leaplan": {"version": leaplan.__version__, "folder": shortened(Path(leaplan.__file__).parent), **_checkout()},
        "system": {"platform": platform.platform(), "python": platform.python_version(), **_processor()},
        "devices": _devices(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "decoders": _decoders(),
        "caches": {shortened(folder): _size(folder) for folder in _caches()},
        "environment": _environment(os.environ),
    }


def shortened(path: Path | str) -> str:
    """Return a path, or several in one text, with `~` for the home folder."""
    home = str(Path.home())
    return str(path) if home == "/" else str(path).replace(home, "~")


def _checkout() -> dict[str, str]:
    """Return the commit, where leaplan is run from a clone of its repository."""
    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return {}
    command = ["git", "-C", str(top), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=2)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git": told.stdout.strip()}


def _processor() -> dict[str, Any]:
    """Return cores that may be used, and memory in GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cores": os.cpu_count(), "usable cores": usable_cores(), "memory GiB": round(memory, 1)}


def _devices() -> dict[str, Any]:
    """Return what PyTorch computes on. Its import takes seconds: only where there may be more than a CPU."""
    more = sys.platform == "darwin" or any(Path(driver).exists() for driver in DRIVERS)
    return {"cpu": platform.machine(), **(_accelerators() if more else {}), "CUDA of torch": _cuda_of_torch()}


def _accelerators() -> dict[str, str]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that it needs does not fit this machine
        return {"torch": f"cannot be imported: {error}"}
    graphics = {
        f"cuda:{number}": f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        for number, properties in enumerate(map(torch.cuda.get_device_properties, range(torch.cuda.device_count())))
    }
    return graphics | ({"mps": "Apple"} if torch.backends.mps.is_available() else {})


def _cuda_of_torch() -> str:
    """Return the CUDA that PyTorch was built for, read from its files."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return "torch is not installed"
    told = re.search(r"^cuda\b.*= '([\d.]+)'", Path(found.origin).with_name("version.py").read_text("utf-8"), re.M)
    return told[1] if told else "no"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _decoders() -> dict[str, Any]:
    """Return which video decoders are at hand, and the one that reader "auto" takes: always PyAV."""
    there = [reader for reader, module in DECODERS.items() if find_spec(module) is not None]
    return {"at hand": there, "auto": "pyav" if "pyav" in there else None}


def _caches() -> list[Path]:
    hub = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub"
    ours = Path("~/.cache/leaplan").expanduser()
    below = sorted(path for path in ours.iterdir() if path.is_dir()) if ours.is_dir() else [ours]
    return [*below, Path(hub).expanduser()]


def _size(folder: Path) -> dict[str, Any] | None:
    """Return files and MiB of a folder, None where there is none; of a large one at least so much."""
    if not folder.is_dir():
        return None
    size, count = 0, 0
    for parent, _, names in os.walk(folder):
        for name in names:
            size += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
            count += 1
        if count > MOST_FILES:
            return {"files": count, "MiB": round(size / 2**20, 1), "more": True}
    return {"files": count, "MiB": round(size / 2**20, 1)}


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    told = {name: shortened(variables[name]) for name in VARIABLES if name in variables}
    return told | {name: "set" for name in SECRETS if variables.get(name)}


# --- the screen


def print_info(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print it, a line for each thing."""
    console = Console(highlight=False, soft_wrap=True)
    for subject, lines in found.items():
        console.print(f"[bold]{subject}[/bold]")
        width = max(map(len, lines), default=0)
        for name, value in lines.items():
            console.print(f"  {escape(f'{name:<{width}}')}  {escape(_told(value))}")


def _told(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{'more than ' if 'more' in value else ''}{value['MiB']:,} MiB in {value['files']:,} files"
    return ", ".join(value) if isinstance(value, list) else str(value)

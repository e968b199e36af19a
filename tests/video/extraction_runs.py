"""What tests of whole extractions share: how to start the verb, and what is in a folder of features."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = ("--encoder", "tests.video.tiny_encoder:TinyEncoder")
H264 = {"g": "30", "bf": "2", "preset": "veryfast"}


def arguments(videos, out, *more, encoder=TINY):
    """Return the verb's arguments."""
    return ["--videos", str(videos), "--out", str(out), *encoder, *map(str, more)]


def start(*words, **options):
    """Start `leaplan extract-features` in a process group of its own."""
    paths = [str(REPOSITORY / "src"), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "leaplan", "extract-features", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, process_group=0, **options)


def finished(process, timeout=100):
    """Return the exit code and all that was said."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out + err


def contents(folder):
    """Return the bytes of all files that extraction writes, by name; logs are left out."""
    files = [path for path in Path(folder).rglob("*") if path.is_file() and "logs" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def extracted(said):
    """Return how many videos a run says that it has extracted."""
    return sum(
        int(line.split(": ")[1].split()[0].replace(",", "")) for line in said.splitlines() if "videos extracted" in line
    )

"""What a function finds in each of two real processes that talk over gloo."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = """
import importlib, json, sys, warnings
from datetime import timedelta
import torch, torch.distributed as dist
warnings.simplefilter("ignore")
torch.set_num_threads(1)
test = importlib.import_module(sys.argv[1])
dist.init_process_group("gloo", timeout=timedelta(seconds=60))
print(json.dumps(test.on_process(dist.get_rank())))
dist.destroy_process_group()
"""


def found_by_two_processes(module: str) -> list[Any]:
    """Return what `on_process(rank)` of a module returns on each of two processes; it must fit JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, module],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    return [json.loads(out) for out, _ in answers]

"""Two real processes that talk over gloo, started once: command lines and functions of tests run on both in step.

They are started as `torchrun` starts processes. That one command starts both by itself is shown by other tests.
"""

import importlib
import io
import json
import os
import select
import socket
import subprocess
import sys
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

SECONDS = 150  # until a process counts as hung


class Pair:
    """Two processes, of ranks 0 and 1, that begin when they are first asked for something."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def leaplan(self, *arguments: object, code: int = 0) -> str:
        """Run the command line on both, of which the first must end with `code`; return what both printed."""
        answers = self._ask({"arguments": [str(each) for each in arguments]})
        error = "".join(answer["error"] for answer in answers)
        assert answers[0]["found"] == code, error
        assert "Traceback" not in error, error
        assert "unused parameters" not in error
        return "".join(answer["out"] for answer in answers)

    def found(self, module: str) -> list[Any]:
        """Return what `on_process(rank)` of a module returns on each of them; it must fit JSON."""
        answers = self._ask({"module": module})
        assert not any(answer["error"] for answer in answers), answers
        return [answer["found"] for answer in answers]

    def end(self) -> None:
        """End both; others begin when something is asked again."""
        for process in self.processes:
            process.kill()
            process.communicate()
        self.processes = []

    def _ask(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        self.processes = self.processes or begun()
        try:
            for process in self.processes:
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()
            return [answer_of(process) for process in self.processes]
        except BaseException:
            self.end()  # one may wait for the other forever
            raise


def begun() -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    ready, _, _ = select.select([process.stdout], [], [], SECONDS)
    line = process.stdout.readline() if ready else ""
    assert line, "it has died" if ready else f"no answer within {SECONDS} s"
    return json.loads(line)


def serve() -> None:
    """Do what the lines of standard input say, and answer each by a line."""
    import torch
    import torch.distributed as dist

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # gloo prints, too
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=SECONDS))
    for line in sys.stdin:
        out, error, found = io.StringIO(), io.StringIO(), None
        with redirect_stdout(out), redirect_stderr(error):
            try:
                found = done(json.loads(line), dist.get_rank())
            except BaseException:
                traceback.print_exc()
        print(json.dumps({"found": found, "out": out.getvalue(), "error": error.getvalue()}), file=answers, flush=True)


def done(order: dict[str, Any], rank: int) -> Any:
    if "arguments" in order:
        return importlib.import_module("leaplan.__main__").main(order["arguments"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(order["module"]).on_process(rank)


if __name__ == "__main__":
    serve()

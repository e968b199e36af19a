"""Many workers for one folder of features: processes of this machine. They share nothing but the folder."""

import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Self

from leaplan.video.extraction.outcomes import Outcome, Tally
from leaplan.video.extraction.progress import Progress

PATIENCE = 20.0  # seconds that an interrupted worker has to end by itself


class Speaker:
    """What a worker process tells the one that started it: a line of JSON for each event, on the output stream."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def expect(self, videos: int, size: int) -> None:
        """Tell how much is to be done."""
        self._say("expect", [videos, size])

    def add(self, outcome: Outcome) -> None:
        """Tell what became of a video."""
        self._say("outcome", asdict(outcome))

    def end(self, tally: Tally) -> None:
        """Tell what it took."""
        self._say("cost", [tally.decoding, tally.encoding])

    def _say(self, kind: str, content: object) -> None:
        print(json.dumps({kind: content}), flush=True)


def run_processes(
    commands: Sequence[Sequence[str]],
    logs: Path,
    environment: Mapping[str, str],
    progress: Progress,
    tally: Tally,
) -> dict[str, int]:
    """Run worker processes until all have ended, and return the exit codes of those that failed, by log file.

    A worker that is killed does not stop the others. If this is interrupted, all are, and have time to tidy up.

    Args:
        commands: One for each worker; they speak as `Speaker` does.
        logs: Folder for their error streams.
        environment: Of all of them; see `threads_each`.
        progress, tally: Told what they tell.

    Raises:
        KeyboardInterrupt: After the workers have ended.
    """
    logs.mkdir(parents=True, exist_ok=True)
    lines: queue.Queue[str | None] = queue.Queue()
    files = [logs / f"worker-{number}-of-{len(commands)}.txt" for number in range(len(commands))]
    with _ending(
        [_start(command, file, environment, lines) for command, file in zip(commands, files, strict=True)]
    ) as workers:
        running = len(workers)
        while running:
            try:
                line = lines.get(timeout=0.5)  # not for ever: a signal is to be heard meanwhile
            except queue.Empty:
                continue
            if line is None:
                running -= 1
            else:
                _hear(line, progress, tally, len(workers))
        codes = [worker.wait() for worker in workers]
    return {str(file): code for file, code in zip(files, codes, strict=True) if code not in (0, 1)}


def _start(
    command: Sequence[str], log: Path, environment: Mapping[str, str], lines: "queue.Queue[str | None]"
) -> "subprocess.Popen[str]":
    """Start a worker out of reach of the terminal's Ctrl-C, which is handed on when it is time."""
    with log.open("wb") as file:
        worker = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=file,
            stdin=subprocess.DEVNULL,
            text=True,
            env=dict(environment),
            process_group=0,
        )
    assert worker.stdout is not None
    threading.Thread(target=_listen, args=(worker.stdout, lines), daemon=True).start()
    return worker


def _listen(stream: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _hear(line: str, progress: Progress, tally: Tally, workers: int) -> None:
    event: dict[str, Any] = {}
    with suppress(ValueError):  # what a library prints is no event
        content = json.loads(line)
        event = content if isinstance(content, dict) else {}
    if "expect" in event:
        progress.expect(*event["expect"])
    elif "outcome" in event:
        outcome = Outcome(**event["outcome"])
        tally.add(outcome)
        if outcome.fresh:
            progress.add(outcome)
    elif "cost" in event:
        tally.decoding += event["cost"][0] / workers
        tally.encoding += event["cost"][1] / workers


@contextmanager
def _ending(workers: "list[subprocess.Popen[str]]") -> "Iterator[list[subprocess.Popen[str]]]":
    """Let no worker outlive what is inside."""
    try:
        yield workers
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in workers:
            try:
                worker.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def threads_each(workers: int) -> dict[str, str]:
    """Return the environment of a worker: its share of the cores, unless the user has said how many threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // workers)))}

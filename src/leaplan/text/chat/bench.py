"""`leaplan bench chat`: requests per second, CPU time and memory of the client, against a server on this machine."""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from leaplan.measuring import BUSY, PARTS, Figure, Measurement
from leaplan.text.chat.client import Chat
from leaplan.text.chat.loopback import Loopback, Reply, completion
from leaplan.text.chat.messages import ChatSettings, Request

EXAMPLES = "example: leaplan bench chat --requests 20000 --json bench.json"
TEXT = json.dumps({"program": "open", "body": [{"do": "reach", "a": "door"}] * 8})
PROMPT = "Write the action program of this clip. " * 200  # about 2,000 tokens


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark takes."""
    parser.add_argument("--requests", type=int, default=3000, help="default 3000")
    parser.add_argument("--concurrency", type=int, default=64, help="requests under way at a time (default 64)")
    parser.add_argument("--latency", type=float, default=0.05, help="of the server, seconds (default 0.05)")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure the client; the fifths of the requests count as repeats."""
    marks = measured(options.requests, options.concurrency, options.latency)
    pairs = list(pairwise(marks))
    rate = tuple((after.done - before.done) / (after.wall - before.wall) for before, after in pairs)
    cpu = tuple(1000 * (after.cpu - before.cpu) / (after.done - before.done) for before, after in pairs)
    work = Figure("requests", rate, "requests/s", "higher"), Figure("client", cpu, "CPU ms/request", "lower")
    memory = [
        Figure(f"resident memory after {marks[number].done:,} requests", (marks[number].memory_mb,), "MB", "lower")
        for number in (1, -1)
    ]
    title = (
        f"{options.requests:,} requests of {len(PROMPT):,} bytes at concurrency {options.concurrency}, "
        f"server latency {1000 * options.latency:g} ms"
    )
    return Measurement(title, [*work, *memory[: len(pairs)]], [_bound(*work, options.concurrency, options.latency)])


def _bound(rate: Figure, cpu: Figure, concurrency: int, latency: float) -> str:
    """Return which of the client's core and the server's latency is at its limit."""
    busy = rate.value * cpu.value / 1000
    most = concurrency / latency if latency else float("inf")
    if busy >= BUSY:
        by = "the host bounds"
    else:
        by = "the server's latency bounds" if rate.value >= BUSY * most else "neither host nor latency is at its limit"
    return f"{by}: the client's core is at work {busy:.0%} of the time; the server would answer {most:,.0f} requests/s"


class Mark(NamedTuple):
    """What a clock and the system say after so many requests: seconds, CPU seconds, MiB."""

    done: int
    wall: float
    cpu: float
    memory_mb: float


def measured(requests: int, concurrency: int, latency: float) -> list[Mark]:
    """Return the state before the first request and after each fifth; the server runs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    server = context.Process(target=_serve, args=(writer, latency), daemon=True)
    server.start()
    try:
        with TemporaryDirectory() as folder:
            settings = ChatSettings(
                "loopback", reader.recv(), cache=Path(folder) / "answers.sqlite", concurrency=concurrency
            )
            return asyncio.run(_measure(settings, requests))
    finally:
        server.kill()
        server.join()


async def _measure(settings: ChatSettings, count: int) -> list[Mark]:
    ends = {count * part // PARTS for part in range(1, PARTS + 1)} - {0}
    marks: list[Mark] = []
    done = 0

    def mark() -> None:
        marks.append(Mark(done, time.perf_counter(), time.process_time(), _resident_mb()))

    def each(number: int, outcome: object) -> None:
        nonlocal done
        done += 1
        if done in ends:
            mark()

    async with Chat(settings) as chat:
        await chat.ask(_request(-1))  # imports and the first connection do not count
        mark()
        await chat.ask_all(_requests(count), each)
    return marks


def _request(number: int) -> Request:
    return Request(({"role": "system", "content": PROMPT}, {"role": "user", "content": f"clip {number}"}))


def _requests(count: int) -> Iterator[tuple[int, Request]]:
    for number in range(count):
        yield number, _request(number)


def _serve(writer: Any, latency: float) -> None:
    answer = Reply(200, json.dumps(completion(TEXT, 2000, 100)).encode())

    async def handle(method: str, path: str, body: bytes) -> Reply:
        await asyncio.sleep(latency)
        return answer

    with Loopback(handle) as url:
        writer.send(url)
        time.sleep(3600)


def _resident_mb() -> float:
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

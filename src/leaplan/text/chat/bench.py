"""`leaplan bench chat`: requests per second, CPU time and memory of the client, against a server on this machine."""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from leaplan.text.chat.client import Chat
from leaplan.text.chat.loopback import Loopback, Reply, completion
from leaplan.text.chat.messages import ChatSettings, Request
from leaplan.writing import write_json

EXAMPLE = "example: leaplan bench chat --requests 20000"
TEXT = json.dumps({"program": "open", "body": [{"do": "reach", "a": "door"}] * 8})
PROMPT = "Write the action program of this clip. " * 200  # about 2,000 tokens
FIRST = 0.2  # share of requests after which memory is taken for the first time


def main(argv: list[str]) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser("leaplan bench", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("subject", choices=["chat"])
    parser.add_argument("--requests", type=int, default=3000, help="default 3000")
    parser.add_argument("--concurrency", type=int, default=64, help="requests under way at a time (default 64)")
    parser.add_argument("--latency", type=float, default=0.05, help="of the server, seconds (default 0.05)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(argv)
    row = measured(options.requests, options.concurrency, options.latency)
    print(
        f"{row['requests']:,} requests of {len(PROMPT):,} bytes at concurrency {row['concurrency']}, server latency "
        f"{1000 * row['latency_s']:g} ms: {row['requests_per_s']:.0f} requests/s, "
        f"{row['cpu_ms_per_request']:.2f} CPU ms each"
    )
    print(f"resident memory {row['first_mb']:.0f} MB after a fifth of them, {row['last_mb']:.0f} MB at the end")
    if options.json:
        write_json(options.json, {"bench": "chat", **row})
    return 0


def measured(requests: int, concurrency: int, latency: float) -> dict[str, Any]:
    """Return the figures; the server runs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    server = context.Process(target=_serve, args=(writer, latency), daemon=True)
    server.start()
    try:
        with TemporaryDirectory() as folder:
            settings = ChatSettings(
                "loopback", reader.recv(), cache=Path(folder) / "answers.sqlite", concurrency=concurrency
            )
            return asyncio.run(_measure(settings, requests)) | {"latency_s": latency}
    finally:
        server.kill()
        server.join()


async def _measure(settings: ChatSettings, count: int) -> dict[str, Any]:
    memory: list[float] = []
    done = 0

    def each(number: int, outcome: object) -> None:
        nonlocal done
        done += 1
        if done in (max(1, int(FIRST * count)), count):
            memory.append(_resident_mb())

    async with Chat(settings) as chat:
        await chat.ask(_request(-1))  # imports and the first connection do not count
        begun, cpu = time.perf_counter(), time.process_time()
        await chat.ask_all(_requests(count), each)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {
        "requests": count,
        "concurrency": settings.concurrency,
        "requests_per_s": count / seconds,
        "cpu_ms_per_request": 1000 * cpu / count,
        "first_mb": memory[0],
        "last_mb": memory[-1],
    }


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

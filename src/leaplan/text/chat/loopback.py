"""A small HTTP server on this machine, for benchmarks and tests: handlers answer, wait, reset or hang."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

RESET = object()  # close the connection without a word


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers. A `body` that is no bytes is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None  # close the connection after so many bytes of the body


Handler = Callable[[str, str, bytes], Awaitable["Reply | object"]]


class Loopback:
    """The server, in a thread of its own: `with Loopback(handler) as url: ...`.

    Args:
        handler: Called with method, path and body of each request, on the server's event loop.
    """

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self.port = 0

    def __enter__(self) -> str:
        """Start; return the base URL."""
        self._thread.start()
        self._ready.wait()
        return f"http://127.0.0.1:{self.port}/v1"

    def __exit__(self, *_: object) -> None:
        """Stop, whatever is still under way."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self.loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, length = _parsed(head)
                body = await reader.readexactly(length)
                reply = await self.handler(method, path, body)
                if not isinstance(reply, Reply):
                    writer.transport.abort()
                    return
                content = _response(reply)
                if reply.cut is not None:
                    writer.write(content[: content.index(b"\r\n\r\n") + 4 + reply.cut])
                    await writer.drain()
                    writer.transport.abort()
                    return
                writer.write(content)
                await writer.drain()
        writer.close()


def _parsed(head: bytes) -> tuple[str, str, int]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return method, path, int(headers.get("content-length", 0))


def _response(reply: Reply) -> bytes:
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    headers = {"content-type": "application/json", **reply.headers, "content-length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} -\r\n{lines}\r\n".encode("latin-1") + body


def completion(text: str | None, prompt: int, words: int, reason: str = "stop", **message: Any) -> dict[str, Any]:
    """Return a chat completion as servers send it."""
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "loopback",
        "system_fingerprint": "fp_loopback",
        "choices": [
            {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": words, "total_tokens": prompt + words},
    }

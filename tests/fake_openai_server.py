"""A server that speaks chat completions, files and batches over real HTTP, and breaks in every way on demand.

What breaks is decided by a hash of the request and how often it has come, so that a run with faults and one without
get equal answers in the end.
"""

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from leaplan.text.chat.loopback import RESET, Loopback, Reply, completion

#: Faults that pass: the same request asked again is answered. Each with what it does.
PASSING = ("rate limit", "storm", "error 500", "reset", "hang", "cut body", "no completion")
Answer = Callable[[list[dict[str, str]]], str]


class FakeOpenAI:
    """State and behaviour of the server.

    Args:
        answer: Messages to the content of the answer.
        share: Share of requests whose first attempt breaks in one of `faults`.
        faults: Names in `PASSING`.
        latency: Seconds before each answer.
        key: If given, the key that is asked for.
        model: If given, the only model there is.
        refuses: Words of the body that it answers with HTTP 400, such as "json_schema".
        usage: Whether answers tell tokens.
    """

    def __init__(
        self,
        answer: Answer,
        share: float = 0.0,
        faults: tuple[str, ...] = PASSING,
        latency: float = 0.0,
        model: str = "",
        refuses: tuple[str, ...] = (),
        always: Reply | None = None,
        usage: bool = True,
    ) -> None:
        self.answer, self.share, self.faults, self.latency = answer, share, faults, latency
        self.model, self.refuses, self.always, self.usage = model, refuses, always, usage
        self.asked: Counter[str] = Counter()  # by the hash of the messages
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []  # the last few
        self.prompt_tokens = self.completion_tokens = 0
        self.under_way = self.most_under_way = 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.polls = 1  # of a batch until it is completed

    async def handle(self, method: str, path: str, body: bytes) -> Reply | object:
        """Answer one request."""
        if path.startswith("/v1/chat/completions"):
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            try:
                return await self._complete(json.loads(body))
            finally:
                self.under_way -= 1
        if path.startswith("/v1/files"):
            return self._file(method, path, body)
        if path.startswith("/v1/batches"):
            return self._batch(method, path.split("?")[0], body)
        return Reply(404, {"error": {"message": f"no {path}"}})

    async def _complete(self, body: dict[str, Any]) -> Reply | object:
        key = key_of(body["messages"])
        self.asked[key] += 1
        self.bodies = [*self.bodies[-20:], body]
        if self.latency:
            await asyncio.sleep(self.latency)
        if self.always is not None:
            return self.always
        if self.model and body["model"] != self.model:
            return Reply(
                404, {"error": {"message": f"The model `{body['model']}` does not exist", "code": "model_not_found"}}
            )
        for word in self.refuses:
            if word in json.dumps({k: v for k, v in body.items() if k != "messages"}):
                return Reply(400, {"error": {"message": f"'{word}' is not supported"}})
        fault = self._fault(key)
        if fault is not None:
            return await self._break(fault, key)
        self.answered[key] += 1
        return Reply(200, self._completion(body))

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        text = self.answer(body["messages"])
        prompt = sum(len(m["content"]) for m in body["messages"]) // 4
        words = len(text) // 4 + 1
        self.prompt_tokens += prompt
        self.completion_tokens += words
        made = completion(text, prompt, words)
        if not self.usage:
            del made["usage"]
        return made

    def _fault(self, key: str) -> str | None:
        """The first attempt of a share of requests breaks; a storm lasts three attempts."""
        number = int(key[:8], 16)
        if not self.faults or number / 2**32 >= self.share:
            return None
        fault = self.faults[int(key[8:16], 16) % len(self.faults)]
        return fault if self.asked[key] <= (3 if fault == "storm" else 1) else None

    async def _break(self, fault: str, key: str) -> Reply | object:
        match fault:
            case "rate limit":
                return Reply(429, {"error": {"message": "slow down"}}, {"retry-after-ms": "20"})
            case "storm":
                return Reply(429, {"error": {"message": "slow down"}})
            case "error 500":
                return Reply(500, {"error": {"message": "oops"}})
            case "reset":
                return RESET
            case "hang":
                await asyncio.sleep(3600)
                return RESET
            case "cut body":
                return Reply(200, completion("{}", 1, 1), cut=20)
        return Reply(200, b"<html>this is no completion</html>")

    # --- files and batches ------------------------------------------------------------------------------

    def _file(self, method: str, path: str, body: bytes) -> Reply:
        if method == "POST":
            name = f"file-{len(self.files)}"
            lines = [line for line in body.splitlines() if line.startswith(b"{")]
            self.files[name] = b"\n".join(lines)
            return Reply(200, {"id": name, "object": "file", "bytes": len(body), "created_at": 0, "filename": "f",
                               "purpose": "batch", "status": "processed"})  # fmt: skip
        found = re.fullmatch(r"/v1/files/([\w-]+)/content", path)
        return Reply(200, self.files[found[1]]) if found else Reply(404, {"error": {"message": "no file"}})

    def _batch(self, method: str, path: str, body: bytes) -> Reply:
        if method == "POST":
            told = json.loads(body)
            name = f"batch-{len(self.batches)}"
            self.batches[name] = {
                "id": name, "object": "batch", "endpoint": told["endpoint"], "input_file_id": told["input_file_id"],
                "completion_window": "24h", "status": "in_progress", "created_at": 0, "metadata": told.get("metadata"),
                "left": self.polls,
            }  # fmt: skip
            return Reply(200, self.batches[name])
        name = path.rsplit("/", 1)[-1]
        if name == "batches":
            return Reply(200, {"object": "list", "data": list(self.batches.values()), "has_more": False})
        batch = self.batches[name]
        batch["left"] -= 1
        if batch["left"] <= 0 and batch["status"] == "in_progress":
            batch |= {"status": "completed", "output_file_id": self._answers(batch["input_file_id"])}
        return Reply(200, batch)

    def _answers(self, file: str) -> str:
        lines = []
        for line in self.files[file].splitlines():
            told = json.loads(line)
            key = key_of(told["body"]["messages"])
            self.asked[key] += 1
            self.answered[key] += 1
            response = {"status_code": 200, "body": self._completion(told["body"])}
            lines.append(json.dumps({"custom_id": told["custom_id"], "response": response, "error": None}))
        name = f"file-{len(self.files)}"
        self.files[name] = "\n".join(lines).encode()
        return name


def key_of(messages: list[dict[str, str]]) -> str:
    """Return the hash by which a conversation is counted."""
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()


@contextmanager
def serving(server: FakeOpenAI) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1; the base URL."""
    with Loopback(server.handle) as url:
        yield url

"""The provider's Batch API: half the price, answers within a day, and a batch that is found again after a kill.

A batch is written down under a token before it is made, and the token is part of what the provider keeps. Whatever
moment a process dies at, the next one knows the batch by its id, or finds it by its token.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from leaplan.errors import ConfigError
from leaplan.text.chat.messages import Answer, Failed, Request, Usage, most_prompt_tokens, request_hash
from leaplan.text.chat.wire import Fault, read_completion

if TYPE_CHECKING:
    from leaplan.text.chat.client import Chat

ENDPOINT: Final = "/v1/chat/completions"
MOST_REQUESTS, MOST_BYTES = 50_000, 64 << 20  # of one batch; providers allow more bytes, memory may not
ENDED = ("completed", "failed", "expired", "cancelled")
RECENT = 200  # batches that are looked through for a token
LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch: its hash, what is sent, the most tokens of its prompt, and the most it can cost."""

    key: str
    content: bytes
    tokens: int
    nano: int


async def run_batches(chat: "Chat", requests: Iterable[Request]) -> dict[str, Failed]:
    """Have all `requests` answered by batches, and store the answers. Return those without one, by hash.

    Batches of an earlier process are collected first. Interrupted, the same call continues. Of `requests` no more than
    one batch is in memory.

    Raises:
        ConfigError: The server has no Batch API, or refuses.
    """
    import openai

    try:
        return await _Batches(chat).run(requests)
    except openai.OpenAIError as error:
        what = chat.wire.redacted(str(error))
    where = chat.settings.base_url or "the server"
    raise ConfigError(  # out of the `except`, since what the SDK says may repeat the key
        f"the Batch API of {where} fails: {what}", "Run the same command again to continue, or leave out --batch"
    )


class _Batches:
    """A run of batches: as many at a time as the budget allows."""

    def __init__(self, chat: "Chat") -> None:
        self.chat, self.store = chat, chat.store
        self.client = chat.wire.client.with_options(max_retries=chat.settings.attempts)  # for what may be repeated
        self.open = deque(chat.store.open_batches())
        self.failed: dict[str, Failed] = {}

    async def run(self, requests: Iterable[Request]) -> dict[str, Failed]:
        while self.open:
            await self._collect()
        self.failed.clear()  # what an earlier run did not get is asked again
        part: list[Line] = []
        size = 0
        for line in self._lines(requests):
            if part and (len(part) == MOST_REQUESTS or size + len(line.content) > MOST_BYTES):
                await self._submit(part)
                part, size = [], 0
            part.append(line)
            size += len(line.content)
        await self._submit(part)
        while self.open:
            await self._collect()
        return self.failed

    def _lines(self, requests: Iterable[Request]) -> Iterable[Line]:
        """Yield what is new among `requests`, each once."""
        seen: set[str] = set()
        for request in requests:
            key = request_hash(self.chat.settings, request)
            if key in seen or key in self.failed or self.store.answer(key) is not None:
                continue
            seen.add(key)
            sent = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": self.chat.wire.body(request)}
            tokens = most_prompt_tokens(request)
            yield Line(key, json.dumps(sent).encode() + b"\n", tokens, self._most(tokens))

    def _most(self, tokens: int) -> int:
        """Return what a request with a prompt of at most so many tokens can cost, in nano-dollars."""
        return self.chat.price.of(Usage(tokens, 0, self.chat.settings.max_tokens), batch=True)

    # --- to the provider --------------------------------------------------------------------------------

    async def _submit(self, part: list[Line]) -> None:
        """Make batches of `part`, as far as the budget goes; wait for earlier ones where that makes room."""
        while part:
            kept = self._affordable(part)
            if kept and await self._make(part[:kept]):
                part = part[kept:]
            elif self.open:
                await self._collect()
            elif not kept:
                why = f"${self.chat.settings.max_usd:g} is spent or reserved"
                self.failed |= {line.key: Failed("budget", why, 0, line.key) for line in part}
                return

    def _affordable(self, part: list[Line]) -> int:
        """Return how many of the first lines the budget has room for."""
        if self.chat.limit is None:
            return len(part)
        room = self.chat.limit - sum(self.store.spending())
        for count, line in enumerate(part):
            room -= line.nano
            if room < 0:
                return count
        return len(part)

    async def _make(self, lines: list[Line]) -> bool:
        """Make one batch; return False where another process was quicker to spend the budget."""
        content = b"".join(line.content for line in lines)
        file = await self.client.files.create(file=("requests.jsonl", content), purpose="batch")
        token = uuid4().hex
        tokens = {line.key: line.tokens for line in lines}
        if not self.store.add_batch(token, tokens, sum(line.nano for line in lines), self.chat.limit):
            return False
        batch = await self._create(token, file.id)
        self.store.name_batch(token, batch)
        self.open.append((token, batch))
        return True

    async def _create(self, token: str, file: str) -> str:
        """Return the id of a new batch. Where a failure leaves open whether it was made, it is looked for first."""
        import openai

        for attempt in range(self.chat.settings.attempts):
            try:
                batch = await self.chat.wire.client.batches.create(
                    input_file_id=file, endpoint=ENDPOINT, completion_window="24h", metadata={"leaplan": token}
                )
                return batch.id
            except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError):
                await self._pause(attempt)
                found = await self._found(token)
                if found:
                    return found
                if attempt + 1 == self.chat.settings.attempts:
                    self.store.end_batch(token, 0)
                    raise
            except openai.APIStatusError:
                self.store.end_batch(token, 0)
                raise
        raise AssertionError("unreachable: attempts are at least 1")

    async def _found(self, token: str) -> str:
        """Return the id of the batch with this token, "" if there is none."""
        count = 0
        async for batch in self.client.batches.list(limit=100):
            if (batch.metadata or {}).get("leaplan") == token:
                return batch.id
            count += 1
            if count == RECENT:
                break
        return ""

    async def _pause(self, attempt: int) -> None:
        await asyncio.sleep(min(LONGEST_WAIT, self.chat.settings.first_wait * 2 ** min(attempt, 10)))

    # --- and back ---------------------------------------------------------------------------------------

    async def _collect(self) -> None:
        """Wait for the oldest batch, store its answers, and note what has none."""
        token, name = self.open.popleft()
        if not name:
            name = await self._found(token)
            if not name:  # it was never made
                self.store.end_batch(token, 0)
                return
            self.store.name_batch(token, name)
        tokens = self.store.batched(token)
        batch = await self._ended(name)
        if batch is None:
            why = f"the server does not know batch {name} any more"
            self.failed |= {key: Failed("server", why, 1, key) for key in tokens}
            self.store.end_batch(token, None)
            return
        why = self.chat.wire.redacted(f"batch {name} ended as {batch.status}{_errors(batch)}")
        missing = {key: Failed("server", why, 1, key) for key in tokens}
        paid: dict[str, int] = {}
        for file in filter(None, (batch.output_file_id, batch.error_file_id)):
            await self._read(file, tokens, missing, paid)
        self.store.end_batch(token, sum(paid.values()))
        self.failed |= missing

    async def _ended(self, name: str) -> Any | None:
        """Return a batch when it has ended; None where the server does not know it. Short failures are sat out."""
        import openai

        failing_since: float | None = None
        while True:
            try:
                batch = await self.client.batches.retrieve(name)
                if batch.status in ENDED:
                    return batch
                failing_since = None
            except openai.NotFoundError:
                return None
            except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError):
                failing_since = failing_since or monotonic()
                if monotonic() - failing_since > self.chat.settings.patience:
                    raise
            await asyncio.sleep(self.chat.settings.poll_seconds)

    async def _read(self, file: str, tokens: dict[str, int], missing: dict[str, Failed], paid: dict[str, int]) -> None:
        """Read a file of results, and once more where that breaks off: what is stored stays stored."""
        for attempt in range(self.chat.settings.attempts):
            try:
                async for line in self._results(file):
                    self._take(line, tokens, missing, paid)
                return
            except Exception as error:
                fault = self.chat.wire.fault_of(error)
                if fault is None or not fault.again or attempt + 1 == self.chat.settings.attempts:
                    raise
                await self._pause(attempt)

    async def _results(self, file: str) -> AsyncIterator[bytes]:
        """Yield the lines of a file as they arrive."""
        rest = b""
        async with self.client.files.with_streaming_response.content(file) as response:
            async for part in response.iter_bytes():
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    yield line
        yield rest

    def _take(self, line: bytes, tokens: dict[str, int], missing: dict[str, Failed], paid: dict[str, int]) -> None:
        """Store the answer in one line, or note what went wrong; either may have cost something."""
        key, outcome = self._outcome(line)
        if key not in tokens:
            return
        if isinstance(outcome, Answer):
            paid[key] = round(self.chat.keep(outcome, tokens[key], None, batch=True).usd * 10**9)
            missing.pop(key, None)
        elif key in missing:
            missing[key] = Failed(outcome.kind, self.chat.wire.redacted(outcome.message), 1, key)
            if outcome.billed:
                paid[key] = self._most(tokens[key])

    def _outcome(self, line: bytes) -> tuple[str, Answer | Fault]:
        """Return the request's hash in a line of results, and its answer or what went wrong."""
        nothing = Fault("malformed", "the line of this request in the batch cannot be read", billed=True)
        try:
            told = json.loads(line)
            key = str(told["custom_id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return "", nothing
        try:
            response = told.get("response") or {}
            if response.get("status_code") == 200:
                return key, read_completion(response["body"], key, self.chat.settings.model)
            error = (response.get("body") or {}).get("error") or told.get("error") or {}
            return key, Fault("server", str(error.get("message") or error))
        except (KeyError, TypeError, AttributeError):
            return key, nothing


def _errors(batch: Any) -> str:
    """Return what the provider found wrong with a batch, for a message."""
    told = getattr(getattr(batch, "errors", None), "data", None) or ()
    words = "; ".join(dict.fromkeys(str(error.message) for error in told if error.message))
    return f": {words}" if words else ""

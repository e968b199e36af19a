"""The provider's Batch API: half the price, answers within a day, and a batch that is found again after a kill.

A batch is written down under a token before it is made, and the token is part of what the provider keeps. Whatever
moment a process dies at, the next one knows the batch by its id, or finds it by its token.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from leaplan.errors import ConfigError
from leaplan.text.chat.messages import Answer, Failed, Request, request_hash
from leaplan.text.chat.wire import read_completion

if TYPE_CHECKING:
    from leaplan.text.chat.client import Chat

ENDPOINT: Final = "/v1/chat/completions"
MOST_REQUESTS, MOST_BYTES = 50_000, 100 << 20  # of one batch, as providers allow
ENDED = ("completed", "failed", "expired", "cancelled")
RECENT = 200  # batches that are looked through for a token


async def run_batches(chat: "Chat", requests: Iterable[Request]) -> dict[str, Failed]:
    """Have all `requests` answered by batches, and store the answers. Return those without one, by hash.

    Batches of an earlier process are waited for first. Interrupted, the same call continues.

    Raises:
        ConfigError: The server has no Batch API, or refuses.
    """
    import openai

    known: dict[str, Request] = {}
    for request in requests:
        known.setdefault(request_hash(chat.settings, request), request)
    failed: dict[str, Failed] = {}
    try:
        for token, batch, hashes in chat.store.open_batches():
            failed |= await _finish(chat, token, batch or await _found(chat, token), hashes, known)
        new = {key: r for key, r in known.items() if key not in failed and chat.store.answer(key) is None}
        for part in _parts(chat, new):
            failed |= await _run(chat, part)
    except openai.OpenAIError as error:
        what = f"the Batch API of {chat.settings.base_url or 'the server'} fails: {chat.wire.redacted(str(error))}"
        raise ConfigError(what, "Run the same command again to continue, or leave out --batch") from error
    return failed


def _parts(chat: "Chat", requests: dict[str, Request]) -> Iterator[dict[str, Request]]:
    """Yield the requests in parts that one batch may hold."""
    part: dict[str, Request] = {}
    size = 0
    for key, request in requests.items():
        length = len(_line(chat, key, request))
        if part and (len(part) == MOST_REQUESTS or size + length > MOST_BYTES):
            yield part
            part, size = {}, 0
        part[key] = request
        size += length
    if part:
        yield part


async def _run(chat: "Chat", part: dict[str, Request]) -> dict[str, Failed]:
    """Make one batch of `part`, as far as the budget goes, and wait for its answers."""
    nano = {key: chat.price.at_most(r, chat.settings.max_tokens, batch=True) for key, r in part.items()}
    room = None if chat.limit is None else chat.limit - sum(chat.store.spending())
    kept: list[str] = []
    for key, most in nano.items():
        if room is not None and most > room:
            break
        room = None if room is None else room - most
        kept.append(key)
    unpaid = {
        key: Failed("budget", f"${chat.settings.max_usd:g} is spent or reserved", 0, key)
        for key in list(part)[len(kept) :]
    }
    token = uuid4().hex
    if not kept or not chat.store.add_batch(token, kept, sum(nano[key] for key in kept), chat.limit):
        return unpaid
    content = b"".join(_line(chat, key, part[key]) for key in kept)
    client = chat.wire.client
    file = await client.files.create(file=("requests.jsonl", content), purpose="batch")
    batch = await client.batches.create(
        input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={"leaplan": token}
    )
    chat.store.name_batch(token, batch.id)
    return unpaid | await _finish(chat, token, batch.id, kept, part)


async def _found(chat: "Chat", token: str) -> str:
    """Return the id of a batch that was made before its id could be noted; "" if it was never made."""
    count = 0
    async for batch in chat.wire.client.batches.list(limit=100):
        if (batch.metadata or {}).get("leaplan") == token:
            chat.store.name_batch(token, batch.id)
            return batch.id
        count += 1
        if count == RECENT:
            break
    return ""


async def _finish(
    chat: "Chat", token: str, batch_id: str, hashes: list[str], requests: dict[str, Request]
) -> dict[str, Failed]:
    """Wait for a batch, store its answers, and return what has none."""
    if not batch_id:
        chat.store.end_batch(token, 0)
        return {}
    while (batch := await chat.wire.client.batches.retrieve(batch_id)).status not in ENDED:
        await asyncio.sleep(chat.settings.poll_seconds)
    failed = {key: Failed("server", f"the batch {batch_id} ended as {batch.status}", 1, key) for key in hashes}
    paid = 0
    for file in filter(None, (batch.output_file_id, batch.error_file_id)):
        for line in (await chat.wire.client.files.content(file)).content.splitlines():
            key, outcome = _outcome(chat, line)
            if key not in failed:
                continue
            if isinstance(outcome, Answer):
                request = requests.get(key) or Request(())
                paid += round(chat.keep(request, outcome, None, batch=True).usd * 10**9)
                del failed[key]
            else:
                failed[key] = outcome
    chat.store.end_batch(token, paid)
    return failed


def _line(chat: "Chat", key: str, request: Request) -> bytes:
    line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": chat.wire.body(request)}
    return json.dumps(line).encode() + b"\n"


def _outcome(chat: "Chat", line: bytes) -> tuple[str, Any]:
    """Return the request's hash in a line of a batch's output, and its answer or what went wrong."""
    try:
        told = json.loads(line)
        key, response = str(told["custom_id"]), told.get("response") or {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", None
    if response.get("status_code") == 200:
        reply = read_completion(response["body"], key, chat.settings.model)
        if isinstance(reply, Answer):
            return key, reply
        return key, Failed(reply.kind, reply.message, 1, key)
    error = (response.get("body") or {}).get("error") or told.get("error") or {}
    return key, Failed("server", chat.wire.redacted(str(error.get("message") or error)), 1, key)

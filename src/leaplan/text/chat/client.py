"""Asking a language model: cached, within a budget, patient with its server, and free to be killed at any moment."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Any

from leaplan.errors import ConfigError, UserError
from leaplan.text.chat.messages import Answer, ChatSettings, Failed, Request, Usage, most_prompt_tokens, request_hash
from leaplan.text.chat.prices import NANO, Estimate, expected_tokens, nano_of, price_of
from leaplan.text.chat.store import Store
from leaplan.text.chat.wire import Fault, Wire

UNHEARD = ("connection", "timeout")
LONGEST_WAIT = 60.0
OLD = 2.0  # in timeouts: no process can still wait for a request that is as old
Outcome = Answer | Failed
Done = Callable[[Any, Outcome], Awaitable[None] | None]


class Chat:
    """A client: `async with Chat(settings) as chat: answer = await chat.ask(request)`.

    Equal requests are sent once, by this process or any earlier one. What fails for one request comes back as a value;
    what would fail for all (a wrong key, an unknown model, no server) is raised.

    Args:
        settings: Server, model and limits.

    Raises:
        ConfigError: No key, or a price that is not known.
        DataError: The file of answers cannot be used.
    """

    def __init__(self, settings: ChatSettings) -> None:
        self.settings = settings
        self.price, self.price_source = price_of(settings)
        self.limit = None if settings.max_usd is None else nano_of(settings.max_usd)
        self.store = Store(settings.cache)
        if not settings.count_lost:
            self.store.forgive(OLD * settings.timeout + settings.grace)
        self._wire: Wire | None = None
        self._tasks: dict[str, asyncio.Task[Outcome]] = {}
        self._room = asyncio.Semaphore(settings.concurrency)
        self._resume_at = 0.0  # when the server wants to hear from us again
        self._fatal: UserError | None = None
        self._under_way = 0  # requests that hold a part of the budget
        self._settled = asyncio.Event()  # set whenever one of them gives it back
        self._heard = False  # whether the server ever answered
        self._sending: set[asyncio.Task[Any]] = set()
        self._ending = False
        self._in_batches: dict[str, str] | None = None  # hashes of batches that are not collected yet
        self._random = random.Random(settings.seed)

    @property
    def wire(self) -> Wire:
        """What sends; made when the first request must be sent, so that cached answers need no key."""
        if self._wire is None:
            self._wire = Wire(self.settings)
        return self._wire

    async def __aenter__(self) -> "Chat":
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait a moment for answers under way, since they are paid for, and close everything."""
        await self._settle_down()
        if self._wire is not None:
            await self._wire.close()
        self.store.close()

    @property
    def spent_usd(self) -> float:
        """USD paid, plus what requests under way or lost may have cost at most."""
        return sum(self.store.spending()) / NANO

    async def ask(self, request: Request) -> Outcome:
        """Return the answer, from the cache if it is there.

        Raises:
            UserError: The server refuses everything: wrong key, unknown model, no money, not there.
        """
        key = request_hash(self.settings, request)
        known = self.store.answer(key)
        if known is not None:
            return known
        if self._fatal is not None:
            raise self._fatal
        task = self._tasks.get(key)
        first = task is None
        if task is None:
            task = asyncio.create_task(self._fetch(request, key))
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        outcome = await asyncio.shield(task)  # an answer under way is paid for: interrupting the wait does not drop it
        return outcome if first or isinstance(outcome, Failed) else replace(outcome, cached=True)

    async def ask_all(self, requests: Iterable[tuple[Any, Request]], on_done: Done) -> None:
        """Ask all `requests` and call `on_done(id, outcome)` as each is done, in any order.

        Requests are taken from the iterable as there is room, so that it may be longer than memory. SIGTERM ends it as
        Ctrl-C does: answers under way are waited for and kept.

        Raises:
            UserError: As `ask`.
            asyncio.CancelledError: It was interrupted.
        """
        waiting = iter(requests)

        async def work() -> None:
            for name, request in waiting:
                outcome = await self.ask(request)
                called = on_done(name, outcome)
                if called is not None:
                    await called
                await asyncio.sleep(0)  # cached answers must not keep others waiting

        with _EndsAtSigterm():
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.settings.concurrency):
                        group.create_task(work())
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def batch(self, requests: Iterable[Request]) -> dict[str, Failed]:
        """Have all `requests` answered by the provider's Batch API; see `batch.run_batches`."""
        from leaplan.text.chat.batch import run_batches

        try:
            return await run_batches(self, requests)
        finally:
            self._in_batches = None

    def estimate(self, requests: Iterable[Request]) -> Estimate:
        """Return what it would take to answer `requests`; nothing is sent."""
        seen: set[str] = set()
        count = cached = prompt = nano = most = 0
        completion = self.settings.max_tokens // 4
        for count, request in enumerate(requests, 1):  # noqa: B007
            key = request_hash(self.settings, request)
            if key in seen:
                continue
            seen.add(key)
            if self.store.answer(key) is not None:
                cached += 1
                continue
            tokens = expected_tokens(request)
            prompt += tokens
            nano += self.price.of(Usage(tokens, 0, completion))
            most += self.price.at_most(request, self.settings.max_tokens)
        new = len(seen) - cached
        return Estimate(count, len(seen), cached, prompt, new * completion, nano / NANO, most / NANO, self.price_source)

    # --- one request ------------------------------------------------------------------------------------

    async def _fetch(self, request: Request, key: str) -> Outcome:
        """Send `request` until it is answered or given up."""
        async with self._room:
            known = self.store.answer(key)  # another process may have asked while this one waited for room
            if known is not None:
                return known
            self._must_not_be_in_a_batch(key)
            attempts, tries, start = 0, 0, monotonic()
            while True:
                await self._wait_until_welcome()
                if self._fatal is not None:
                    raise self._fatal
                if self._ending:
                    raise asyncio.CancelledError
                entry = await self._reserve(request, key)
                if entry is None:
                    return Failed("budget", f"${self.settings.max_usd:g} is spent or reserved", attempts, key)
                attempts += 1
                reply = await self._attempt(request, entry)
                if isinstance(reply, Answer):
                    return reply
                tries += reply.kind not in (
                    "rate limit",
                    "refused",
                )  # which are bounded by patience, and by what is left
                patient = monotonic() - start + (reply.wait or 0) < self.settings.patience
                if reply.fatal is not None or not reply.again or tries >= self.settings.attempts or not patient:
                    return self._give_up(reply, attempts, key)
                await self._step_back(reply, attempts)

    def _must_not_be_in_a_batch(self, key: str) -> None:
        if self._in_batches is None:
            found = self.store.open_batches()
            self._in_batches = {each: batch for token, batch in found for each in self.store.batched(token)}
        if key in self._in_batches:
            batch = self._in_batches[key] or "an earlier run"
            what = f"this is asked in batch {batch} already, whose answers are not collected yet"
            self._fatal = ConfigError(what, "Run the same command with --batch to collect them")
            raise self._fatal

    async def _reserve(self, request: Request, key: str) -> int | None:
        """Return an entry of the ledger, as soon as requests under way leave room; None where nothing will."""
        nano = self.price.at_most(request, self.settings.max_tokens)
        while (entry := self.store.reserve(key, nano, self.limit)) is None and self._under_way:
            self._settled.clear()
            await self._settled.wait()
        return entry

    async def _attempt(self, request: Request, entry: int) -> Answer | Fault:
        """Send `request` once, and settle its entry: paid, not billed, or (where nobody knows) left at its highest."""
        self._under_way += 1
        task = asyncio.current_task()
        assert task is not None
        self._sending.add(task)
        try:
            reply = await self.wire.send(request)
            self._heard |= isinstance(reply, Answer) or reply.kind not in UNHEARD
            if isinstance(reply, Answer):
                return self.keep(reply, most_prompt_tokens(request), entry)
            if not reply.billed:
                self.store.cancel(entry)
            return reply
        finally:
            self._sending.discard(task)
            self._under_way -= 1
            self._settled.set()

    def keep(self, answer: Answer, most: int, entry: int | None, batch: bool = False) -> Answer:
        """Store a paid answer to a prompt of at most `most` tokens, and settle its entry of the ledger.

        A server that counts no tokens is taken to have used as many as possible.
        """
        usage = answer.usage
        if usage.prompt < 0:
            usage = Usage(most, 0, self.settings.max_tokens)
        answer = replace(answer, usage=usage)
        return self.store.keep(answer, self.price.of(usage, batch), entry)

    def _give_up(self, fault: Fault, attempts: int, key: str) -> Failed:
        """Return what went wrong; raise what would go wrong for all others as well."""
        fatal = fault.fatal
        where = self.settings.base_url or "the server"
        if fatal is None and fault.kind in UNHEARD and not self._heard:
            fatal = ConfigError(f"{where} does not answer: {fault.message}", "Check --base-url, and that it runs")
        if fatal is None and fault.wait is not None and fault.wait > self.settings.patience:
            what = f"{where} asks to wait for {timedelta(seconds=round(min(fault.wait, 1e9)))}: {fault.message}"
            fatal = ConfigError(what, "Run the same command again then; all that was answered is kept")
        if fatal is not None:
            self._fatal = self._fatal or fatal
            raise self._fatal
        return Failed(fault.kind, fault.message, attempts, key)

    async def _step_back(self, fault: Fault, attempts: int) -> None:
        """Wait before the next attempt; all requests wait where the server has too many."""
        wait = min(LONGEST_WAIT, self.settings.first_wait * 2 ** min(attempts - 1, 10)) * self._random.uniform(0.5, 1.0)
        if fault.kind == "refused":  # the next attempt leaves out what was refused
            return
        if fault.wait is not None:
            wait = fault.wait
        if fault.kind == "rate limit":
            self._resume_at = max(self._resume_at, monotonic() + wait)
        else:
            await asyncio.sleep(wait)

    async def _wait_until_welcome(self) -> None:
        while (wait := self._resume_at - monotonic()) > 0:
            await asyncio.sleep(wait + self._random.uniform(0, 0.1 * min(wait, 5.0)))

    async def _settle_down(self) -> None:
        """Give requests under way a moment to be answered and stored, then drop them. Nothing more is sent."""
        self._ending = True
        tasks = list(self._tasks.values())
        for task in tasks:
            if task not in self._sending:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self.settings.grace)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _EndsAtSigterm(contextlib.AbstractContextManager[None]):
    """Within it, SIGTERM cancels the current task."""

    def __enter__(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        self.loop = loop
        assert task is not None
        with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):  # not in the main thread
            loop.add_signal_handler(signal.SIGTERM, task.cancel)

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
            self.loop.remove_signal_handler(signal.SIGTERM)

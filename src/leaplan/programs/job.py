"""Programs from a language model: ask, check, ask once more with the faults, keep what came of it.

Answers and their prices are the business of `leaplan.text.chat`, which pays for nothing twice. What is here can be
killed at any moment: evidence without a recorded outcome is asked again, and its answers come from the cache.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from leaplan.programs.datasets import Dataset
from leaplan.programs.evidence import Clip
from leaplan.programs.exemplars import Library, read_exemplars
from leaplan.programs.json_form import loads, schema
from leaplan.programs.language import Program
from leaplan.programs.ledger import Ledger, Outcome
from leaplan.programs.lex import ProgramError
from leaplan.programs.progress import Progress
from leaplan.programs.prompt import Prompts, repair_messages
from leaplan.programs.rows import Provenance, Reason, reasons_of
from leaplan.programs.written import COMMIT, Checker, written
from leaplan.text.chat import Answer, Chat, Failed, Request, request_hash

MODEL = "llm"
SCHEMA_NAME = "action_program"
NO_EVIDENCE = Reason("no evidence", "nothing is known of the clip: no narration, no classes, no descriptor")
NO_PROGRAM = "no program in the answer"
CUT = Reason("cut answer", "the answer was cut off at the longest allowed; write a shorter program")
DECLINED = ("refusal", "content_filter")
BUDGET = "budget"
Ask = Callable[[Request], Awaitable[Answer | Failed]]


class Questions:
    """Turns clips into requests, and answers into programs with their faults.

    Args:
        dataset: Whose clips.
        examples: How many exemplars each prompt shows.
        structured: "schema", "json" or "text".
        library: The exemplars; ours by default.
    """

    def __init__(self, dataset: Dataset, examples: int, structured: str, library: Library | None = None) -> None:
        self.dataset, self.examples = dataset, examples
        self.prompts = Prompts(dataset.language)
        self.schema = None if structured == "text" else schema(dataset.language)
        self._checker = Checker(dataset.language)
        self._library = _library(dataset, self._checker) if library is None and examples else library

    def first(self, clip: Clip, again: int = 0) -> Request:
        """Return the request for the program of `clip`; `again` counts how often it was asked anew."""
        evidence = self.dataset.assembler.evidence(clip).text()
        shown = self._library.retrieve(clip, evidence, self.examples) if self._library and self.examples else ()
        return Request(tuple(self.prompts.messages(evidence, shown)), SCHEMA_NAME, self.schema, again)

    def repair(self, request: Request, answer: Answer, reasons: tuple[Reason, ...]) -> Request:
        """Return the request that sends all faults of `answer` to `request` back."""
        return replace(request, messages=(*request.messages, *repair_messages(answer.text, reasons)))

    def read(self, answer: Answer) -> tuple[Program | None, tuple[Reason, ...]]:
        """Return the program in `answer`, if there is one, and all that is wrong."""
        if answer.finish_reason in DECLINED:
            return None, (Reason("declined", answer.text[:200] or answer.finish_reason),)
        try:
            program = loads(answer.text, self.dataset.language)
        except ProgramError as error:
            cut = (CUT,) if answer.finish_reason == "length" else ()
            every = (error, *error.others)
            return None, (*cut, *(Reason(NO_PROGRAM, each.message, each.path) for each in every))
        return program, reasons_of(self._checker.faults(program))


def _library(dataset: Dataset, checker: Checker) -> Library | None:
    """Return our exemplars that are valid programs of the dataset's language, None if none is."""
    fitting = [exemplar for exemplar in read_exemplars() if not checker.faults(exemplar.program)]
    return Library(fitting, dataset.categories) if fitting else None


@dataclass(slots=True)
class Turns:
    """What was asked and answered for one piece of evidence, added up."""

    answers: list[Answer] = field(default_factory=list)

    def provenance(self) -> Provenance:
        """Return where the last answer came from, with the price of all."""
        if not self.answers:
            return Provenance(backend=MODEL)
        last = self.answers[-1]
        return Provenance(
            backend=MODEL,
            model=last.model,
            fingerprint=last.fingerprint,
            request=last.request_hash,
            tokens_in=sum(answer.usage.prompt for answer in self.answers),
            tokens_out=sum(answer.usage.completion for answer in self.answers),
            usd=sum(answer.usd for answer in self.answers),
            repaired=len(self.answers) > 1,
        )


class Job:
    """All evidence of a dataset without an outcome, and how it gets one.

    Args:
        questions: Makes the requests.
        ledger: Where outcomes go.
    """

    def __init__(self, questions: Questions, ledger: Ledger) -> None:
        self.questions, self.ledger = questions, ledger
        self.pending: dict[str, Clip] = {}
        self.out_of_budget = False
        self._again = ledger.asked_again()
        self._unsaved = 0

    def prepare(self, progress: Progress) -> None:
        """Look at the evidence of all clips: equal evidence is asked once."""
        done, keys = self.ledger.answered(MODEL), []
        dataset = self.questions.dataset
        for clip in dataset.clips:
            evidence = dataset.assembler.evidence(clip)
            key = evidence.key()
            keys.append((clip.id, key))
            if key not in done and key not in self.pending:
                if evidence.sections:
                    self.pending[key] = clip
                else:
                    origin = Provenance(backend=MODEL)
                    self.ledger.record(key, MODEL, Outcome("failed", faults=(NO_EVIDENCE,), provenance=origin))
                    done.add(key)
            progress.advance()
        self.ledger.set_clips(keys)
        self.ledger.commit()

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yield (key of evidence, request) of all that is pending.

        The same verb and noun follow one another: their prompts begin alike, which providers charge less for.
        """
        for key, clip in sorted(self.pending.items(), key=lambda item: (item[1].verb, item[1].noun)):
            yield key, self.questions.first(clip, self._again.get(key, 0))

    def _affordable(self, chat: Chat) -> Iterator[tuple[tuple[str, Request], Request]]:
        """Yield requests under their names; once the budget is spent, only those whose answer is there."""
        for key, request in self.requests():
            if not self.out_of_budget or chat.store.answer(request_hash(chat.settings, request)) is not None:
                yield (key, request), request

    async def run(self, chat: Chat, progress: Progress) -> None:
        """Ask for all that is pending and record what comes of it. What the budget does not allow stays pending.

        Raises:
            UserError: The server refuses everything.
        """

        async def done(item: tuple[str, Request], outcome: Answer | Failed) -> None:
            key, request = item
            self._record(key, await self._turns(chat.ask, request, outcome, Turns()))
            progress.advance(f"{chat.spent_usd:.4f} USD")

        try:
            await chat.ask_all(self._affordable(chat), done)
        finally:
            self.ledger.commit()

    async def run_batches(self, chat: Chat, progress: Progress) -> None:
        """As `run`, by the provider's Batch API: one round for the programs, one for the repairs.

        Raises:
            UserError: The server refuses everything, or has no Batch API.
        """
        failed = await chat.batch(request for _, request in self.requests())
        failed |= await chat.batch(self._repairs(chat))

        async def ask(request: Request) -> Answer | Failed:
            known = failed.get(request_hash(chat.settings, request))
            return known if known is not None else await chat.ask(request)

        try:
            for key, request in self.requests():
                self._record(key, await self._turns(ask, request, await ask(request), Turns()))
                progress.advance(f"{chat.spent_usd:.4f} USD")
        finally:
            self.ledger.commit()

    def _repairs(self, chat: Chat) -> Iterator[Request]:
        """Yield the repair turn of each stored answer that has faults."""
        for _, request in self.requests():
            answer = chat.store.answer(request_hash(chat.settings, request))
            if answer is not None:
                _, reasons = self.questions.read(answer)
                if reasons and answer.finish_reason not in DECLINED:
                    yield self.questions.repair(request, answer, reasons)

    async def _turns(self, ask: Ask, request: Request, reply: Answer | Failed, turns: Turns) -> Outcome | None:
        """Return what comes of the `reply` to `request` and of a repair turn, None where the budget is spent."""
        if isinstance(reply, Failed):
            return self._failed(reply, turns)
        turns.answers.append(reply)
        program, reasons = self.questions.read(reply)
        if reasons and len(turns.answers) == 1 and reply.finish_reason not in DECLINED:
            return await self._turns(ask, request, await ask(self.questions.repair(request, reply, reasons)), turns)
        origin = turns.provenance()
        if program is None:
            return Outcome("invalid", faults=reasons, provenance=origin)
        return written(program, reasons, self.questions.dataset.language, origin)

    def _failed(self, reply: Failed, turns: Turns) -> Outcome | None:
        if reply.kind == BUDGET:
            self.out_of_budget = True
            return None
        reason = Reason(f"no answer: {reply.kind}", f"{reply.message} (tried {reply.attempts} times)")
        return Outcome("failed", faults=(reason,), provenance=replace(turns.provenance(), request=reply.request_hash))

    def _record(self, key: str, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        self.ledger.record(key, MODEL, outcome)
        del self.pending[key]
        self._unsaved += 1
        if self._unsaved % COMMIT == 0:
            self.ledger.commit()

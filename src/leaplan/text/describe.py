"""Step descriptions written by a language model: what is done, and the state before and after it (PlanLLM, Eq. 2).

A file of them has SCHEMA's layout, which `leaplan.text.descriptions.DescribedSteps` reads:
{task: {step: {"description": str, "before": [3 sentences], "after": [3 sentences]}}}. Steps that belong to no single
task stand under the task "".
"""

import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from string import Template
from typing import Any

from leaplan.records import Annotations
from leaplan.text.chat import Answer, Chat, Failed, Request, Usage

SENTENCES = 3  # before a step, and as many after it
MOST_WORDS = 50  # of a sentence: text encoders read no more
MOST_TASKS = 5  # told of a step that occurs in several
MOST_FAULTY = 4000  # characters of a faulty answer that a repair turn shows
OBJECTS = 50  # looked at in one answer
SCHEMA_NAME = "step_description"
_THREE = {"type": "array", "items": {"type": "string"}, "minItems": SENTENCES, "maxItems": SENTENCES}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"description": {"type": "string"}, "before": _THREE, "after": _THREE},
    "required": ["description", "before", "after"],
    "additionalProperties": False,
}
DECLINED = ("refusal", "content_filter")
CUT = "it was cut off at the longest allowed answer: be shorter"
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class NamedStep:
    """A step to be described.

    Args:
        task: Name of its task, "" where it belongs to none or to several.
        name: Of the step.
        context: What else a prompt tells of it, a line each.
    """

    task: str
    name: str
    context: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """What makes it another step: task and name, whatever their case and spaces."""
        return key_of(self.task, self.name)


@dataclass(frozen=True, slots=True)
class Description:
    """A step in words: one sentence on what is done, three on the state before it, three on the state after it."""

    description: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the entry of a file."""
        return {"description": self.description, "before": list(self.before), "after": list(self.after)}


@dataclass(frozen=True, slots=True)
class Described:
    """What came of asking for one step.

    Args:
        step: The step.
        description: None where there is none that can be used.
        kind: Why not: "declined", "invalid", or a kind of `leaplan.text.chat.Failed`; "" where there is one.
        reason: The same in words.
        answers: All turns, the last one last.
    """

    step: NamedStep
    description: Description | None = None
    kind: str = ""
    reason: str = ""
    answers: tuple[Answer, ...] = field(default=())

    @property
    def usage(self) -> Usage:
        """Tokens of all turns."""
        uses = [answer.usage for answer in self.answers]
        return Usage(sum(u.prompt for u in uses), sum(u.cached for u in uses), sum(u.completion for u in uses))

    @property
    def usd(self) -> float:
        """Price of all turns."""
        return sum(answer.usd for answer in self.answers)


def key_of(task: str, name: str) -> Key:
    """Return `task` and `name` in lower case and with single spaces."""
    return " ".join(task.lower().split()), " ".join(name.lower().split())


def steps_of(annotations: Annotations, setting: str = "") -> tuple[NamedStep, ...]:
    """Return the steps of a vocabulary in its order, a name that is twice in a task once.

    Args:
        annotations: Also tell in which tasks a step occurs that belongs to no single one.
        setting: Where all of it happens, in words.
    """
    vocabulary = annotations.vocabulary
    occurs: dict[int, Counter[int]] = {}
    for video in annotations.videos:
        for segment in video.segments:
            if video.task is not None and vocabulary.steps[segment.step].task is None:
                occurs.setdefault(segment.step, Counter())[video.task] += 1
    steps: dict[Key, NamedStep] = {}
    for index, step in enumerate(vocabulary.steps):
        task = "" if step.task is None else vocabulary.tasks[step.task]
        among = [vocabulary.tasks[other] for other, _ in occurs.get(index, Counter()).most_common(MOST_TASKS)]
        context = [f"Occurs in the tasks: {'; '.join(among)}"] if among else []
        context += [f"Setting: {setting}"] if setting else []
        steps.setdefault(key_of(task, step.name), NamedStep(task, step.name, tuple(context)))
    return tuple(steps.values())


# --- prompts -------------------------------------------------------------------------------------------------


def request_of(step: NamedStep) -> Request:
    """Return the request for the description of `step`. What never changes comes first, for providers' caches."""
    lines = [*([f"Task: {step.task}"] if step.task else []), *step.context, f"Step: {step.name}"]
    system = {"role": "system", "content": _text("describe_steps").strip()}
    return Request((system, {"role": "user", "content": "\n".join(lines)}), SCHEMA_NAME, SCHEMA)


def repair_of(request: Request, answer: Answer, faults: Sequence[str]) -> Request:
    """Return the request that sends all `faults` of `answer` to `request` back."""
    told = answer.text if len(answer.text) <= MOST_FAULTY else f"{answer.text[:MOST_FAULTY]} ..."
    question = Template(_text("describe_steps_repair")).substitute(faults="\n".join(f"- {fault}" for fault in faults))
    turns = {"role": "assistant", "content": told or "(nothing)"}, {"role": "user", "content": question.strip()}
    return replace(request, messages=(*request.messages, *turns))


def prompt_hash() -> str:
    """Return the SHA-256 of the prompts and the schema."""
    parts = [_text("describe_steps"), _text("describe_steps_repair"), json.dumps(SCHEMA, sort_keys=True)]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


@cache
def _text(name: str) -> str:
    return (resources.files("leaplan.text") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")


# --- answers -------------------------------------------------------------------------------------------------


def read(text: str) -> tuple[Description | None, tuple[str, ...]]:
    """Return the description in an answer, or None with all that is wrong with it.

    The JSON object may stand in a Markdown fence or amid prose. Further keys are ignored.
    """
    found = _object(text)
    if found is None:
        return None, ("it holds no whole JSON object",)
    faults: list[str] = []
    description = _sentence(found.get("description"), "description", faults)
    before, after = (_sentences(found, name, faults) for name in ("before", "after"))
    if not faults:
        faults += _repeated((*before, *after))
    return (None, tuple(faults)) if faults else (Description(description, before, after), ())


def _object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in `text` that looks most like a description, the first of several."""
    decoder, found = json.JSONDecoder(), []
    start, looked = text.find("{"), 0
    while start >= 0 and looked < OBJECTS:
        try:
            value, end = decoder.raw_decode(text, start)
            found.append(value)
        except (ValueError, RecursionError):
            end = start + 1
        start, looked = text.find("{", end), looked + 1
    return max(found, key=lambda value: len(SCHEMA["properties"].keys() & value.keys()), default=None)


def _sentences(found: dict[str, Any], name: str, faults: list[str]) -> tuple[str, ...]:
    value = found.get(name)
    if not isinstance(value, list):
        faults.append(f'"{name}" is {_kind(value)}, but must be a list of {SENTENCES} sentences')
        return ()
    if len(value) != SENTENCES:
        faults.append(f'"{name}" has {len(value)} sentences, but must have {SENTENCES}')
    return tuple(_sentence(each, f"{name}[{place}]", faults) for place, each in enumerate(value[: 2 * SENTENCES]))


def _sentence(value: object, where: str, faults: list[str]) -> str:
    """Return `value` with single spaces; note what is wrong with it."""
    if not isinstance(value, str):
        faults.append(f'"{where}" is {_kind(value)}, but must be a sentence')
        return ""
    sentence = " ".join(value.split())
    words = len(sentence.split())
    if not any(letter.isalpha() for letter in sentence):
        faults.append(f'"{where}" is empty')
    elif not sentence.isprintable():
        faults.append(f'"{where}" holds characters that are no text')
    elif words > MOST_WORDS:
        faults.append(f'"{where}" has {words} words, but may have {MOST_WORDS}')
    return sentence


def _repeated(sentences: Iterable[str]) -> Iterator[str]:
    plain = Counter("".join(c for c in sentence.casefold() if c.isalnum()) for sentence in sentences)
    count = sum(number - 1 for number in plain.values())
    if count:
        yield f'"before" and "after" must hold {2 * SENTENCES} different sentences, but {count} of them repeat another'


def _kind(value: object) -> str:
    names = {str: "a text", list: "a list", dict: "an object", bool: "true or false", type(None): "missing"}
    return names.get(type(value), "a number")


# --- asking --------------------------------------------------------------------------------------------------


async def describe(
    chat: Chat, steps: Iterable[NamedStep], on_done: Callable[[Described], None], repairs: int = 1
) -> None:
    """Ask for the descriptions of `steps`, and call `on_done` with what came of each, in any order.

    Args:
        chat: Whom to ask. It keeps every answer, so that the same call later continues.
        steps: Which; taken as there is room.
        on_done: Called once for each step.
        repairs: How often an answer that cannot be used is sent back with its faults.

    Raises:
        UserError: The server refuses everything.
        asyncio.CancelledError: It was interrupted.
    """

    async def done(step: NamedStep, outcome: Answer | Failed) -> None:
        on_done(await _turns(chat.ask, step, outcome, repairs))

    await chat.ask_all(((step, request_of(step)) for step in steps), done)


async def _turns(
    ask: Callable[[Request], Awaitable[Answer | Failed]], step: NamedStep, reply: Answer | Failed, repairs: int
) -> Described:
    """Return what comes of the `reply` to the first request, and of repair turns."""
    request = request_of(step)
    answers: tuple[Answer, ...] = ()
    while True:
        if isinstance(reply, Failed):
            return Described(step, None, reply.kind, _told(reply), answers)
        answers = (*answers, reply)
        if reply.finish_reason in DECLINED:
            return Described(step, None, "declined", reply.text[:200] or reply.finish_reason, answers)
        description, faults = read(reply.text)
        if description is not None:
            return Described(step, description, answers=answers)
        if reply.finish_reason == "length":
            faults = (CUT, *faults)
        if len(answers) > repairs:
            return Described(step, None, "invalid", "; ".join(faults), answers)
        request = repair_of(request, reply, faults)
        reply = await ask(request)


def _told(failed: Failed) -> str:
    times = f" (sent {failed.attempts} times)" if failed.attempts > 1 else ""
    return f"{failed.message}{times}"

"""A job of `describe-steps`: what is wanted, what has come of it, and what is told of it."""

import argparse
import asyncio
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

import leaplan
from leaplan.errors import ConfigError
from leaplan.programs.progress import Progress
from leaplan.records import Annotations
from leaplan.text.chat import Chat, ChatSettings
from leaplan.text.describe import Described, NamedStep, describe, key_of, prompt_hash, request_of
from leaplan.text.described_file import DescribedFile

NOT_ASKED = "not asked: the job was interrupted"
SHOWN = 20  # missing steps that are printed


@dataclass(slots=True)
class Job:
    """Steps to be described, and what has come of them.

    Args:
        options: Of the command line.
        annotations: What the steps are read from.
        steps: All of them, or the first of them.
        file: Where descriptions go.
        settings: Of the client.
    """

    options: argparse.Namespace
    annotations: Annotations
    steps: tuple[NamedStep, ...]
    file: DescribedFile
    settings: ChatSettings
    wanted: tuple[NamedStep, ...] = ()
    new: list[Described] = field(default_factory=list)
    failed: dict[tuple[str, str], Described] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wanted = tuple(step for step in self.steps if not self.file.holds(step))

    def missing(self) -> list[Described]:
        """Return the steps that have no description, with their reasons."""
        without = [step for step in self.wanted if not self.file.holds(step)]
        return [self.failed.get(step.key, Described(step, None, "interrupted", NOT_ASKED)) for step in without]

    def origins(self) -> str:
        """Return where the descriptions of the steps come from, counted."""
        known = [self.file.origins.get(step.key, {}) for step in self.steps if self.file.holds(step)]
        counted = Counter(str(origin.get("model", "given in the file")) for origin in known)
        return ", ".join(f"{count:,} {name}" for name, count in counted.most_common())

    def kept_note(self) -> str:
        """Return what is left of an interrupted job."""
        return f"{len(self.new):,} new descriptions are kept in {self.file.path}" if self.new else "nothing is lost"


# --- running -------------------------------------------------------------------------------------------------


def run(job: Job) -> None:
    """Ask for what is wanted. However it ends, the files hold what is described so far.

    Raises:
        UserError: The server refuses everything.
        KeyboardInterrupt: Ctrl-C or SIGTERM.
    """
    made = {
        "origin": "language model",
        "model": job.settings.model,
        "prompt": prompt_hash(),
        "described": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    whole = False
    try:
        asyncio.run(_ask(job, made))
        whole = True
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        if whole or job.new:
            job.file.write(job.steps, about(job, made["described"]))


async def _ask(job: Job, made: dict[str, str]) -> None:
    with Progress("steps", len(job.wanted), job.options.quiet) as progress:
        async with Chat(job.settings) as chat:

            def done(described: Described) -> None:
                if described.description is None:
                    job.failed[described.step.key] = described
                else:
                    job.new.append(described)
                    job.file.add(described, made)
                progress.advance(f"{chat.spent_usd:.4f} USD")

            await describe(chat, job.wanted, done, job.options.repairs)


def about(job: Job, date: str) -> dict[str, Any]:
    """Return what the provenance file says of the last job."""
    settings, missing = job.settings, job.missing()
    with _looking(job) as chat:
        spent, prices = chat.spent_usd, chat.price_source
    described = [*job.new, *job.failed.values()]
    return {
        "schema": 1,
        "leaplan": leaplan.__version__,
        "date": date,
        "data": {
            "dataset": job.annotations.dataset,
            "protocol": job.annotations.protocol,
            "sha256": job.annotations.sha256,
        },
        "model": settings.model,
        "server": settings.base_url or "OpenAI",
        "prompt": prompt_hash(),
        "parameters": {
            "temperature": settings.temperature,
            "seed": settings.seed,
            "max_tokens": settings.max_tokens,
            "structured": settings.structured,
            "repairs": job.options.repairs,
        },
        "counts": {
            "classes": len(job.annotations.vocabulary.steps),
            "steps": len(job.steps),
            "kept": len(job.steps) - len(job.wanted),
            "new": len(job.new),
            "repaired": sum(len(each.answers) > 1 for each in job.new),
            "missing": len(missing),
        },
        "tokens": {
            "prompt": sum(each.usage.prompt for each in described),
            "cached": sum(each.usage.cached for each in described),
            "completion": sum(each.usage.completion for each in described),
        },
        "usd": {"answers": round(sum(each.usd for each in described), 9), "spent": spent, "limit": settings.max_usd},
        "prices": prices,
        "missing": [
            {"task": each.step.task, "step": each.step.name, "kind": each.kind, "reason": each.reason}
            for each in missing
        ],
    }


def summary(job: Job, argv: Sequence[str]) -> str:
    """Return what came of a job, and how to go on."""
    missing = job.missing()
    described = len(job.steps) - len(missing)
    repaired = sum(len(each.answers) > 1 for each in job.new)
    with _looking(job) as chat:
        spent = chat.spent_usd
        needed = spent + chat.estimate(request_of(each.step) for each in missing if each.kind == "budget").usd_most
    lines = [
        f"{described:,} of {len(job.steps):,} steps are described: {len(job.steps) - len(job.wanted):,} were so before,"
        f" {len(job.new):,} are new ({repaired:,} of them mended); {spent:.4f} USD are spent or reserved"
    ]
    for each in missing[:SHOWN]:
        lines.append(f"  missing: {each.step.task or '(no task)'}, {each.step.name}: {each.kind}: {each.reason[:200]}")
    if len(missing) > SHOWN:
        lines.append(f"  and {len(missing) - SHOWN:,} more, all told in {job.file.provenance}")
    if missing:
        lines += _how_to_go_on(job, argv, {each.kind for each in missing}, needed)
    if described:
        lines.append(f"{job.file.path}, {job.file.provenance.name}")
    return "\n".join(lines)


def _how_to_go_on(job: Job, argv: Sequence[str], kinds: set[str], needed: float) -> list[str]:
    """Return the next command, and what else helps."""
    changes = {}
    if "budget" in kinds:
        changes["--max-usd"] = f"{ceil(needed * 100 + 1e-6) / 100:g}"
    if "invalid" in kinds:
        changes["--repairs"] = str(job.options.repairs + 1)
    lines = []
    if kinds != {"declined"}:
        words = [
            *without_options(argv, ("--overwrite",), tuple(changes)),
            *(w for pair in changes.items() for w in pair),
        ]
        lines.append(f"  Continue:  leaplan describe-steps {shlex.join(words)}")
    if kinds & {"declined", "invalid", "refused", "too long"}:
        lines.append(f"  Or give another --model, or write what is missing into {job.file.path}: it is kept")
    return lines


def without_options(argv: Sequence[str], flags: Sequence[str], valued: Sequence[str]) -> list[str]:
    """Return the words of a command line without `flags`, and without `valued` options and their values."""
    words, skip = [], False
    for word in argv:
        if not skip and word not in flags and word.split("=")[0] not in valued:
            words.append(word)
        skip = not skip and word in valued
    return words


# --- before anything is sent ---------------------------------------------------------------------------------


def dry_run(job: Job) -> str:
    """Return what a job would take. Nothing is sent, nothing is written.

    Raises:
        ConfigError: The price of the model is not known.
    """
    with _looking(job) as chat:
        estimate = chat.estimate(map(request_of, job.wanted))
        spent = chat.spent_usd
    classes = len(job.annotations.vocabulary.steps)
    lines = [
        f"{job.annotations.dataset}: {classes:,} step classes, {len(job.steps):,} different steps"
        f"{' looked at' if job.options.limit else ''}, {len(job.steps) - len(job.wanted):,} described already",
        f"requests:        {estimate.unique:,}, {estimate.cached:,} answered already,"
        f" {estimate.unique - estimate.cached:,} to send",
        f"tokens to send:  about {estimate.prompt_tokens:,}, answers about {estimate.completion_tokens:,}",
        f"price:           about {estimate.usd:.4f} USD, at most {estimate.usd_most:.4f} USD; unusable answers are sent"
        " back",
        f"prices:          {estimate.prices}",
    ]
    lines += [f"spent so far:    {spent:.4f} USD"] if spent else []
    if job.settings.max_usd is not None and spent + estimate.usd > job.settings.max_usd:
        lines.append(f"the budget of {job.settings.max_usd:g} USD will not do for all of them")
    return "\n".join(lines)


@contextmanager
def _looking(job: Job) -> Iterator[Chat]:
    """Yield a client that is only asked what it knows; where there are no answers yet, none are made."""
    with tempfile.TemporaryDirectory(prefix="leaplan-") as folder:
        cache = job.settings.cache if job.settings.cache.is_file() else Path(folder) / "answers.sqlite"
        chat = Chat(replace(job.settings, cache=cache))
        try:
            yield chat
        finally:
            chat.store.close()


def shown(steps: Sequence[NamedStep], name: str) -> str:
    """Return the prompts of the steps of this name.

    Raises:
        ConfigError: There is none.
    """
    from difflib import get_close_matches

    found = [step for step in steps if step.key == key_of(step.task, name)]
    if not found:
        near = get_close_matches(name, [step.name for step in steps], 1)
        raise ConfigError(f"no step is named '{name}'{f'; did you mean {near[0]!r}?' if near else ''}")
    messages = [message for step in found for message in request_of(step).messages]
    system = [f"=== {messages[0]['role']} message", messages[0]["content"]]
    return "\n".join([*system, *(f"=== user message\n{m['content']}" for m in messages if m["role"] == "user")])

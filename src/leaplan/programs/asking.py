"""The part of `generate-programs` that needs a language model: settings, prices before anything is sent, the run."""

import argparse
import asyncio
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leaplan.errors import ConfigError
from leaplan.programs.datasets import Dataset
from leaplan.programs.evidence import Clip
from leaplan.programs.job import MODEL, Job, Questions
from leaplan.programs.ledger import FILE, Ledger
from leaplan.programs.progress import Progress
from leaplan.programs.render import to_text
from leaplan.programs.rules import Unsupported
from leaplan.text.chat import Chat, ChatSettings, Estimate
from leaplan.text.chat.options import settings_of

ANSWERS = "answers.sqlite"
POLL_SECONDS = 30.0  # between two looks at a batch


def run_model(dataset: Dataset, ledger: Ledger, options: argparse.Namespace) -> tuple[Mapping[str, Any], float]:
    """Ask for everything that is pending; return the settings for the data card, and USD spent.

    Raises:
        UserError: The folder belongs to other settings, or the server refuses everything.
        KeyboardInterrupt: Ctrl-C or SIGTERM; all that was answered is kept.
    """
    questions = Questions(dataset, options.examples, options.structured)
    settings = settings_of(options, options.out / ANSWERS, poll_seconds=POLL_SECONDS)
    told = identity(questions, options)
    _claim(ledger, told)
    for state in options.retry:
        forgotten = ledger.forget(MODEL, [state])
        if state == "invalid":  # its answers are in the cache, and no use
            ledger.ask_again(forgotten)
    ledger.commit()
    job = Job(questions, ledger)
    with Progress("evidence", len(dataset.clips), options.quiet) as progress:
        job.prepare(progress)
    try:
        spent = asyncio.run(_ask(job, settings, options))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if job.out_of_budget:
        print(_stopped(job, settings, spent), file=sys.stderr)
    return {**told, "spent at most": f"{settings.max_usd} USD" if settings.max_usd else "no limit"}, spent


async def _ask(job: Job, settings: ChatSettings, options: argparse.Namespace) -> float:
    async with Chat(settings) as chat:
        with Progress("requests", len(job.pending), options.quiet) as progress:
            await (job.run_batches(chat, progress) if options.batch else job.run(chat, progress))
        return chat.spent_usd


def _stopped(job: Job, settings: ChatSettings, spent: float) -> str:
    return (
        f"leaplan: the budget of ${settings.max_usd:g} leaves no room for another request (${spent:.4f} are spent or"
        f" reserved); {len(job.pending):,} pieces of evidence are pending\n  Continue:  the same command with a greater"
        " --max-usd"
    )


def identity(questions: Questions, options: argparse.Namespace) -> dict[str, Any]:
    """Return what decides the answers, apart from the evidence: a folder holds answers to one kind of question."""
    prompt = hashlib.sha256(questions.prompts.system.encode()).hexdigest()[:12]
    return {
        "dataset": questions.dataset.name,
        "model": options.model,
        "server": options.base_url or "OpenAI",
        "structured": options.structured,
        "examples": options.examples,
        "temperature": options.temperature,
        "seed": options.seed,
        "max tokens": options.max_tokens,
        "prompt": prompt,
    }


def _claim(ledger: Ledger, told: Mapping[str, Any]) -> None:
    """Note the settings of a new job, or raise where the folder holds answers to other ones."""
    found = ledger.about(MODEL)
    if found is not None and found != told and ledger.answered(MODEL):
        other = [f"{name} {found.get(name)} (now {value})" for name, value in told.items() if found.get(name) != value]
        raise ConfigError(
            f"{ledger.path.parent} holds answers to other settings: {', '.join(other)}",
            "Give those settings, or another folder with --out",
        )
    ledger.tell(MODEL, told)


# Before anything is sent.


def dry_run(dataset: Dataset, options: argparse.Namespace) -> str:
    """Return what a job would take, or with `--show` the whole evidence and prompt of a clip. Nothing is sent.

    Raises:
        ConfigError: The clip to show is not there, or the price of the model is not known.
    """
    if options.show:
        return shown(dataset, options)
    if options.backend != MODEL:
        return f"{len(dataset.clips):,} clips of {dataset.title}, by rules: no requests, no costs"
    with _copies(options.out) as folder:
        ledger = Ledger(folder)
        job = Job(Questions(dataset, options.examples, options.structured), ledger)
        ledger.forget(MODEL, options.retry)
        with Progress("evidence", len(dataset.clips), options.quiet) as progress:
            job.prepare(progress)
        clips, pieces = len(dataset.clips), len(ledger.shares())
        ledger.close()
        chat = Chat(settings_of(options, folder / ANSWERS, poll_seconds=POLL_SECONDS))
        estimate = chat.estimate(request for _, request in job.requests())
        spent = chat.spent_usd
        chat.store.close()
    lines = [f"{clips:,} clips of {dataset.title}: {pieces:,} different pieces of evidence"]
    lines += _estimate_lines(estimate, pieces - len(job.pending))
    if options.batch:
        lines.append(f"by batch:        about {estimate.usd * float(chat.price.batch_share):.4f} USD")
    lines += [f"spent so far:    {spent:.4f} USD"] if spent else []
    if options.max_usd is not None and spent + estimate.usd > options.max_usd:
        lines.append(f"the budget of {options.max_usd:g} USD will not do for all of them")
    return "\n".join(lines)


def _estimate_lines(estimate: Estimate, answered: int) -> list[str]:
    new = estimate.unique - estimate.cached
    return [
        f"requests:        {estimate.unique + answered:,} unique, {answered + estimate.cached:,} answered already,"
        f" {new:,} to send",
        f"tokens to send:  about {estimate.prompt_tokens:,}, answers about {estimate.completion_tokens:,}",
        f"price:           about {estimate.usd:.4f} USD, at most {estimate.usd_most:.4f} USD; answers with faults are"
        " asked for twice",
        f"prices:          {estimate.prices}",
    ]


@contextmanager
def _copies(out: Path | None) -> Iterator[Path]:
    """Yield a folder with copies of the job's files, so that a dry run changes nothing."""
    import sqlite3

    with tempfile.TemporaryDirectory(prefix="leaplan-") as name:
        for file in (FILE, ANSWERS):
            if out is not None and (out / file).is_file():
                with sqlite3.connect(out / file) as source, sqlite3.connect(Path(name) / file) as target:
                    source.backup(target)
        yield Path(name)


def shown(dataset: Dataset, options: argparse.Namespace) -> str:
    """Return evidence and prompt of the clips `options.show`; with `options.brief` evidence and program by rules.

    Raises:
        ConfigError: There is no such clip.
    """
    clips = {clip.id: clip for clip in dataset.clips}
    absent = [name for name in options.show if name not in clips]
    if absent:
        raise ConfigError(f"no clip {absent[0]} in {dataset.title}", "Ids are such as P01_01_0; check --splits")
    questions = None if options.brief else Questions(dataset, options.examples, options.structured)
    return "\n\n".join(_shown(dataset, clips[name], questions) for name in options.show)


def _shown(dataset: Dataset, clip: Clip, questions: Questions | None) -> str:
    evidence = dataset.assembler.evidence(clip)
    lines = [f"=== clip {clip.id}: {clip.video}, {clip.start:.2f} to {clip.stop:.2f} s"]
    lines += ["=== evidence", evidence.text() or "(nothing is known)"]
    if questions is None:
        return "\n".join([*lines, "=== by rules", _by_rules(dataset, clip)])
    request = questions.first(clip)
    for message in request.messages:
        lines += [f"=== {message['role']} message, {len(message['content']):,} characters", message["content"]]
    if request.schema is not None:
        lines.append(f"=== with the JSON Schema `{request.schema_name}`: see docs/programs.md")
    return "\n".join(lines)


def _by_rules(dataset: Dataset, clip: Clip) -> str:
    try:
        return to_text(dataset.rules.program_for(clip, dataset.assembler.contacts(clip))).rstrip()
    except Unsupported as why:
        return f"(none: {why})"

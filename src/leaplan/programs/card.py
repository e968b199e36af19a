"""The data card of a programs folder: what it holds, how it was made, what it may be used for, what it lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import leaplan
from leaplan.programs.coverage import Coverage, percent
from leaplan.programs.rows import SCHEMA

LICENCES = {
    "epic": (
        "The clips, narrations and classes are EPIC-KITCHENS-100's, and sounds, boxes and contacts are those of"
        " EPIC-SOUNDS, VISOR and the EPIC-KITCHENS baselines where they were used: CC BY-NC 4.0, for research, not for"
        " commercial use. These programs repeat narrations and class names, so the same terms apply to this folder."
        " Cite Damen et al., Rescaling Egocentric Vision, IJCV 2022, and the sources of the descriptors."
    ),
    "kitchen": "The synthetic kitchen is made by leaplan itself. This folder has leaplan's licence, Apache-2.0.",
}
LIMITS = {
    "rules": (
        "Made by rules from verb class, nouns, narration and contacts: the same action of the same things gives"
        " nearly the same program, whatever the video shows. Hands are a guess (the right one) without contacts.",
    ),
    "llm": (
        "Made by a language model from texts, not from pixels: it may name a hand, a tool or an order that the video"
        " does not show.",
        "Clips of equal evidence share one program, also where their videos differ.",
    ),
}
CHECKED = (
    "A valid program keeps the rules of the checker (words of the vocabulary, pre-conditions established, bounded"
    " loops, hands that hold one thing). That is no proof that it is true of the video; nobody has watched the clips."
)


@dataclass(frozen=True, slots=True)
class Making:
    """How a folder was made.

    Args:
        dataset: "epic" or "kitchen".
        title: The dataset as people know it.
        backend: "rules" or "llm".
        command: The command line, without secrets (there are none on it).
        settings: Of the backend, by their names.
        descriptors: What evidence was read, by kind.
        evidence: Number of different pieces of evidence.
        usd: Spent so far on this folder; 0 for rules.
    """

    dataset: str
    title: str
    backend: str
    command: str
    settings: Mapping[str, Any]
    descriptors: Sequence[str]
    evidence: int
    usd: float


def card(making: Making, coverage: Coverage) -> str:
    """Return the card as Markdown."""
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(coverage.states.items()) if count)
    lines = [
        f"# Action programs of {making.title}",
        "",
        f"{coverage.all.rows:,} clips, {coverage.all.valid:,} of them ({percent(coverage.all)} %) with a valid program:"
        " sub-actions with their pre- and post-conditions under control flow, in the sense of LEAP (arXiv 2312.00055)."
        " These are not the programs of that paper, which are not public.",
        "",
        "## How it was made",
        "",
        f"leaplan {leaplan.__version__}:",
        "",
        f"    {making.command}",
        "",
        f"- backend: {making.backend}",
        *(f"- {name}: {value}" for name, value in making.settings.items()),
        f"- evidence: {', '.join(making.descriptors) or 'none'}; {making.evidence:,} different pieces",
        *([f"- spent: {making.usd:.4f} USD"] if making.backend == "llm" else []),
        "",
        "## Counts",
        "",
        "| clips | number | valid | % |",
        "|---|---:|---:|---:|",
    ]
    shares = [("all", coverage.all), ("with a narration", coverage.narrated), *coverage.splits.items()]
    lines += [f"| {name or 'no split'} | {s.rows:,} | {s.valid:,} | {percent(s)} |" for name, s in shares]
    made = ", ".join(f"{count:,} by {backend}" for backend, count in sorted(coverage.backends.items()))
    lines += ["", f"States: {states or 'none'}. Valid programs: {made or 'none'}."]
    lines += ["By verb class and with the reasons for the rest: `coverage.md`, `coverage.json`, `coverage.png`."]
    lines += ["", "## Files", "", *_files()]
    lines += ["", "## Licences of the inputs", "", LICENCES[making.dataset]]
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in (*_limits(making.backend, coverage), CHECKED)), ""]
    return "\n".join(lines)


def _files() -> list[str]:
    return [
        f"- `programs.jsonl`, `programs.parquet`: the same rows, one per clip, schema version {SCHEMA}; read them with"
        " `leaplan.programs.rows.read_rows`, check them with `leaplan check-programs`.",
        "- `job.sqlite`: the states of the job. Rows and cards can be made from it again.",
        "- `answers.sqlite` (language model only): every answer that was paid for.",
    ]


def _limits(backend: str, coverage: Coverage) -> Sequence[str]:
    kinds = dict.fromkeys((backend, *sorted(coverage.backends)))
    return [limit for kind in kinds for limit in LIMITS.get(kind, ())]

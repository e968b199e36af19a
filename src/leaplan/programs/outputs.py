"""The files of a programs folder, made from the ledger of its job: rows, coverage, data card."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from leaplan.programs.card import Making, card
from leaplan.programs.coverage import Coverage, measure, write_coverage
from leaplan.programs.datasets import Dataset
from leaplan.programs.evidence import Clip
from leaplan.programs.ledger import Ledger, Outcome
from leaplan.programs.rows import Row, write_rows
from leaplan.programs.written import RuleBackend
from leaplan.writing import write_text

NOTHING = Outcome("pending")


def write_outputs(
    folder: Path, dataset: Dataset, ledger: Ledger, backend: str, making: Making, fallback: bool = False
) -> Coverage:
    """Write everything into `folder` and return the coverage.

    Args:
        dataset: Its clips are those of `ledger`, in the same order.
        backend: Whose answers the rows hold.
        fallback: Let rules stand in for clips that are invalid or failed.
    """
    stand_ins = stand_ins_of(dataset, ledger, backend) if fallback else {}
    write_rows(folder, lambda: rows_of(dataset, ledger, backend, stand_ins))
    coverage = measure(rows_of(dataset, ledger, backend, stand_ins))
    write_coverage(folder, coverage)
    write_text(folder / "README.md", card(making, coverage))
    return coverage


def stand_ins_of(dataset: Dataset, ledger: Ledger, backend: str) -> dict[str, Outcome]:
    """Return clip to program by rules, for clips that `backend` has answered in vain and that rules can do."""
    rules, found = RuleBackend(dataset), {}
    for clip, (_, _, outcome) in zip(dataset.clips, ledger.outcomes(backend), strict=True):
        if outcome is not None and outcome.state in ("invalid", "failed"):
            made = rules.answer(clip)
            if made.state == "ok":
                found[clip.id] = made
    return found


def rows_of(dataset: Dataset, ledger: Ledger, backend: str, stand_ins: Mapping[str, Outcome]) -> Iterator[Row]:
    """Yield the row of each clip in order."""
    shares = ledger.shares()
    answers = ledger.outcomes(backend)
    for split, clip, (name, evidence, outcome) in zip(dataset.splits, dataset.clips, answers, strict=True):
        if name != clip.id:
            raise RuntimeError(f"{ledger.path}: clip {name} where {clip.id} is expected")
        outcome = outcome or NOTHING
        origin = outcome.provenance
        if clip.id in stand_ins:  # the language model's own costs stay
            outcome, state = stand_ins[clip.id], outcome.state
            rules = outcome.provenance
            origin = replace(origin, backend=rules.backend, check=rules.check, vocabulary=rules.vocabulary)
            origin = replace(origin, instead_of=state, repaired=False)
        origin = replace(origin, evidence=evidence, shared_by=shares[evidence])
        yield _row(split, clip, replace(outcome, provenance=origin))


def _row(split: str, clip: Clip, outcome: Outcome) -> Row:
    return Row(
        clip.id,
        split,
        clip.video,
        clip.start,
        clip.stop,
        clip.narration,
        clip.verb,
        clip.noun,
        outcome.state,
        outcome.program,
        outcome.text,
        outcome.faults,
        outcome.provenance,
    )

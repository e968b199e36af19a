"""Running a job of `generate-programs` in its folder, from the first clip to the data card."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import leaplan
from leaplan.programs.card import Making
from leaplan.programs.coverage import Coverage, percent
from leaplan.programs.datasets import Dataset
from leaplan.programs.ledger import Alone, Ledger
from leaplan.programs.outputs import write_outputs
from leaplan.programs.progress import Progress
from leaplan.programs.rows import STATES
from leaplan.programs.written import RULES, RuleBackend


def run(dataset: Dataset, options: argparse.Namespace, command: str) -> int:
    """Run the job that `options` ask for and return the exit code: 0 all clips are answered, 1 some are pending.

    Raises:
        UserError: The folder belongs to another job, is in use, or the server refuses.
        KeyboardInterrupt: After saying how to continue.
    """
    with Alone(options.out):
        ledger = Ledger(options.out)
        try:
            coverage = _run(dataset, ledger, options, command)
        except KeyboardInterrupt:
            print(f"\nleaplan: interrupted; what is answered is kept in {options.out}", file=sys.stderr)
            raise
        finally:
            ledger.close()
    print(_summary(options.out, coverage))
    return 1 if coverage.states["pending"] else 0


def _run(dataset: Dataset, ledger: Ledger, options: argparse.Namespace, command: str) -> Coverage:
    if options.backend == RULES:
        settings: Mapping[str, Any] = {}
        usd = 0.0
        _run_rules(dataset, ledger, options)
    else:
        from leaplan.programs.asking import run_model

        settings, usd = run_model(dataset, ledger, options)
    making = Making(
        dataset.name, dataset.title, options.backend, command, settings, dataset.descriptors, len(ledger.shares()), usd
    )
    return write_outputs(options.out, dataset, ledger, options.backend, making, options.fallback == RULES)


def _run_rules(dataset: Dataset, ledger: Ledger, options: argparse.Namespace) -> None:
    """Continue a job by rules that was cut off; begin a finished one anew, since its data may have changed."""
    identity = {"leaplan": leaplan.__version__, "dataset": dataset.name}
    if ledger.about(RULES) != {**identity, "done": False}:
        ledger.forget(RULES, STATES)
        ledger.tell(RULES, {**identity, "done": False})
    with Progress("clips", len(dataset.clips), options.quiet) as progress:
        RuleBackend(dataset).run(ledger, progress)
    ledger.tell(RULES, {**identity, "done": True})


def _summary(folder: Path, coverage: Coverage) -> str:
    lines = [f"{coverage.all.valid:,} of {coverage.all.rows:,} clips ({percent(coverage.all)} %) have a valid program"]
    if coverage.narrated.rows not in (0, coverage.all.rows):
        share = coverage.narrated
        lines.append(f"{share.valid:,} of {share.rows:,} clips with a narration ({percent(share)} %)")
    lines += [f"  {kind}: {tally.rows:,}" for kind, tally in coverage.frequent_reasons[:8]]
    return "\n".join([*lines, f"{folder}: programs.jsonl, programs.parquet, coverage.md, coverage.png, README.md"])

"""Programs as outcomes of a job: checked, in both forms, with where they came from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from leaplan.programs.check import check
from leaplan.programs.datasets import Dataset
from leaplan.programs.evidence import Clip, Contact
from leaplan.programs.fault import Fault
from leaplan.programs.json_form import dumps
from leaplan.programs.language import Language, Program
from leaplan.programs.ledger import Ledger, Outcome
from leaplan.programs.progress import Progress
from leaplan.programs.render import to_text
from leaplan.programs.rows import Provenance, Reason, reasons_of
from leaplan.programs.rules import Unsupported

RULES = "rules"
NO_RULE = "no rule"
COMMIT = 1000  # answers between two commits
KEPT = 1 << 15  # programs whose forms are remembered: rules give the same one again and again


def written(program: Program, reasons: Sequence[Reason], language: Language, provenance: Provenance) -> Outcome:
    """Return the outcome of a `program` that has faults for `reasons`, or none."""
    json_form, text = forms(program)
    check_result = "faults" if reasons else "ok"
    origin = replace(provenance, check=check_result, vocabulary=language.name)
    return Outcome("invalid" if reasons else "ok", json_form, text, tuple(reasons), origin)


@lru_cache(KEPT)
def forms(program: Program) -> tuple[str, str]:
    """Return the JSON form and the text form of `program`."""
    return dumps(program), to_text(program)


class Checker:
    """Checks programs of one language and remembers what it found of the last ones."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.faults = lru_cache(KEPT)(self._faults)

    def _faults(self, program: Program) -> tuple[Fault, ...]:
        return tuple(check(program, self.language))


class RuleBackend:
    """Answers clips of `dataset` by its rules."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._checker = Checker(dataset.language)

    def answer(self, clip: Clip) -> Outcome:
        """Return the program of `clip`, or "failed" with the reason."""
        return self.outcome(clip, self.dataset.assembler.contacts(clip))

    def outcome(self, clip: Clip, contacts: Sequence[Contact]) -> Outcome:
        """Return the program of `clip` with its `contacts`, or "failed" with the reason."""
        origin = Provenance(backend=RULES)
        try:
            program = self.dataset.rules.program_for(clip, contacts)
        except Unsupported as error:
            return Outcome("failed", faults=(Reason(NO_RULE, error.reason),), provenance=origin)
        return written(program, reasons_of(self._checker.faults(program)), self.dataset.language, origin)

    def run(self, ledger: Ledger, progress: Progress) -> None:
        """Answer all clips that have no answer in `ledger` yet; can be cut off anywhere and called again."""
        done, keys = ledger.answered(RULES), []
        for clip in self.dataset.clips:
            contacts = self.dataset.assembler.contacts(clip)
            key = rules_key(clip, contacts)
            keys.append((clip.id, key))
            if key not in done:
                ledger.record(key, RULES, self.outcome(clip, contacts))
                done.add(key)
                if len(done) % COMMIT == 0:
                    ledger.commit()
            progress.advance()
        ledger.set_clips(keys)
        ledger.commit()


def rules_key(clip: Clip, contacts: Sequence[Contact]) -> str:
    """Return the SHA-256 of all that rules look at: words, classes, and contacts counted from the clip's start."""
    touched = [(each.hand, each.object, each.start - clip.start, each.stop - clip.start) for each in contacts]
    told = [clip.narration, clip.verb, clip.noun, clip.nouns, clip.duration if touched else None, touched]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()

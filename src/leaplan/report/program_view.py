"""Action programs for a page: sub-actions in order, and which conditions hold along them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from leaplan.programs.coverage import Coverage, percent
from leaplan.programs.facts import Facts, facts_of
from leaplan.programs.kitchen import kitchen_language
from leaplan.programs.language import LEAP, Condition, Language, Program
from leaplan.programs.render import given, to_html
from leaplan.programs.rows import Row
from leaplan.programs.unroll import ordered, unroll
from leaplan.report import figures
from leaplan.report.content import Cell, Plot, Section, Table

MOST = 24  # sub-actions drawn of a program
VERBS = 30
REASONS = 12


def programs_of(rows: Iterable[Row], clips: Sequence[str]) -> dict[str, Any]:
    """Return the programs of `clips`: "programs", each once, and "of", per clip its place among them or None.

    A program has "html" as `render.to_html` gives it; "actions", its sub-actions as text; "conditions", and in "holds"
    for each the value before the first sub-action and after each: 1 holds, 0 does not, None unknown; and in "needs"
    the conditions that each sub-action presupposes.
    """
    wanted = set(clips)
    languages = {"kitchen": kitchen_language()}
    texts: dict[str, int] = {}
    programs: list[dict[str, Any]] = []
    of: dict[str, int] = {}
    for row in rows:
        if row.clip not in wanted or not row.program:
            continue
        if row.program not in texts:
            view = _viewed(row, languages.get(row.provenance.vocabulary, LEAP))
            texts[row.program] = len(programs)
            programs.append(view)
        of[row.clip] = texts[row.program]
    return {"programs": programs, "of": [of.get(clip) for clip in clips]}


def _viewed(row: Row, language: Language) -> dict[str, Any]:
    try:
        program = row.read_program(language)
    except ValueError:
        program = None
    if program is None:  # words of another language: the text is all that can be shown
        return {"text": row.text or json.dumps(row.program), "actions": [], "conditions": [], "holds": [], "needs": []}
    return {"html": to_html(program, language, styled=False), **timeline(program)}


def timeline(program: Program) -> dict[str, Any]:
    """Return "actions", "conditions", "holds" and "needs" of a program; see `programs_of`."""
    unrolled = unroll(program, MOST)
    facts = Facts.supposed(program.assumes)
    named: dict[str, Condition] = {}
    for action in unrolled.sub_actions:
        for condition in (*action.before, *action.after):
            plain = condition if condition.holds else condition.negated
            if len(facts_of(plain)) == 1:
                named.setdefault(str(plain), plain)
    places = {text: place for place, text in enumerate(named)}
    states = [[_value(facts, condition) for condition in named.values()]]
    actions, needs = [], []
    for action in unrolled.sub_actions:
        for condition in action.before:
            facts.suppose(condition)
        states[-1] = [_value(facts, condition) for condition in named.values()]
        facts.change(ordered(action.after))
        states.append([_value(facts, condition) for condition in named.values()])
        hand = "" if action.hand == "none" else f" {action.hand}"
        actions.append(f"{action.verb}({', '.join(given(action))}){hand}")
        plain_needs = (str(c if c.holds else c.negated) for c in action.before)
        needs.append(sorted({places[text] for text in plain_needs if text in places}))
    holds = [list(column) for column in zip(*states, strict=True)]
    more = {"truncated": True} if unrolled.truncated else {}
    return {"actions": actions, "conditions": list(named), "holds": holds, "needs": needs, **more}


def _value(facts: Facts, condition: Condition) -> int | None:
    truth = facts.truth(condition)
    return None if truth is None else int(truth)


def coverage_section(coverage: Coverage, source: str) -> Section:
    """Return how many clips have a valid program, and why the others have none. `source` tells which file."""
    groups = [("all clips", coverage.all), ("with a narration", coverage.narrated)]
    groups += [(f"split {name}" if name else "no split", share) for name, share in coverage.splits.items()]
    rows: list[list[Cell | str]] = [[name, f"{s.rows:,}", f"{s.valid:,}", percent(s)] for name, s in groups]
    verbs = coverage.frequent_verbs[:VERBS]
    made = ", ".join(f"{count:,} by {backend}" for backend, count in sorted(coverage.backends.items())) or "none"
    told = f"Clips of {source} with a program that has no faults under the checker; {made}. That is no proof that it "
    told += "is true of the video."
    tables = [Table("Clips with a valid program", ["clips", "number", "valid", "%"], rows, told)]
    if coverage.reasons:
        reasons = [
            [kind, f"{tally.rows:,}", tally.example, "; ".join(m for m, _ in tally.frequent_messages(2) if m)]
            for kind, tally in coverage.frequent_reasons[:REASONS]
        ]
        header = ["why there is none", "clips", "such as", "most often"]
        tables.append(Table("Clips without one", header, reasons, "A clip with faults of two kinds counts in both."))
    bars = figures.share_bars({name or "no verb": (share.valid, share.rows) for name, share in verbs})
    title = f"By verb class{f', the {len(verbs)} most frequent' if len(coverage.verbs) > len(verbs) else ''}"
    plot = Plot(title, {"": bars}, f"Share of clips of {source} with a valid program, by the clip's verb class.")
    complete = coverage.all.valid == coverage.all.rows  # bars of 100 % tell nothing
    return Section("coverage", "Coverage of programs", tables, [] if complete else [plot])

"""`leaplan bench programs`: programs read, written, checked and made by rules, per second on one core."""

import argparse
import time
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

from leaplan.programs.check import check
from leaplan.programs.clips import NOUNS, VERBS, clips_in, need
from leaplan.programs.evidence import Clip
from leaplan.programs.exemplars import Library
from leaplan.programs.language import LEAP, Program
from leaplan.programs.parse import parse
from leaplan.programs.render import to_text
from leaplan.programs.rules import Rules
from leaplan.programs.vocabulary import epic_language
from leaplan.writing import write_json

EXAMPLE = "example: leaplan bench programs --root /data --json bench.json"


def main(argv: list[str]) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser("leaplan bench", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("subject", choices=["programs"])
    parser.add_argument("--repeats", type=int, default=20, help="passes over the exemplars (default 20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--root", type=Path, help="folder with epic100/: rules over all its clips as well")
    options = parser.parse_args(argv)
    rows = measured(options.repeats)
    if options.root is not None:
        rows["clips by rules, checked"] = by_rules(options.root)
    for name, each in rows.items():
        print(f"{name:<28}{each['per_second']:>12,.0f} a second")
    if options.json:
        write_json(options.json, {"bench": "programs", **rows})
    return 0


def measured(repeats: int) -> dict[str, dict[str, float]]:
    """Return how many exemplars a second are parsed, written, checked and retrieved on one core."""
    library = Library.load()
    programs = [exemplar.program for exemplar in library.exemplars]
    texts = [to_text(program) for program in programs]
    clips = [_clip(number, program) for number, program in enumerate(islice(cycle(programs), len(programs)))]
    works: dict[str, tuple[Any, list[Any]]] = {
        "text parsed": (parse, texts),
        "text written": (to_text, programs),
        "programs checked": (lambda program: check(program, LEAP), programs),
        "exemplars retrieved (k = 4)": (library.retrieve, clips),
    }
    return {name: _rate(work, items, repeats) for name, (work, items) in works.items()}


def by_rules(root: Path) -> dict[str, float]:
    """Return how many clips of EPIC-KITCHENS a second get a program by rules, with nothing made before."""
    clips = clips_in(root)
    rules = Rules(epic_language(need(root, VERBS), need(root, NOUNS)))
    return _rate(rules.program_for, list(clips), 1)


def _rate(work: Any, items: list[Any], repeats: int) -> dict[str, float]:
    begun = time.perf_counter()
    for _, item in product(range(repeats), items):
        work(item)
    seconds = time.perf_counter() - begun
    return {"items": float(repeats * len(items)), "per_second": repeats * len(items) / seconds}


def _clip(number: int, program: Program) -> Clip:
    noun = program.arguments[0] if program.arguments else ""
    return Clip(f"P01_01_{number}", "P01_01", 0.0, 2.0, f"{program.verb} {noun}", program.verb, noun)

"""`leaplan bench programs`: programs read, written, checked and made by rules, per second on one core."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from leaplan.epic_release import NOUN_CLASSES, VERB_CLASSES, need_file
from leaplan.measuring import Figure, Measurement, rates
from leaplan.programs.check import check
from leaplan.programs.epic_clips import clips_in
from leaplan.programs.evidence import Clip
from leaplan.programs.exemplars import Library
from leaplan.programs.language import LEAP, Program
from leaplan.programs.parse import parse
from leaplan.programs.render import to_text
from leaplan.programs.rules import Rules
from leaplan.programs.vocabulary import epic_language

EXAMPLES = "example: leaplan bench programs --root /data --json bench.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark takes."""
    parser.add_argument("--repeats", type=int, default=20, help="passes over the exemplars (default 20)")
    parser.add_argument("--root", type=Path, help="folder with epic100/: rules over all its clips as well")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure how many exemplars a second are parsed, written, checked and retrieved on one core."""
    library = Library.load()
    programs = [exemplar.program for exemplar in library.exemplars]
    texts = [to_text(program) for program in programs]
    clips = [_clip(number, program) for number, program in enumerate(programs)]
    works: dict[str, tuple[Callable[[Any], object], Sequence[Any]]] = {
        "text parsed": (parse, texts),
        "text written": (to_text, programs),
        "programs checked": (lambda program: check(program, LEAP), programs),
        "exemplars retrieved (k = 4)": (library.retrieve, clips),
    }
    figures = [
        Figure(
            name, tuple(len(items) / sum(_seconds(work, items)) for _ in range(options.repeats)), "a second", "higher"
        )
        for name, (work, items) in works.items()
    ]
    if options.root is not None:
        figures.append(by_rules(options.root))
    return Measurement("action programs on one core", figures)


def by_rules(root: Path) -> Figure:
    """Return how many clips of EPIC-KITCHENS a second get a program by rules, with nothing made before."""
    clips = clips_in(root)
    rules = Rules(epic_language(need_file(root, VERB_CLASSES), need_file(root, NOUN_CLASSES)))
    seconds = _seconds(rules.program_for, list(clips))
    return Figure("clips by rules, checked", rates(seconds), "a second", "higher")


def _seconds(work: Callable[[Any], object], items: Sequence[Any]) -> list[float]:
    """Return how long each item takes."""
    seconds = []
    began = time.perf_counter()
    for item in items:
        work(item)
        ended = time.perf_counter()
        seconds.append(ended - began)
        began = ended
    return seconds


def _clip(number: int, program: Program) -> Clip:
    noun = program.arguments[0] if program.arguments else ""
    return Clip(f"P01_01_{number}", "P01_01", 0.0, 2.0, f"{program.verb} {noun}", program.verb, noun)

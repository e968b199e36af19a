"""The verb `check-programs`: read any programs file again, check each program, and tell all faults by kind."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leaplan.errors import DataError
from leaplan.programs.check import check
from leaplan.programs.datasets import language_at
from leaplan.programs.language import LEAP, Language
from leaplan.programs.lex import ProgramError, tokens_of
from leaplan.programs.parse import parse
from leaplan.programs.rows import STATES, SUFFIXES, Reason, Row, placed_rows, reasons_of

UNREADABLE = "cannot be read"
KITCHEN = "kitchen"
EXAMPLES = """a .txt file holds programs in the text form, one after the other. A programs file may hold rows without a
program (pending, failed): they are counted, and are no fault here. The grammar is in docs/programs.md.

examples:
  leaplan check-programs programs/epic100/programs.parquet --root /data
  leaplan check-programs mine.txt
  leaplan check-programs programs/kitchen/programs.jsonl --root ~/.cache/leaplan --truth ~/.cache/leaplan

exit code: 0 no faults, 1 there are faults, 2 wrong use"""


@dataclass(frozen=True, slots=True)
class Found:
    """A fault and where it is."""

    place: str
    fault: Reason


@dataclass(slots=True)
class Report:
    """What was found in a file.

    Args:
        programs: How many programs were checked.
        without: Rows that have none, by their state.
        faulty: Programs with faults.
        found: All faults in the order of the file.
    """

    programs: int = 0
    without: Counter[str] = field(default_factory=Counter)
    faulty: int = 0
    found: list[Found] = field(default_factory=list)

    def add(self, place: str, faults: Sequence[Reason]) -> None:
        """Count the program at `place`."""
        self.programs += 1
        self.faulty += bool(faults)
        self.found += [Found(f"{place}, {fault.where}" if fault.where else place, fault) for fault in faults]


def main(argv: list[str]) -> int:
    """Run `leaplan check-programs` and return its exit code: 0 no faults, 1 faults.

    Raises:
        UserError: The file or the vocabulary cannot be read.
    """
    options = _parser().parse_args(argv)
    report = check_file(options.file, options.root and options.root.expanduser(), options.state)
    print(show(options.file, report, options.examples))
    if options.truth is not None:
        from leaplan.programs import truth

        language = LEAP if options.root is None else language_at(options.root.expanduser())
        print(truth.show(truth.score_against(options.file, options.truth.expanduser(), language)))
    return 1 if report.found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan check-programs",
        description="Check every program of a file, and tell all faults by kind.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help=".jsonl, .parquet, or .txt with programs as text")
    parser.add_argument(
        "--root", type=Path, help="folder of EPIC-KITCHENS (objects must be its noun classes) or of the kitchen"
    )
    parser.add_argument(
        "--truth", type=Path, metavar="PATH", help="score against these: the kitchen's folder, or a programs file"
    )
    parser.add_argument("--state", choices=STATES, help="check the rows of this state only")
    parser.add_argument("--examples", type=int, default=3, metavar="N", help="faults shown of each kind (default 3)")
    return parser


def check_file(path: Path, root: Path | None = None, state: str | None = None) -> Report:
    """Check every program of a `.jsonl`, `.parquet` or `.txt` file.

    Args:
        root: Folder of EPIC-KITCHENS' class files, or of the synthetic kitchen, whose words the programs must keep
            to. Without one, a program may declare any object, and verbs and predicates are LEAP's.
        state: Check rows of this state only.

    Raises:
        DataError: The file or the words cannot be read at all, or its programs are in other words than those.
    """
    language = LEAP if root is None else language_at(root)
    if path.suffix == ".txt":
        return _check_text(path, language)
    if path.suffix not in SUFFIXES:
        ends = ", ".join((*SUFFIXES, ".txt"))
        raise DataError(f"{path} ends in '{path.suffix}', but programs files end in {ends}", "Rename it, or convert it")
    report = Report()
    for place, row in placed_rows(path):
        if state is not None and row.state != state:
            continue
        if row.program:
            _same_words(path, row, language)
            report.add(f"{place}, clip {row.clip}", row_faults(row, language))
        else:
            report.without[row.state] += 1
    return report


def _same_words(path: Path, row: Row, language: Language) -> None:
    """Raise where the words of the synthetic kitchen meet those of LEAP: every program would be at fault."""
    own = row.provenance.vocabulary
    if KITCHEN in (own, language.name) and own not in ("", language.name):
        raise DataError(
            f"{path} holds programs in the words of '{own}', not of '{language.name}'",
            "Give the folder of their dataset with --root, such as --root ~/.cache/leaplan for the kitchen",
        )


def row_faults(row: Row, language: Language) -> Sequence[Reason]:
    """Return all faults of the row's program, none if it has no program."""
    try:
        program = row.read_program(language)
    except ProgramError as error:
        return reading_faults(error)
    return reasons_of(check(program, language)) if program is not None else ()


def reading_faults(error: ProgramError) -> list[Reason]:
    """Return what `error` tells of as faults of the kind "cannot be read"."""
    return [Reason(UNREADABLE, each.message, each.path) for each in (error, *error.others)]


def _check_text(path: Path, language: Language) -> Report:
    report = Report()
    for line, text in programs_in(_text(path)):
        try:
            report.add(f"line {line}", reasons_of(check(parse(text, language), language)))
        except ProgramError as error:
            report.programs += 1
            report.faulty += 1
            for each in (error, *error.others):
                place = f"line {line - 1 + each.line}, column {each.column}" if each.line else f"line {line}"
                report.found.append(Found(place, Reason(UNREADABLE, each.message, "")))
    return report


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})", "Save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", "Check the name") from error


def programs_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line of its first word, text) of each program in `text`: up to the "}" that closes its first "{"."""
    start, depth = -1, 0
    for token in tokens_of(text):
        if token.kind == "end":
            break
        start = token.offset if start < 0 else start
        depth += (token.kind == "{") - (token.kind == "}")
        if token.kind == "}" and depth <= 0:
            yield text.count("\n", 0, start) + 1, text[start : token.offset + 1]
            start, depth = -1, 0
    if start >= 0:
        yield text.count("\n", 0, start) + 1, text[start:]


def show(path: Path, report: Report, examples: int) -> str:
    """Return the report as text: counts, then the faults by falling frequency of their kind, with examples."""
    lines = [f"{path}: {report.programs:,} program{'s' if report.programs != 1 else ''}, {report.faulty:,} with faults"]
    without = ", ".join(f"{count:,} {state}" for state, count in report.without.most_common())
    lines += [f"rows without a program: {without}"] if without else []
    kinds: dict[str, list[Found]] = {}
    for found in report.found:
        kinds.setdefault(found.fault.kind, []).append(found)
    for kind, founds in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])):
        lines.append(f"{kind}: {len(founds):,}")
        lines += [f"  {found.place}: {found.fault.message}" for found in founds[:examples]]
        lines += [f"  ... and {len(founds) - examples:,} more"] if len(founds) > examples else []
    return "\n".join(lines)

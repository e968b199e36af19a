"""The verb `bench`: speed and memory, measured with repeats and written in one form that two runs are compared in."""

import argparse
import platform
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import leaplan
from leaplan.measuring import Figure, Measurement, peak_memory_mb, usable_cores

SUBJECTS = {
    "planner": (
        "leaplan.planning.bench",
        "a training step, Viterbi and the decoder; --preset paper for PlanLLM's sizes",
    ),
    "recogniser": (
        "leaplan.recognition.bench",
        "UniFormerV2 per clip, decoding, and which of them bounds a run; --size b16, --device cuda",
    ),
    "decode": ("leaplan.data.bench", "clips from films: decoded and cropped each time, and from the cache on disk"),
    "extract": ("leaplan.bench_extract", "videos to features, and which of decoding and network bounds it"),
    "language": ("leaplan.planning.bench_language", "plans along a trie of labels, and the memory of a 7B model"),
    "chat": ("leaplan.text.chat.bench", "requests to a language model's server on this machine"),
    "programs": ("leaplan.programs.bench", "action programs by rules: made, checked, encoded"),
}
SCHEMA = 1


def main(argv: list[str]) -> int:
    """Run the benchmark that `argv` names, or compare two that were run; return 0.

    Raises:
        UserError: Wrong use, or files that cannot be compared.
    """
    if argv and argv[0] in SUBJECTS:
        return _measure(argv[0], argv[1:])
    width = max(map(len, SUBJECTS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what) in SUBJECTS.items()]
    examples = [
        "examples:",
        "  leaplan bench planner --preset paper --json before.json",
        "  leaplan bench --compare before.json after.json",
    ]
    parser = argparse.ArgumentParser(
        "leaplan bench",
        description=__doc__,
        epilog="\n".join(["subjects:", *lines, "", *examples]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("subject", nargs="?", choices=SUBJECTS, metavar="SUBJECT", help="what to measure; has a --help")
    what.add_argument("--compare", nargs=2, type=Path, metavar="FILE", help="two files of --json: before and after")
    options = parser.parse_args(argv)
    from leaplan.bench_compare import compare_files

    return compare_files(*options.compare)


def _measure(subject: str, argv: list[str]) -> int:
    """Run one subject: a module with `EXAMPLES`, `add_options` and `measure`."""
    module: Any = import_module(SUBJECTS[subject][0])
    parser = argparse.ArgumentParser(
        f"leaplan bench {subject}",
        description=module.__doc__,
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, for --compare")
    module.add_options(parser)
    options = parser.parse_args(argv)
    measurement: Measurement = module.measure(options)
    measurement.figures.extend(_memory())
    print_measurement(measurement)
    if options.json:
        from leaplan.training.resampling import write_report

        settings = {name: _plain(value) for name, value in vars(options).items() if name != "json"}
        write_report(options.json, form(subject, measurement, settings, environment(measurement)))
    return 0


def _memory() -> list[Figure]:
    """Return the most memory that this process has had, and its tensors on a card."""
    figures = [Figure("peak resident memory", (peak_memory_mb(),), "MB", "lower")]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        card = torch.cuda.max_memory_allocated() / 2**20
        if card > 0:  # else a process of its own did the work, and has told
            figures.append(Figure("peak memory of tensors on the GPU", (card,), "MB", "lower"))
    return figures


def _plain(value: Any) -> Any:
    """Return an option's value as JSON has it."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


# --- The common form


def form(
    subject: str, measurement: Measurement, settings: dict[str, Any], environment: dict[str, Any]
) -> dict[str, Any]:
    """Return what `--json` writes of a subject; `bench_compare.read` takes it.

    Args:
        subject: One of `SUBJECTS`.
        measurement: Of it.
        settings: Options that it was measured with.
        environment: Of the machine; see `environment`.
    """
    rows = [
        {
            "name": figure.name,
            "value": figure.value,
            "unit": figure.unit,
            "better": figure.better or None,
            "repeats": list(figure.repeats),
            **({"beside": figure.beside} if figure.beside else {}),
        }
        for figure in measurement.figures
    ]
    return {
        "bench": SCHEMA,
        "subject": subject,
        "leaplan": leaplan.__version__,
        "title": measurement.title,
        "settings": settings,
        "environment": environment,
        "figures": rows,
        "bounds": measurement.bounds,
    }


def environment(measurement: Measurement) -> dict[str, Any]:
    """Return the machine, versions and how they were used."""
    from leaplan.training import results

    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 1
    used = {"device": measurement.device, "precision": measurement.precision, "threads": threads}
    return {**results.environment(), **used, "processor": _processor(), "cores": usable_cores()}


def _processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(errors="replace").splitlines() if listed.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


# --- What is printed


def print_measurement(measurement: Measurement) -> None:
    """Print every figure with the range of its repeats, and what bounds the work."""
    table = Table("what", "figure", "repeats", box=None, pad_edge=False)
    table.add_column("beside it" if any(figure.beside for figure in measurement.figures) else "")
    for figure, what in zip(measurement.figures, add_headings(table, measurement.figures), strict=False):
        value = f"{number(figure.value)} {figure.unit}".rstrip()
        table.add_row(what, escape(value), _range(figure), escape(figure.beside))
    console = Console(soft_wrap=True)
    console.print(measurement.title, markup=False, highlight=False)
    console.print(table, highlight=False)
    for bound in measurement.bounds:
        console.print(bound, markup=False, highlight=False)


def add_headings(table: Table, figures: Iterable[Figure]) -> Iterator[str]:
    """Yield what to call each figure in `table`, where those named "film: ..." get a heading "film" together."""
    last = ""
    for figure in figures:
        heading, colon, what = figure.name.rpartition(": ")
        if heading and heading != last:
            table.add_row(escape(heading))
        last = heading
        yield escape(f"  {what}" if colon else figure.name)


def number(value: float) -> str:
    """Return a figure with three digits that mean something, and thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _range(figure: Figure) -> str:
    if len(figure.repeats) == 1:
        return "once"
    return f"{number(min(figure.repeats))} to {number(max(figure.repeats))} ({len(figure.repeats)})"

"""The verb `report`: finished runs on one page that needs nothing else: no network, no server, no other file."""

import argparse
import sys
import webbrowser
from pathlib import Path

import leaplan
from leaplan.errors import DataError
from leaplan.options import at_least_one, whole

EXAMPLES = """examples:
  leaplan report runs/planllm-synthetic-t3
  leaplan report "runs/planllm_captaincook4d_t3-seed*" "runs/plan-captaincook4d-full-t3-seed*" --root /data
  leaplan report plain='runs/leap-recognise-plain-*' programs='runs/leap-recognise-[0-9]*' --open
  leaplan report programs/epic                         coverage of action programs

Runs whose names differ in the seed alone, and runs of one label, stand for one model. Runs that were asked different
things (another dataset, split, horizon or task) are shown apart."""


def main(argv: list[str]) -> int:
    """Write the page of the runs that `argv` names, print where it is, and return 0.

    Raises:
        UserError: Wrong use, a folder that is no run, or a damaged file.
    """
    options = _parser().parse_args(argv)
    from leaplan.on_runs.folders import by_setting, read_runs
    from leaplan.on_runs.groups import Limits, group_of, programs_group, with_horizons
    from leaplan.report.page import render
    from leaplan.writing import write_text

    models, programs = read_runs(options.runs, options.split)
    limits = Limits(options.samples, options.pictures, options.bootstrap)
    made = [group_of(group, options.root, limits, _say) for group in by_setting(models)]
    groups = with_horizons([group for group, _ in made], [planners for _, planners in made], options.bootstrap)
    groups += [programs_group(path, limits, _say) for path in programs]
    folders = [run.folder for model in models for run in model.runs] + programs
    page = render(_title([model.label for model in models] + [path.name for path in programs]), groups)
    out = options.out or _place(folders)
    try:
        write_text(out, page)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror or error})", "Give another --out") from error
    print(f"{out}  {out.stat().st_size / 1e6:.1f} MB")
    if options.open:
        webbrowser.open(out.resolve().as_uri())
    return 0


def _title(labels: list[str]) -> str:
    """Return the names, at most three of them: tabs and tables have them all."""
    names = list(dict.fromkeys(labels))
    rest = f" and {len(names) - 2} more" if len(names) > 3 else ""
    return ", ".join(names[:2] if rest else names) + rest


def _place(folders: list[Path]) -> Path:
    """Return report.html in the folder of the only run, or else in the one that holds the first."""
    first = folders[0]
    if len(folders) == 1 and first.is_dir():
        return first / "report.html"
    return first.parent / "report.html"


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan report",
        description=f"Show finished runs on one page, which opens from disk (leaplan {leaplan.__version__}).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="runs/NAME, a pattern, LABEL=RUN[,RUN...], or a folder of programs")
    add("--out", type=Path, metavar="FILE", help="default: report.html in the run, or beside several")
    add("--split", default="test", help="which predictions are shown (default test)")
    add("--root", default="", metavar="DIR", help="of the dataset; by default where it was in training")
    add(
        "--samples", type=at_least_one, default=5000, metavar="N", help="of all runs of a group together (default 5000)"
    )
    add("--pictures", type=whole, default=60, metavar="N", help="samples with frames, per group (default 60)")
    add("--bootstrap", type=at_least_one, default=2000, metavar="N", help="draws of intervals (default 2000)")
    add("--open", action="store_true", help="open it in the browser")
    return parser

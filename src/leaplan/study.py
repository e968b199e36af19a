"""The verb `study`: variants x horizons x seeds of one experiment, each a run of its own, and tables of them all."""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from leaplan.cli import FREE_TO_CHANGE, flat
from leaplan.errors import ConfigError, DataError, UserError
from leaplan.interrupts import interruptible
from leaplan.options import at_least_one
from leaplan.planning.score import read_predictions
from leaplan.planning.scoring.figures import Resampling
from leaplan.planning.scoring.over_seeds import success_difference
from leaplan.planning.scoring.predictions import Predictions
from leaplan.report.study_file import Study, Table, read_study
from leaplan.report.tables import LEGEND, Results, as_markdown, decodings_of, table_figures
from leaplan.shipped_configs import config_file
from leaplan.training.results import read_results
from leaplan.writing import write_json, write_text

FIT = (sys.executable, "-m", "leaplan", "fit")
POLL_SECONDS = 0.2
OURS = {
    "--name": "a study names its runs",
    "--horizon": "give --horizons",
    "--seed": "give --seeds",
    "--seed_everything": "give --seeds",
    "--overwrite": "a study skips what is finished; remove the folders of runs to be trained again",
}
EXAMPLES = """a study file:
  title: What each part is worth
  variants:                      # name: overlay files (relative to this file) and settings
    full: []
    no-mixup: [--model.mixup 0]
    narrow: [narrow.yaml, --model.learning_rate 0.002]
  tables:
    - title: Parts
      layout: variants           # a row for each variant
      rows: [narrow, no-mixup, full]          # or label: variant
      columns: {mixup: [narrow, full]}        # headings with a check mark
      decoding: viterbi                       # or {row: decoding}
      reference: full                         # what the others are compared with
    - title: How far ahead
      layout: horizons           # a row for each horizon
      variant: full

examples:
  leaplan study configs/study/parts.yaml --config configs/experiment/plan_captaincook4d_t3.yaml --root /data \\
    --seeds 7 8 9 --horizons 3 4 --final val
  leaplan study configs/study/horizons.yaml --config configs/experiment/plan_synthetic_t3.yaml --dry-run
Any further --key value goes to `leaplan fit`. Interrupt it at any moment; the same command continues.

exit code: 0 all runs are finished, 1 some failed, 2 wrong use"""


@dataclass(frozen=True)
class Run:
    """One run of `leaplan fit`.

    Args:
        variant, horizon, seed: What it is in the study.
        folder: Where it is kept.
        files: The experiment and its overlays, a later one going before.
        settings: "--key value" words for `leaplan fit`, a later one going before.
        split: The split whose figures are wanted.
    """

    variant: str
    horizon: int
    seed: int
    folder: Path
    files: tuple[Path, ...]
    settings: tuple[str, ...]
    split: str

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.variant} T={self.horizon} seed {self.seed}"

    @property
    def arguments(self) -> list[str]:
        """Of `leaplan fit`."""
        files = [word for file in self.files for word in ("--config", str(file))]
        own = {"horizon": self.horizon, "seed_everything": self.seed, "name": self.folder.name}
        own |= {"runs": self.folder.parent, "final": self.split}
        return [*files, *(word for key, value in own.items() for word in (f"--{key}", str(value))), *self.settings]

    def metrics(self) -> dict[str, Any]:
        """Return the figures of the wanted split, {} while there are none."""
        return dict(read_results(self.folder).get("metrics", {}).get(self.split, {}))


def main(argv: list[str]) -> int:
    """Run a study and return its exit code: 0 all runs are finished, 1 some failed.

    Raises:
        UserError: The study file, the experiment or an argument cannot be used.
    """
    options, settings = _parser().parse_known_args(argv)
    study = read_study(options.study)
    runs = plan_runs(study, options, settings)
    if options.dry_run:
        print("\n".join(f"{run.folder}: leaplan fit {shlex.join(run.arguments)}" for run in runs))
        return 0
    reasons = execute(runs, options.jobs)
    results = {(r.variant, r.horizon, r.seed): reasons.get(r.folder.name) or r.metrics() for r in runs}
    report(study, runs, results, options.runs / f"study-{study.path.stem}")
    return 1 if reasons else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan study",
        usage="leaplan study STUDY.yaml --config EXPERIMENT.yaml [--KEY VALUE ...]",
        description="Run variants x horizons x seeds of an experiment, and print tables.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("study", type=_file, metavar="STUDY.yaml", help="variants and tables")
    parser.add_argument("--config", type=_file, action="append", required=True, help="the experiment; then overlays")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="S", help="default: that of the experiment")
    parser.add_argument("--horizons", type=int, nargs="+", metavar="T", help="default: that of the experiment")
    parser.add_argument("--jobs", type=at_least_one, default=1, metavar="N", help="runs at a time (default 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default runs)")
    parser.add_argument("--final", choices=["test", "val"], default="test", help="split of the figures (default test)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    return parser


def _file(given: str) -> Path:
    return Path(config_file(given))


# --- planning ---------------------------------------------------------------------------------------------------


def plan_runs(study: Study, options: argparse.Namespace, settings: Sequence[str]) -> list[Run]:
    """Return the runs of a study, seed by seed, so that early on every variant has one.

    Raises:
        ConfigError: The experiment or an overlay cannot be read, or a setting is one that a study makes itself.
    """
    overlays = [overlay for variant in study.variants.values() for overlay in variant.overlays]
    experiment, *_ = [_content(file) for file in (*options.config, *overlays)]
    for words in (settings, *(variant.settings for variant in study.variants.values())):
        _refuse_ours(words)
    stem = re.sub(r"-t\d+$", "", options.config[0].stem.replace("_", "-"))
    return [
        Run(
            variant=name,
            horizon=horizon,
            seed=seed,
            folder=options.runs / f"{stem}-{name}-t{horizon}-seed{seed}",
            files=(*options.config, *variant.overlays),
            settings=(*settings, *variant.settings),
            split=options.final,
        )
        for seed in dict.fromkeys(options.seeds or [experiment.get("seed_everything", 7)])
        for horizon in dict.fromkeys(options.horizons or [experiment.get("horizon", 3)])
        for name, variant in study.variants.items()
    ]


def _content(path: Path) -> dict[str, Any]:
    """Return a configuration file's keys and values."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}", "Give it with --config") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds {content!r}, but must hold 'key: value' lines", "Give it with --config")
    return content


def _refuse_ours(words: Sequence[str]) -> None:
    if words and not words[0].startswith("--"):
        raise ConfigError(f"'{words[0]}' is one argument too many", "How it is called:  leaplan study --help")
    for key in pairs(words):
        if key in OURS:
            raise ConfigError(f"{key} cannot be set in a study", f"{OURS[key][0].upper()}{OURS[key][1:]}")


def pairs(words: Sequence[str]) -> dict[str, str]:
    """Return "--key value" and "--key=value" words as key to value."""
    found: dict[str, str] = {}
    key = ""
    for word in words:
        if word.startswith("--"):
            key, _, found[key] = word.partition("=")
        else:
            found[key] = f"{found[key]} {word}".strip()
    return found


def definition(run: Run) -> dict[str, Any]:
    """Return what decides the figures of a run: the values of its files, and of the files they name, and settings.

    Raises:
        ConfigError: A file cannot be read, or does not hold settings.
    """
    values: dict[str, Any] = {}
    for file in run.files:
        for key, value in flat(_content(file)).items():
            named = file.parent / value if isinstance(value, str) and value.endswith((".yaml", ".yml")) else None
            values |= flat(_content(named), f"{key}.") if named and named.is_file() else {key: value}
    values |= {key.removeprefix("--"): value for key, value in pairs(run.settings).items()}
    free = tuple(f"{name}." for name in (*FREE_TO_CHANGE, "name", "horizon", "seed_everything"))
    kept = {key: value for key, value in values.items() if not f"{key}.".startswith(free)}
    return dict(json.loads(json.dumps(kept, default=str)))


def refusal(run: Run) -> str:
    """Return why the figures of a finished run cannot be taken for this run's, "" if they can.

    Raises:
        DataError: The definition that was kept with it is damaged.
    """
    path = run.folder / "study.json"
    if not path.is_file():
        return f"{run.folder} is a finished run, but not of a study; rename or remove it"
    try:
        before, now = dict(json.loads(path.read_text(encoding="utf-8"))), definition(run)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged; remove {run.folder} to train again") from error
    changed = [f"{k}: {before.get(k)} -> {now.get(k)}" for k in {**before, **now} if before.get(k) != now.get(k)]
    if changed:
        return f"{run.folder} was finished with other settings ({', '.join(changed[:3])}); remove it to train again"
    return ""


# --- running ----------------------------------------------------------------------------------------------------


def triage(runs: Sequence[Run]) -> tuple[list[Run], dict[str, str]]:
    """Return the runs that are not finished, and why some cannot be used, by the name of their folder.

    A run is asked for its settings as soon as it has figures, of whatever split: they must not be mixed with others.
    """
    waiting, reasons = [], {}
    for run in runs:
        try:
            if read_results(run.folder) and (reason := refusal(run)):
                reasons[run.folder.name] = reason
            elif not run.metrics():
                waiting.append(run)
        except DataError as error:
            reasons[run.folder.name] = error.what
    return waiting, reasons


def execute(runs: Sequence[Run], jobs: int) -> dict[str, str]:
    """Run what is not finished, `jobs` at a time, and return why runs failed, by the name of their folder."""
    waiting, reasons = triage(runs)
    if len(waiting) < len(runs):
        print(
            f"{len(runs) - len(waiting)} of {len(runs)} runs are there already", *reasons.values(), sep="\n", flush=True
        )
    began, count = time.monotonic(), len(waiting)
    with closing(_ended(waiting, jobs)) as ended:  # an interrupt here closes it as well
        for number, (run, code, seconds) in enumerate(ended, start=1):
            said, reason = outcome(run, code)
            if reason:
                reasons[run.folder.name] = reason
            left = (time.monotonic() - began) / number * (count - number)
            rest = f", about {duration(left)} left" if number < count else ""
            place = f"[{len(runs) - count + number}/{len(runs)}]"
            print(f"{place} {run.label}: {said} ({duration(seconds)}){rest}", flush=True)
    return reasons


def _ended(runs: Sequence[Run], jobs: int) -> Generator[tuple[Run, int, float]]:
    """Start runs, `jobs` at a time, and yield each with its exit code and seconds when it ends."""
    waiting, active = deque(runs), dict[Run, tuple[subprocess.Popen[bytes], float]]()
    with _killing(active):
        while waiting or active:
            while waiting and len(active) < jobs:
                run = waiting.popleft()
                active[run] = start(run, alone=jobs == 1), time.monotonic()
            time.sleep(POLL_SECONDS)
            for run in [run for run, (process, _) in active.items() if process.poll() is not None]:
                process, since = active.pop(run)
                yield run, process.returncode, time.monotonic() - since


def start(run: Run, alone: bool) -> "subprocess.Popen[bytes]":
    """Start a run in a process group of its own, its output going to the end of its log."""
    run.folder.mkdir(parents=True, exist_ok=True)
    write_json(run.folder / "study.json", definition(run))
    environment = dict(os.environ) if alone else {**os.environ, "OMP_NUM_THREADS": "1"}
    with (run.folder / "log.txt").open("ab") as log:
        log.write(f"$ leaplan fit {shlex.join(run.arguments)}\n".encode())
        log.flush()
        return subprocess.Popen(
            [*FIT, *run.arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, process_group=0
        )


@contextmanager
def _killing(active: Mapping[Run, tuple["subprocess.Popen[bytes]", float]]) -> Iterator[None]:
    """Let no run outlive the study, also if a signal ends it. A run continues from its last checkpoint."""
    with interruptible():
        try:
            yield
        finally:
            for process, _ in active.values():
                with suppress(ProcessLookupError, PermissionError):  # it may have ended meanwhile
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def outcome(run: Run, code: int) -> tuple[str, str]:
    """Return what to say of an ended run, and why it failed, "" if it did not."""
    try:
        decodings = decodings_of(run.metrics())
    except DataError as error:
        return f"failed: {error.what}", error.what
    if code == 0 and decodings:
        shown = decodings.get("viterbi") or next(iter(decodings.values()))
        return f"SR {100 * shown['success_rate']:.1f}", ""
    log = run.folder / "log.txt"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    begun = max(place for place, line in enumerate(lines) if line.startswith("$ leaplan fit"))
    said = lines[begun + 1 :]
    told = next((line for line in said if line.startswith("leaplan: ")), said[-1] if said else "it said nothing")
    reason = f"exit code {code}: {told.removeprefix('leaplan: ')}" if code else f"no figures of the {run.split} split"
    return f"failed, see {log}: {reason}", f"{reason} (see {log})"


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


# --- reporting --------------------------------------------------------------------------------------------------


def report(study: Study, runs: Sequence[Run], results: Results, folder: Path) -> None:
    """Print the tables, and write them to `tables.md` and `tables.json` in `folder`."""
    horizons = list(dict.fromkeys(run.horizon for run in runs))
    seeds = list(dict.fromkeys(run.seed for run in runs))
    tables = []
    read = cache(read_predictions)  # a file takes part in many comparisons
    for table in study.tables:
        figures = table_figures(table, results, horizons, seeds)
        figures["comparisons"] = list(_comparisons(table, runs, results, read))
        tables.append(figures)
    text = "\n".join(
        [f"# {study.title}\n", *(as_markdown(figures, runs[0].split) for figures in tables), f"{LEGEND}\n"]
    )
    write_text(folder / "tables.md", text)
    known = [
        {"name": run.folder.name, "variant": run.variant, "horizon": run.horizon, "seed": run.seed}
        | {"missing": found if isinstance(found := results[run.variant, run.horizon, run.seed], str) else None}
        for run in runs
    ]
    content = {"schema": 1, "title": study.title, "experiment": str(runs[0].files[0]), "split": runs[0].split}
    write_json(folder / "tables.json", {**content, "tables": tables, "runs": known})
    print(f"\n{text}\ntables in {folder}/tables.md and tables.json", flush=True)


def _comparisons(
    table: Table, runs: Sequence[Run], results: Results, read: Callable[[Path], Predictions]
) -> Iterator[dict[str, Any]]:
    """Compare the reference with each other row at each horizon, over the seeds that both have."""
    files: dict[tuple[str, int], dict[int, Path]] = defaultdict(dict)
    for run in runs:
        if not isinstance(results[run.variant, run.horizon, run.seed], str):
            files[run.variant, run.horizon][run.seed] = run.folder / "predictions" / f"{run.split}.jsonl"
    others = [row for row in table.rows if table.reference and row != table.reference]
    for row, horizon in product(others, dict.fromkeys(run.horizon for run in runs)):
        ours, theirs = (files[table.rows[name], horizon] for name in (table.reference, row))
        common = [seed for seed in ours if seed in theirs]
        compared: dict[str, Any] = {"row": row, "horizon": horizon, "seeds": common}
        try:
            pair = [[read(each[seed]) for seed in common] for each in (ours, theirs)]
            decodings = table.decoding[table.reference], table.decoding[row]
            yield {**compared, **success_difference(pair[0], pair[1], decodings, Resampling())}
        except UserError as error:
            yield {**compared, "reason": error.what}

"""The verb `demo`: a kitchen made, a planner and a recogniser trained on it, asked about a film, and reported on."""

import argparse
import os
import shutil
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

from leaplan.demo.kitchen import Film, held_out, is_made, kitchen_of
from leaplan.demo.training import Training, train
from leaplan.errors import ConfigError, UserError
from leaplan.measuring import usable_cores
from leaplan.writing import write_text

ANSWERS = ("programs", "plan.png", "plan.json", "actions.json", "report.html")
EXAMPLES = """examples:
  leaplan demo                                     the first time some minutes, then seconds
  leaplan demo --serve                             a page on this machine: pick a film, mark start and goal
  leaplan demo --planner runs/planllm-synthetic-t3 --recogniser runs/leap-recognise-7
  leaplan demo --videos 12 --epochs 1 --no-open    a quick look whether all is in place; the plans are bad

Everything is written below --runs: demo-planner and demo-recogniser, as `leaplan fit` leaves them, and demo/ with the
programs, the plan as a picture, and the actions. Interrupt it at any moment; the same command continues. What is there
of other --videos, --epochs, --planner or --recogniser is made again, and the demo says so; such runs are kept aside.

exit code: 0 done, 2 wrong use, or a step failed"""


def main(argv: list[str]) -> int:
    """Run `leaplan demo` and return 0.

    Raises:
        UserError: A step failed, or runs that were given cannot be used.
    """
    options = _parser().parse_args(argv)
    if options.serve:
        from leaplan.demo.web import refuse_absent, serve

        refuse_absent()
    demo = Demo(options)
    for told in demo.forget_others():
        print(told, flush=True)
    began = time.monotonic()
    for number, (what, step) in enumerate(demo.steps, start=1):
        print(f"[{number}/{len(demo.steps)}] {what}", flush=True)
        since = time.monotonic()
        said = step()
        print(f"      {said}{'; ' if said else ''}{time.monotonic() - since:.1f} s", flush=True)
    print(f"the demo took {time.monotonic() - began:.0f} s", flush=True)
    if options.serve:
        serve(demo.planner, demo.recogniser, demo.films, options.port)
    elif demo.page is not None:
        _show(demo.page, options.open)
    return 0


@dataclass(frozen=True)
class Demo:
    """What the demo does, step by step, each only where it has not been done.

    All methods raise `UserError` where a verb that they call fails.

    Args:
        options: Of the command line.
    """

    options: argparse.Namespace

    @property
    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """What each step is, and what does it and returns what to say of it."""
        return [
            ("the synthetic kitchen: people who cook, simulated and filmed", self.make_kitchen),
            ("action programs of its clips, by rules", self.make_programs),
            ("PlanLLM learns to plan, LEAP to recognise actions and programs", self.train),
            ("three steps planned from what is seen at a start and a goal", self.plan),
            ("actions and programs recognised along a film", self.recognise),
            ("a page about both runs", self.report),
        ]

    @cached_property
    def folder(self) -> Path:
        """Where the answers are written."""
        return Path(self.options.runs).expanduser() / "demo"

    @cached_property
    def kitchen(self) -> Path:
        """The kitchen's folder."""
        return kitchen_of(Path(self.options.root).expanduser(), self.options.videos)

    @cached_property
    def films(self) -> list[Film]:
        """Those that no run was trained on."""
        return held_out(self.kitchen)

    @property
    def planner(self) -> Path:
        """The run that plans."""
        return self.options.planner or self.folder.with_name("demo-planner")

    @property
    def recogniser(self) -> Path:
        """The run that recognises."""
        return self.options.recogniser or self.folder.with_name("demo-recogniser")

    @property
    def page(self) -> Path | None:
        """The report, where there is one."""
        path = self.folder / "report.html"
        return path if path.is_file() else None

    def forget_others(self) -> Iterator[str]:
        """Set runs of other films or epochs aside, and remove answers of other runs. Yield what is said of it."""
        for run in self.own_runs:
            if run.kept not in (None, (run.films, run.epochs)):
                films, epochs = run.kept
                aside = run.folder.with_name(f"{run.folder.name}-videos{films}-epochs{epochs}")
                yield f"{run.folder} was made with --videos {films} --epochs {epochs}: it is {aside} now"
                shutil.rmtree(aside, ignore_errors=True)  # the same training, earlier
                run.folder.rename(aside)
        record, made_of = self.folder / "made_of.txt", f"{self.kitchen.name}\n{self.planner}\n{self.recogniser}\n"
        if not record.is_file() or record.read_text(encoding="utf-8") != made_of:
            there = [path for path in map(self.folder.joinpath, ANSWERS) if path.exists()]
            if there:
                yield f"{self.folder} tells of other films or runs: what is in it is made again"
            for path in there:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            write_text(record, made_of)

    # --- the steps

    def make_kitchen(self) -> str:
        """Make the kitchen."""
        if not is_made(self.kitchen):
            from leaplan.data.synthetic import make_kitchen

            make_kitchen(self.kitchen.parent, 7, self.options.videos)
        return f"{self.options.videos} films in {self.kitchen}"

    def make_programs(self) -> str:
        """Make programs, which the recogniser learns from."""
        programs = self.folder / "programs"
        if not (programs / "README.md").is_file():  # written last
            _leaplan("generate-programs", "--dataset", "kitchen", "--root", self.kitchen, "--out", programs, "--quiet")
        return f"in {programs}"

    def train(self) -> str:
        """Train the two runs, at once where there are two cores."""
        if any(not run.finished for run in self.own_runs):
            train(self.own_runs, jobs=min(2, usable_cores()))
        return f"{self.planner} and {self.recogniser}"

    def plan(self) -> str:
        """Plan the first steps of a film, and draw it."""
        film = self.films[0]
        start, goal, done = film.question
        picture = self.folder / "plan.png"
        if _older(picture, self.planner):
            ends = ("--start", f"{start:.3f}", "--goal", f"{goal:.3f}", "--checkpoint", self.planner)
            _leaplan("plan", film.path, *ends, "--strip", picture, "--json", self.folder / "plan.json")
            print(f"what was done: {', '.join(done)}")
        return f"drawn in {picture}"

    def recognise(self) -> str:
        """Recognise what is done in the film."""
        answer = self.folder / "actions.json"
        if _older(answer, self.recogniser):
            _leaplan("recognise", self.films[0].path, "--checkpoint", self.recogniser, "--json", answer)
        return f"in {answer}"

    def report(self) -> str:
        """Make the page."""
        from leaplan.__main__ import VERBS

        page = self.folder / "report.html"
        if "report" not in VERBS:
            return "this version of leaplan has no verb report"
        if _older(page, self.planner) or _older(page, self.recogniser):
            _leaplan("report", self.planner, self.recogniser, self.folder / "programs", "--out", page)
        return f"in {page}"

    # --- the runs

    @property
    def own_runs(self) -> list[Training]:
        """Those that are not given."""
        planner = [] if self.options.planner else [self._planner()]
        return planner + ([] if self.options.recogniser else [self._recogniser()])

    def _planner(self) -> Training:
        run = self.folder.with_name("demo-planner")
        return self._training("planner", "planllm_synthetic_t3", run, 21, ())

    def _recogniser(self) -> Training:
        run = self.folder.with_name("demo-recogniser")
        programs = ("--data.programs.file", str((self.folder / "programs" / "programs.jsonl").resolve()))
        return self._training("recogniser", "leap_recognise_kitchen", run, 12, programs)

    def _training(self, what: str, config: str, run: Path, epochs: int, more: tuple[str, ...]) -> Training:
        epochs = self.options.epochs or epochs
        places = ("--name", run.name, "--runs", str(run.parent), "--root", str(self.kitchen.parent))
        sizes = ("--trainer.max_epochs", str(epochs), "--data.videos", str(self.options.videos))
        return Training(what, run, self.options.videos, epochs, ("--config", config, *places, *sizes, *more))


def _leaplan(verb: str, *words: object) -> None:
    """Run a verb in this process. Raises what it raises, and UserError where it ends with another code than 0."""
    from leaplan.__main__ import VERBS

    if code := import_module(VERBS[verb][0]).main([str(word) for word in words]):
        raise UserError(f"`leaplan {verb}` ended with {code}", "The lines above tell why")


def _older(made: Path, run: Path) -> bool:
    """Tell whether something is not there, or older than the run that it was made of."""
    results = run / "results.json"
    return not made.is_file() or (results.is_file() and results.stat().st_mtime_ns > made.stat().st_mtime_ns)


def _show(page: Path, wanted: bool) -> None:
    """Open a page where somebody sits in front of a screen, else say where it is."""
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not (wanted and sys.stdout.isatty() and screen and webbrowser.open(page.resolve().as_uri())):
        print(f"look at it:  {page.resolve().as_uri()}")


def _run_folder(text: str) -> Path:
    folder = Path(text).expanduser()
    if not (folder / "checkpoints" / "best.ckpt").is_file():
        hint = "Give the folder of a finished run, or leave it out: the demo trains one"
        raise ConfigError(f"{folder} is no finished run: it has no checkpoints/best.ckpt", hint)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan demo",
        description="Make a kitchen, train a planner and a recogniser on it, ask both about a film, and report.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--no-open", dest="open", action="store_false", help="do not open the page in the browser")
    add("--serve", action="store_true", help="then a page on this machine to try both runs (extra: leaplan[demo])")
    add("--port", type=int, default=7860, help="of that page (default 7860)")
    add("--planner", type=_run_folder, metavar="RUN", help="a planner of the kitchen that is there already")
    add("--recogniser", type=_run_folder, metavar="RUN", help="likewise a recogniser")
    add("--runs", default="runs", metavar="FOLDER", help="where everything is written (default runs)")
    add("--root", default="~/.cache/leaplan", metavar="FOLDER", help="where the kitchen is (default ~/.cache/leaplan)")
    add("--videos", type=int, default=240, metavar="N", help="films of the kitchen (default 240)")
    add("--epochs", type=int, metavar="N", help="of training (default 21 and 12)")
    return parser

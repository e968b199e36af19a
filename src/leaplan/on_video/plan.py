"""The verb `plan`: a video with a start and a goal in, or two images; steps that lead from one to the other out."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaplan.errors import ConfigError
from leaplan.extract_features import _pair as pair
from leaplan.on_video.readable import seconds_of

if TYPE_CHECKING:
    from torch import Tensor

    from leaplan.on_video.observing import Images, Moments
    from leaplan.on_video.opened_run import OpenedRun
    from leaplan.on_video.same_encoder import Eyes

EXAMPLES = """examples:
  leaplan plan video.mp4 --start 0:12 --goal 3:40 --steps 4 --checkpoint runs/plan-crosstask-t4 --weights s3d.pth
  leaplan plan video.mp4 --start 12 --goal 31.5 --checkpoint runs/plan-synthetic-t3 --strip plan.png --json plan.json
  leaplan plan --start now.jpg --goal wanted.jpg --checkpoint runs/plan-crosstask-t4 --weights s3d.pth

Nothing is seen of the video but the seconds around start and goal that the run was trained to look at. Features are
made by the encoder that made those of the run, as features.json beside them tells; it does not hold weights: give the
same file. For features that leaplan did not extract, say --encoder, --weights and --set as for extract-features.
The dataset of the run must be at hand: its classes and what is measured on it are part of the planner.

exit code: 0 here is a plan, 2 wrong use, or the run and the video do not fit"""


def main(argv: list[str]) -> int:
    """Run `leaplan plan` and return 0.

    Raises:
        UserError: Times, files, the run or the encoder cannot be used.
    """
    options = _parser().parse_args(argv)
    ends = _ends(options)
    if options.strip:
        from leaplan.on_video.picture_strip import refuse_ending

        refuse_ending(options.strip)
    from leaplan.on_video.opened_run import open_run
    from leaplan.on_video.planned import Looked, ask, print_plan
    from leaplan.writing import write_json

    run = open_run(options.checkpoint, "planning", options.root, options.device, _refuse_source)
    refuse_horizon(run, options.steps)
    eyes = _eyes(run, options)
    began = time.perf_counter()
    seen = ends.see(eyes, run.data.source)
    _refuse_width(run, eyes, seen[0])
    planned = ask(run, *seen, options.top, Looked(ends.names, ends.as_json(), eyes.encoder.name))
    print_plan(planned, time.perf_counter() - began)
    if options.json:
        write_json(options.json, planned.as_json())
        print(f"written: {options.json}")
    if options.strip:
        from leaplan.on_video.picture_strip import write_strip

        write_strip(options.strip, *ends.pictures(eyes), planned)
        print(f"written: {options.strip}")
    return 0


def _ends(options: argparse.Namespace) -> "Images | Moments":
    """Return start and goal as given.

    Raises:
        ConfigError: They are no times, or in the wrong order, or no images.
    """
    if options.video is None:
        paths = [Path(text).expanduser() for text in (options.start, options.goal)]
        for name, path in zip(("--start", "--goal"), paths, strict=True):
            if not path.is_file():
                hint = "Give two images, or a video before --start and --goal:  leaplan plan VIDEO --start 0:12 ..."
                raise ConfigError(f"{name} {path} is no image: there is no such file", hint)
        from leaplan.on_video.observing import Images

        return Images(*paths)
    start, goal = seconds_of(options.start, "--start"), seconds_of(options.goal, "--goal")
    if start >= goal:
        raise ConfigError(f"--start {options.start} is not before --goal {options.goal}", "Give the earlier one first")
    from leaplan.on_video.observing import Moments

    return Moments(options.video.expanduser(), start, goal, options.frame_rate, options.timeout)


# --- whether run, encoder and question fit


def _refuse_source(data: Any) -> None:
    from leaplan.data.sources import Features

    if not isinstance(data.source, Features):
        what = f"the run plans from {type(data.source).__name__}, which no video can be turned into"
        raise ConfigError(
            what, "Plan with a run that was trained on features per second (leaplan.data.sources.Features)"
        )


def refuse_horizon(run: "OpenedRun", steps: int | None) -> None:
    """Check that a run plans as many steps as are asked for; None is content with any number."""
    horizon = run.module.problem.horizon
    if steps is not None and steps != horizon:
        what = f"--steps {steps}, but {run.folder.name} plans {horizon} steps"
        raise ConfigError(what, f"Say --steps {horizon}, or train another:  leaplan fit --horizon {steps} ...")


def _eyes(run: "OpenedRun", options: argparse.Namespace) -> "Eyes":
    from leaplan.on_video.same_encoder import Given, eyes_like

    given = Given(options.encoder, options.weights, dict(options.set), options.device)
    source, data = run.data.source, run.data
    own = data.dataset == "synthetic" and source.folder == "features"  # the kitchen comes with features
    return eyes_like(data.folder / source.folder, given, "color_layout" if own else "")


def _refuse_width(run: "OpenedRun", eyes: "Eyes", seen: "Tensor") -> None:
    expected, found = (run.module.problem.seconds, run.module.problem.width), tuple(seen.shape[1:])
    if found != expected:
        what = f"{eyes.encoder.name} gives {eyes.encoder.width} numbers per second: {_sizes(found)} where"
        raise ConfigError(f"{what} {run.folder.name} was trained on {_sizes(expected)}", "Give the encoder of the run")


def _sizes(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


# --- options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan plan",
        usage="leaplan plan [VIDEO] --start TIME|IMAGE --goal TIME|IMAGE --checkpoint RUN [options]",
        description="Plan the steps from a start to a goal: two moments of a video, or two images.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("video", nargs="?", type=Path, metavar="VIDEO", help="a video file, or a folder or tar of pictures")
    add("--start", required=True, help="seconds, m:ss or h:mm:ss; without VIDEO an image")
    add("--goal", required=True, help="likewise; what is to be reached")
    add("--checkpoint", required=True, type=Path, metavar="RUN", help="runs/NAME, or a checkpoint in it")
    add("--steps", type=int, metavar="T", help="how many; must be the horizon of the run, which is the default")
    add("--top", type=at_least_one, default=5, metavar="N", help="likely plans with probabilities (default 5)")
    add("--json", type=Path, metavar="FILE", help="write the answer as JSON")
    add("--strip", type=Path, metavar="FILE", help="draw start, steps and goal as a picture (.png, .jpg)")
    add_run(parser.add_argument_group("the run"))
    encoder = parser.add_argument_group("the encoder")
    encoder.add_argument("--encoder", default="", metavar="NAME", help="where the features of the run do not tell")
    encoder.add_argument("--weights", default="", metavar="FILE", help="of the encoder")
    encoder.add_argument("--set", type=pair, action="append", default=[], metavar="KEY=VALUE", help="its arguments")
    return parser


def add_run(group: Any) -> None:
    """Add the options that `plan` and `recognise` have in common."""
    add = group.add_argument
    add("--root", default="", metavar="FOLDER", help="of the dataset; by default where it was in training")
    add("--device", default="cpu", help="cpu (default), cuda, cuda:1, mps")
    add("--frame-rate", type=float, metavar="F", help="of a folder or tar of pictures")
    add("--timeout", type=float, default=60.0, metavar="S", help="seconds for a run of frames (default 60)")


def at_least_one(text: str) -> int:
    """Return a number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number

"""The verb `plan`: a video with a start and a goal in, or two images; steps that lead from one to the other out."""

import argparse
import time
from pathlib import Path
from typing import Any

import leaplan
from leaplan.on_video.ends import ends_of
from leaplan.options import above_zero, at_least_one, pair

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
    ends_of(options.start, options.goal, options.video)  # a wrong question is refused before anything is read
    if options.strip:
        from leaplan.on_video.picture_strip import refuse_ending, write_picture

        refuse_ending(options.strip)
    from leaplan.on_video.planned import print_plan
    from leaplan.writing import write_json

    model = leaplan.load(
        options.checkpoint,
        root=options.root,
        device=options.device,
        encoder=options.encoder,
        weights=options.weights,
        settings=dict(options.set),
    )
    began = time.perf_counter()
    planned = model.plan(
        options.start,
        options.goal,
        options.video,
        steps=options.steps,
        top=options.top,
        frame_rate=options.frame_rate,
        timeout=options.timeout,
    )
    print_plan(planned, time.perf_counter() - began)
    if options.json:
        write_json(options.json, planned.as_json())
        print(f"written: {options.json}")
    if options.strip:
        write_picture(options.strip, planned.picture())
        print(f"written: {options.strip}")
    return 0


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
    add("--frame-rate", type=above_zero, metavar="F", help="of a folder or tar of pictures")
    add("--timeout", type=above_zero, default=60.0, metavar="S", help="seconds for a run of frames (default 60)")

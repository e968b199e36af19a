"""The verb `recognise`: a video in, its actions and how they are done, along time, out."""

import argparse
from pathlib import Path

import leaplan
from leaplan.on_video.plan import add_run
from leaplan.on_video.readable import seconds_of
from leaplan.on_video.windows import refuse_lengths
from leaplan.options import at_least_one

EXAMPLES = """examples:
  leaplan recognise video.mp4 --checkpoint runs/leap-recognise-kitchen
  leaplan recognise video.mp4 --checkpoint runs/leap-recognise-kitchen --every 0.5 --window 1.5 --json actions.json
  leaplan recognise video.mp4 --checkpoint runs/leap-recognise-kitchen --start 0:12 --stop 0:15 --window 3

A window is looked at as evaluation looks at an annotated segment: the same frames of it, the same crops. With --window
no shorter than what is between --start and --stop, that is looked at as one segment. On the screen, neighbours with the
same likeliest action are one, told as the surest of them; the JSON file has all windows, and programs with conditions.
Actions are named by the score that named most validation clips right: the official product of verb and noun, the action
head, or both fused; the last line tells which, and the JSON file has the others as well.
The dataset of the run must be at hand: its classes, and its programs' words, are read from it.

exit code: 0 here are actions, 2 wrong use, or the run and the video do not fit"""


def main(argv: list[str]) -> int:
    """Run `leaplan recognise` and return 0.

    Raises:
        UserError: Times, files or the run cannot be used.
    """
    options = _parser().parse_args(argv)
    start = seconds_of(options.start, "start")
    stop = seconds_of(options.stop, "stop") if options.stop else None
    refuse_lengths(options.every, options.window)
    from leaplan.on_video.recognised import print_timeline
    from leaplan.writing import write_json

    model = leaplan.load(options.checkpoint, root=options.root, device=options.device)
    recognised = model.recognise(
        options.video,
        start=start,
        stop=stop,
        every=options.every,
        window=options.window,
        top=options.top,
        batch=options.batch,
        frame_rate=options.frame_rate,
        timeout=options.timeout,
    )
    print_timeline(recognised)
    if options.json:
        write_json(options.json, recognised.as_json())
        print(f"written: {options.json}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan recognise",
        description="Tell the actions in a video, and the program of each, along time.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("video", type=Path, metavar="VIDEO", help="a video file, or a folder or tar of pictures")
    add("--checkpoint", required=True, type=Path, metavar="RUN", help="runs/NAME, or a checkpoint in it")
    add("--every", type=float, default=1.0, metavar="S", help="seconds from one window to the next (default 1)")
    add("--window", type=float, default=2.0, metavar="S", help="seconds that a window lasts (default 2)")
    add("--start", default="0", metavar="TIME", help="seconds, m:ss or h:mm:ss (default 0)")
    add("--stop", default="", metavar="TIME", help="likewise (default the end)")
    add("--top", type=at_least_one, default=3, metavar="N", help="likely classes with probabilities (default 3)")
    add("--json", type=Path, metavar="FILE", help="write all windows and the timeline as JSON")
    add("--batch", type=at_least_one, default=8, metavar="N", help="windows looked at in one go (default 8)")
    add_run(parser.add_argument_group("the run"))
    return parser

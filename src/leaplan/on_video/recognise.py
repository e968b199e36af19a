"""The verb `recognise`: a video in, its actions and how they are done, along time, out."""

import argparse
from pathlib import Path
from typing import Any

from leaplan.errors import ConfigError, DataError
from leaplan.on_video.plan import add_run, at_least_one
from leaplan.on_video.readable import clock, seconds_of

EXAMPLES = """examples:
  leaplan recognise video.mp4 --checkpoint runs/leap-recognise-kitchen
  leaplan recognise video.mp4 --checkpoint runs/leap-recognise-kitchen --every 0.5 --window 1.5 --json actions.json
  leaplan recognise video.mp4 --checkpoint runs/leap-recognise-kitchen --start 0:12 --stop 0:15 --window 3

A window is looked at as evaluation looks at an annotated segment: the same frames of it, the same crops. With --window
no shorter than what is between --start and --stop, that is looked at as one segment. On the screen, neighbours with the
same likeliest action are one, told as the surest of them; the JSON file has all windows, and programs with conditions.
The dataset of the run must be at hand: its classes, and its programs' words, are read from it.

exit code: 0 here are actions, 2 wrong use, or the run and the video do not fit"""
SHORTEST = 0.05  # seconds; of a window, and of a rest of the video that is looked at
TRAIN = "Train one on frames, such as:  leaplan fit --config configs/experiment/leap_recognise_kitchen.yaml"


def main(argv: list[str]) -> int:
    """Run `leaplan recognise` and return 0.

    Raises:
        UserError: Times, files or the run cannot be used.
    """
    options = _parser().parse_args(argv)
    start = seconds_of(options.start, "--start")
    stop = seconds_of(options.stop, "--stop") if options.stop else None
    _refuse_sizes(options)
    from leaplan.on_video.opened_run import open_run
    from leaplan.on_video.recognised import print_timeline, recognise
    from leaplan.writing import write_json

    path = options.video.expanduser()
    run = open_run(options.checkpoint, "recognition", options.root, options.device, refuse_features)
    rate = options.frame_rate or run.data.source.look.frame_rate
    start, stop = _range(path, start, stop, run.data.source.look, rate, options.timeout)
    windows = windows_of(start, stop, options.every, options.window)
    recognised = recognise(run, path, windows, rate, options.top, options.timeout, options.batch)
    print_timeline(recognised)
    if options.json:
        write_json(options.json, recognised.as_json())
        print(f"written: {options.json}")
    return 0


def windows_of(start: float, stop: float, every: float, length: float) -> list[tuple[float, float]]:
    """Return the windows (start, stop) in seconds: `length` long, one every `every` seconds, the last ending at `stop`.

    One window, shorter than `length`, is all there is where it does not fit.
    """
    if length >= stop - start:
        return [(start, stop)]
    count = int((stop - start - length) / every + 1e-9) + 1
    windows = [(start + number * every, start + number * every + length) for number in range(count)]
    if stop - windows[-1][1] > SHORTEST:
        windows.append((stop - length, stop))
    return windows


def _range(
    path: Path, start: float, stop: float | None, look: Any, rate: float | None, timeout: float
) -> tuple[float, float]:
    """Return what is looked at, seconds.

    Raises:
        DataError: It is not within the video.
    """
    from leaplan.video.reader import open_video

    with open_video(path, look.reader, frame_rate=rate, timeout=timeout) as video:
        end = video.duration
    if stop is not None and stop > end + SHORTEST:
        raise DataError(f"--stop {clock(stop)} is beyond {path}, which ends at {clock(end)}", "Leave it out")
    stop = end if stop is None else min(stop, end)
    if stop - start < SHORTEST:
        what = f"nothing is left of {path} between {clock(start)} and {clock(stop)}"
        raise DataError(what, "Give a --start before --stop, both within the video")
    return start, stop


def _refuse_sizes(options: argparse.Namespace) -> None:
    for name in ("every", "window"):
        value = getattr(options, name)
        if not SHORTEST <= value < float("inf"):
            raise ConfigError(f"--{name} {value:g}: it must be {SHORTEST:g} seconds at least", "Leave it out")


def refuse_features(data: Any) -> None:
    """Check that a run looks at frames of what it recognises."""
    if data.view.windows != 1 or data.view.gap is not None:
        raise ConfigError("the run anticipates: it looks before an action, not at it", TRAIN)
    if not hasattr(data.source, "look"):
        raise ConfigError(f"the run recognises from {type(data.source).__name__}, not from frames", TRAIN)


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

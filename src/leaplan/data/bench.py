"""`leaplan bench decode`: clips a second of one core, decoded each time and from the cache of decoded frames."""

import argparse
import tempfile
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

import torch

from leaplan.data.frame_clips import FrameClips, Look
from leaplan.data.views import Clip, Window
from leaplan.measuring import Figure, Measurement, rates
from leaplan.video.bench import FILMS, RATE, SEGMENT, Film, decode_bench, decode_figures, write_film

EXAMPLES = "example: leaplan bench decode --frames 16 --json bench.json"
CLIPS = 12  # per film; they overlap
NAMES = {
    "decoded": "video kept open, decoded each time",
    "first": "first look, into the cache",
    "cached": "from the cache",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark takes."""
    parser.add_argument("--frames", type=int, default=8, help="per clip (default 8)")
    parser.add_argument("--size", type=int, default=224, help="side of the crops (default 224)")
    parser.add_argument("--seconds", type=float, default=2.0, help="to measure each figure for (default 2)")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure films opened for every clip, kept open, and kept as decoded frames; parts count as repeats."""
    torch.set_num_threads(1)
    title = f"clips of {options.frames} frames of {options.size} x {options.size} over 2 s, as one core makes them"
    rows = decode_bench(options.seconds, FILMS, options.frames, options.size)
    figures, bounds = [], []
    for row, kept in zip(rows, cache_bench(options.seconds, FILMS, options.frames, options.size), strict=True):
        name = row["film"]
        figures += decode_figures(row, name)
        figures += [Figure(f"{name}: {what}", kept[key], "clips/CPU s", "higher") for key, what in NAMES.items()]
        figures.append(Figure(f"{name}: cache on disk", (kept["disk_mb_per_clip"],), "MB/clip", "lower"))
        share = row["decode_seconds"] / (row["decode_seconds"] + row["transform_seconds"])
        by = "decoding" if share >= 0.5 else "cutting"
        bounds.append(f"{name}: {by} bounds: decoding takes {share:.0%} of a clip's time, cutting the rest")
    return Measurement(title, figures, bounds)


def cache_bench(seconds: float, films: tuple[Film, ...], frames: int, size: int) -> list[dict[str, Any]]:
    """Return for each film how many clips of two seconds a core sees in one CPU second.

    Videos stay open from clip to clip. Cached frames are in memory when they are read, as they are in training when
    the system's free memory is larger than the cache; waiting for a disk does not count.

    Returns:
        Dictionaries of `film`; clips per second, of parts of the measurement, without a cache (`decoded`), when they
        are put into one (`first`), and when they come from it (`cached`); and `disk_mb_per_clip`.

    Args:
        seconds: CPU seconds to measure each figure for, but that of the first look, which happens once per clip.
        films: What to read.
        frames: T.
        size: S.
    """
    look = Look(frames, size, "sparse", 1, 1, 1, (0.08, 1.0), "", False, "auto", None, 30.0)
    rows = []
    for film in films:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_film(folder / "film.mp4", film)
            listed, files = _clips(film), {"film": folder / "film.mp4"}
            direct = FrameClips(listed, files, look, training=True)
            kept = FrameClips(listed, files, look, training=True, cache=folder / "cache")
            figures = {
                "decoded": _rates(direct, count(), seconds),
                "first": _rates(kept, [0], float("inf")),
                "cached": _rates(kept, count(1), seconds),
            }
            disk = sum(path.stat().st_blocks * 512 for path in (folder / "cache").rglob("*") if path.is_file())
            direct.videos.close()
            kept.videos.close()
        rows.append({"film": film.name, **figures, "disk_mb_per_clip": disk / CLIPS / 2**20})
    return rows


def _clips(film: Film) -> list[Clip]:
    """Return clips spread over a film."""
    starts = [i * (film.seconds - SEGMENT) / (CLIPS - 1) for i in range(CLIPS)]
    return [Clip(f"{i}", "film", 0, RATE, (Window(start, start + SEGMENT),)) for i, start in enumerate(starts)]


def _rates(clips: FrameClips, epochs: Iterable[int], seconds: float) -> tuple[float, ...]:
    """Return clips per CPU second over so many seconds, or all epochs, in parts."""
    costs: list[float] = []
    for key in ((epoch, position) for epoch in epochs for position in range(len(clips))):
        began = time.process_time()
        clips[key]
        costs.append(time.process_time() - began)
        if sum(costs) > seconds:
            break
    return rates(costs)

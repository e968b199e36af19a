"""`leaplan bench clips`: clips a second on one core, decoded each time and from the cache of decoded frames."""

import argparse
import tempfile
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from leaplan.data.frame_clips import FrameClips, Look
from leaplan.data.views import Clip, Window
from leaplan.video.bench import FILMS, RATE, SEGMENT, Film, write_film
from leaplan.writing import write_json

EXAMPLE = "example: leaplan bench clips --frames 16 --json bench.json"
CLIPS = 12  # per film; they overlap
NAMES = {"decoded": "decoded each time", "first": "first look, into the cache", "cached": "from the cache"}


def main(argv: list[str]) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser("leaplan bench", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("subject", choices=["clips"])
    parser.add_argument("--frames", type=int, default=8, help="per clip (default 8)")
    parser.add_argument("--size", type=int, default=224, help="side of the crops (default 224)")
    parser.add_argument("--seconds", type=float, default=2.0, help="to measure each figure for (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = cache_bench(options.seconds, FILMS, options.frames, options.size)
    table = Table("film", *NAMES.values(), "on disk", title="Clips/s of one core, as training sees them")
    for row in rows:
        rates = (f"{row[f'{name}_clips_per_second']:.3g}" for name in NAMES)
        table.add_row(row["film"], *rates, f"{row['disk_mb_per_clip']:.1f} MB a clip")
    Console().print(table)
    if options.json:
        machine = {"torch": torch.__version__, "cores": torch.multiprocessing.cpu_count()}
        settings = {"frames": options.frames, "size": options.size}
        write_json(options.json, {"bench": "clips", **settings, "films": rows, "environment": machine})
    return 0


def cache_bench(seconds: float, films: tuple[Film, ...], frames: int, size: int) -> list[dict[str, Any]]:
    """Return for each film how many clips of two seconds a core sees in one CPU second.

    Videos stay open from clip to clip. Cached frames are in memory when they are read, as they are in training when
    the system's free memory is larger than the cache; waiting for a disk does not count.

    Returns:
        Dictionaries of `film`; clips per second without a cache (`decoded`), when they are put into one (`first`),
        and when they come from it (`cached`), each as `<name>_clips_per_second`; and `disk_mb_per_clip`.

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
            rates = {
                "decoded": _rate(direct, count(), seconds),
                "first": _rate(kept, [0], float("inf")),
                "cached": _rate(kept, count(1), seconds),
            }
            disk = sum(path.stat().st_blocks * 512 for path in (folder / "cache").rglob("*") if path.is_file())
            direct.videos.close()
            kept.videos.close()
        figures = {f"{name}_clips_per_second": rate for name, rate in rates.items()}
        rows.append({"film": film.name, **figures, "disk_mb_per_clip": disk / CLIPS / 2**20})
    return rows


def _clips(film: Film) -> list[Clip]:
    """Return clips spread over a film."""
    starts = [i * (film.seconds - SEGMENT) / (CLIPS - 1) for i in range(CLIPS)]
    return [Clip(f"{i}", "film", 0, RATE, (Window(start, start + SEGMENT),)) for i, start in enumerate(starts)]


def _rate(clips: FrameClips, epochs: Iterable[int], seconds: float) -> float:
    """Return clips per CPU second over so many seconds, or all epochs."""
    began, seen = time.process_time(), 0
    for key in ((epoch, position) for epoch in epochs for position in range(len(clips))):
        clips[key]
        seen += 1
        if time.process_time() - began > seconds:
            break
    return seen / (time.process_time() - began)

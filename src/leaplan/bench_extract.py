"""`leaplan bench extract`: video hours per hour, how busy decoding and network are, and what more hours would cost."""

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch

from leaplan.errors import DataError
from leaplan.extract_features import add_encoder, encoder_of
from leaplan.measuring import Better, Figure, Measurement
from leaplan.options import at_least_one
from leaplan.video.extraction.bench import FILMS, Extraction, extract_bench, made_films
from leaplan.video.extraction.decoding import Reading
from leaplan.video.extraction.worker import batch_of

EXAMPLES = """examples:
  leaplan bench extract --encoder color_layout --json bench.json
  leaplan bench extract --encoder s3d --set allow_random=true --films 1 --repeats 2 --project 100
  leaplan bench extract --encoder s3d --weights s3d_howto100m.pth --device cuda --precision bf16 --decoders 8"""
NIGHT = 8.0  # hours


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark takes."""
    add_encoder(parser)
    add = parser.add_argument
    add("--videos", nargs="+", type=Path, default=[], metavar="FILE", help="default: films made for it")
    add("--film", choices=list(FILMS), default="320p", help="which film to make (default 320p)")
    add("--films", type=at_least_one, default=4, help="how many of 20 s (default 4)")
    add("--batch", type=at_least_one, metavar="N", help="rows encoded at once")
    add("--decoders", type=at_least_one, default=1, metavar="N", help="videos decoded at once (default 1)")
    add("--repeats", type=at_least_one, default=3, metavar="N", help="how often to extract all of them (default 3)")
    add("--project", type=float, metavar="HOURS", help="tell what so many hours of such video would take, as measured")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure extraction.

    Raises:
        UserError: The encoder cannot be made, or a video not be used.
    """
    encoder = encoder_of(options)
    reading = Reading(batch=options.batch or batch_of(encoder), threads=options.decoders)
    side = encoder.size or 224
    encoder.encode(torch.zeros(1, encoder.frames, 3, side, side, dtype=torch.uint8))  # loads and allocates
    with tempfile.TemporaryDirectory() as folder:
        film = FILMS[options.film]
        videos = options.videos or made_films(Path(folder), options.films, film)
        runs = [extract_bench(encoder, videos, reading) for _ in range(options.repeats)]
    if runs[0].broken:
        raise DataError(
            f"{runs[0].broken} of {len(videos)} videos cannot be used", "leaplan extract-features tells why"
        )
    told = [_bound(runs)]
    if options.project is not None:
        told.append(projection(options.project, runs, encoder.width))
    what = f"{len(videos)} videos" if options.videos else f"{len(videos)} films of {film.seconds:g} s, {film.name}"
    title = f"extraction with {encoder.name} from {what}; batch {reading.batch}, {_videos(reading.threads)} at once"
    device = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else options.device
    return Measurement(title, _figures(runs, reading.threads), told, device, options.precision)


def _figures(runs: Sequence[Extraction], threads: int) -> list[Figure]:
    def each(name: str, take: Callable[[Extraction], float], unit: str, better: Better = "") -> Figure:
        return Figure(name, tuple(map(take, runs)), unit, better)

    return [
        each("extraction", lambda run: run.hours_per_hour, "video h/h", "higher"),
        each("decoding at work", lambda run: 100 * run.decoding / run.wall, "% of the time"),
        each("network at work", lambda run: 100 * run.encoding / run.wall, "% of the time"),
        each("decoding", lambda run: threads * run.decoding / run.video_seconds, "s/video s", "lower"),
        each("network", lambda run: run.encoding / run.rows, "s/row", "lower"),
        each("host", lambda run: run.cpu / run.video_seconds, "CPU s/video s", "lower"),
    ]


def _bound(runs: Sequence[Extraction]) -> str:
    run = sorted(runs, key=lambda each: each.hours_per_hour)[len(runs) // 2]
    shares = f"decoding is at work {run.decoding / run.wall:.0%} of the time, the network {run.encoding / run.wall:.0%}"
    by = {"decoding": "decoding bounds", "network": "the network bounds", "host": "the host bounds, or its other work"}
    return f"{by[run.bound]}: {shares}"


def projection(hours: float, runs: Sequence[Extraction], width: int) -> str:
    """Return what `hours` of video would take if all went as measured.

    Time is hours over the measured rate of one worker; core-hours are the CPU time that it took; a shard is one such
    worker, on cores (and a card) of its own. Features are `width` numbers a second. Nothing is known of other films,
    of slower disks, or of workers that share a card.
    """
    rate, cpu = (
        median(each) for each in zip(*((r.hours_per_hour, r.cpu / r.video_seconds) for r in runs), strict=True)
    )
    size = hours * 3600 * width * 4 / 1e9
    shards = math.ceil(hours / rate / NIGHT)
    return (
        f"projected, not measured: {hours:,g} h of such video take one worker {hours / rate:,.3g} h, "
        f"{hours * cpu:,.3g} core-hours; {_shards(shards)} for a night of {NIGHT:g} h; "
        f"features of {size:.3g} GB in float32, {size / 2:.3g} in float16"
    )


def _shards(shards: int) -> str:
    return "1 shard" if shards == 1 else f"{shards:,} shards"


def _videos(threads: int) -> str:
    return "1 video decoded" if threads == 1 else f"{threads} videos decoded"

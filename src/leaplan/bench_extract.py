"""`leaplan bench extract`: video hours per hour, and how busy decoding and network are."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from leaplan.extract_features import add_encoder, count, encoder_of
from leaplan.training.results import environment
from leaplan.video.extraction.bench import extract_bench
from leaplan.writing import write_json

EXAMPLES = """examples:
  leaplan bench extract --encoder color_layout
  leaplan bench extract --encoder s3d --set allow_random=true --films 1
  leaplan bench extract --encoder s3d --weights s3d_howto100m.pth --device cuda --precision bf16 --decoders 8"""


def main(argv: list[str]) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(
        "leaplan bench", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", choices=["extract"])
    add_encoder(parser)
    parser.add_argument("--videos", nargs="+", type=Path, default=[], metavar="FILE", help="default: films made for it")
    parser.add_argument("--films", type=count, default=4, help="how many films of 20 s to make (default 4)")
    parser.add_argument("--batch", type=count, metavar="N", help="rows encoded at once")
    parser.add_argument("--decoders", type=count, default=1, metavar="N", help="videos decoded at once (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(argv)
    figures = extract_bench(encoder_of(options), options.videos, options.batch, options.decoders, options.films)
    _print(options.encoder, figures)
    if options.json:
        write_json(options.json, {"bench": "extract", **figures, "environment": environment()})
    return 0


def _print(encoder: str, figures: dict[str, Any]) -> None:
    table = Table("what", "figure", title=f"extraction with {encoder}", title_justify="left")
    table.add_row("video hours per hour", f"{figures['video_hours_per_hour']:.1f}")
    table.add_row("decoding at work", f"{figures['decode_busy']:.0%} of the time")
    table.add_row("network at work", f"{figures['model_busy']:.0%} of the time")
    table.add_row("bound by", "decoding" if figures["bound"] == "decode" else "the network")
    table.add_row("peak memory", f"{figures['peak_memory_mb']:.0f} MB")
    Console().print(table)

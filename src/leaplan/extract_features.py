"""The verb `extract-features`: videos in, one array of features per second of each video out."""

import argparse
import inspect
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaplan.errors import ConfigError, UserError
from leaplan.interrupts import interruptible
from leaplan.options import above_zero, at_least_one, pair
from leaplan.video.extraction.launch import Speaker, run_processes, threads_each
from leaplan.video.extraction.manifest import VideoFile, read_manifest
from leaplan.video.extraction.outcomes import Outcome, Tally
from leaplan.video.extraction.progress import Progress, spoken
from leaplan.video.extraction.shards import Shard

if TYPE_CHECKING:
    from leaplan.video.extraction.decoding import Reading
    from leaplan.video.seconds import SecondsEncoder

ENCODERS = {
    "s3d": ("leaplan.video.seconds", "S3DSeconds"),
    "timm": ("leaplan.video.seconds", "TimmSeconds"),
    "uniformerv2": ("leaplan.recognition.seconds", "UniFormerV2Seconds"),
    "color_layout": ("leaplan.video.seconds", "ColorSeconds"),
}
EXAMPLES = """examples:
  leaplan extract-features --videos videos --out features/s3d --encoder s3d --weights s3d_howto100m.pth
  leaplan extract-features --videos list.csv --out features/clip --encoder timm --device cuda --precision bf16 \\
    --set model=vit_base_patch16_clip_224.openai --decoders 8
  leaplan extract-features --videos videos --out features/colors --encoder color_layout --workers 2
  leaplan extract-features --videos frames --frame-rate 60 --out features/s3d --encoder s3d --weights FILE

--videos takes a folder, files, patterns, a .txt file with a path a line, or a .csv file with the columns id,path.

What is written: <id>.npy, a row per second of video (row s is centred on s + 0.5 s); features.json, their settings;
provenance/<id>.json, which video it was, by content; broken/<id>.json, a video that cannot be used, and why.
`leaplan check-data DATASET --root DATA --features OUT` accepts the folder.

Interrupt it at any moment: the same command continues, and skips what is done. --shard i/n does a share of the videos,
the same one each time: start n of them anywhere, at once or not; docker/slurm/extract.sbatch does so on SLURM.

exit code: 0 all videos are extracted, 1 some are broken or a worker died, 2 wrong use, 130 interrupted"""


def main(argv: list[str]) -> int:
    """Run `leaplan extract-features` and return its exit code: 0 all is extracted, 1 something is broken.

    Raises:
        UserError: Wrong use, missing files, or features with other settings in the folder.
        KeyboardInterrupt: After the videos that are finished are written.
    """
    options = _parser().parse_args(argv)
    videos = read_manifest(options.videos, options.frame_rate)
    shard = Shard.parse(options.shard)
    mine = [video for video in videos if shard.holds(video.id)]
    if options.dry_run:
        print("\n".join(f"{video.id}  {video.path}" for video in mine))
        return 0
    with interruptible():
        try:
            if options.launcher == "local" and options.workers > 1:
                return _in_processes(options, argv, shard)
            return _here(options, videos, mine)
        except KeyboardInterrupt:
            print(f"\nleaplan: interrupted; what is finished is kept in {options.out}", file=sys.stderr)
            raise


def build_encoder(name: str, given: dict[str, Any]) -> "SecondsEncoder":
    """Return an encoder.

    Args:
        name: One of `ENCODERS`, or "module:function" for one of your own.
        given: What it is made with; device and precision are left out where it takes none.

    Raises:
        ConfigError: There is no such encoder, or it does not take what is given.
    """
    if name not in ENCODERS and ":" not in name:
        raise ConfigError(f"there is no encoder {name!r}", f"There are {', '.join(ENCODERS)}, or MODULE:FUNCTION")
    module, function = ENCODERS[name] if name in ENCODERS else name.split(":", 1)
    try:
        make = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"encoder {name} cannot be imported: {error}") from error
    taken = inspect.signature(make).parameters
    unknown = [key for key in given if key not in taken and key not in ("device", "precision")]
    if unknown:
        raise ConfigError(f"encoder {name} takes no {', '.join(unknown)}", f"It takes {', '.join(taken)}")
    if given.get("precision", "fp32") != "fp32" and "precision" not in taken:
        raise ConfigError(f"encoder {name} has one precision only", "Leave --precision out")
    try:
        return make(**{key: value for key, value in given.items() if key in taken})
    except TypeError as error:
        raise ConfigError(f"encoder {name} cannot be made: {error}") from error


# --- One worker


def _here(options: argparse.Namespace, videos: Sequence[VideoFile], mine: Sequence[VideoFile]) -> int:
    """Extract in this process, or have Ray do it."""
    from leaplan.video.extraction.decoding import Reading
    from leaplan.video.extraction.folder import FeatureFolder
    from leaplan.video.extraction.worker import batch_of, settings_of, sort_out

    given = {"device": options.device, "precision": options.precision, **dict(options.set)}
    if options.weights:
        given["weights"] = str(Path(options.weights).expanduser().absolute())
    build = partial(build_encoder, options.encoder, given)
    encoder = build()
    batch = options.batch or batch_of(encoder)
    reading = Reading(options.reader, options.timeout, batch, options.decoders)
    folder = FeatureFolder(options.out, settings_of(encoder, options.dtype, options.reader))
    folder.open(videos, options.overwrite)
    wanted, known = sort_out(mine, folder, options.retry_broken)
    tally = Tally()
    teller = Speaker() if options.events else Progress(options.quiet)
    for outcome in known:
        tally.add(outcome)
        if isinstance(teller, Speaker):
            teller.add(outcome)
    teller.expect(len(wanted), sum(video.size for video in wanted))
    if options.launcher == "ray":
        _on_ray(options, build, reading, wanted, tally, teller)
    else:
        _with_progress(wanted, folder, encoder, options.dtype, reading, tally, teller)
    if isinstance(teller, Speaker):
        teller.end(tally)
    else:
        _report(options, tally)
    return 1 if tally.broken else 0


def _with_progress(
    wanted: Sequence[VideoFile],
    folder: Any,
    encoder: "SecondsEncoder",
    dtype: Any,
    reading: "Reading",
    tally: Tally,
    teller: Progress | Speaker,
) -> None:
    from leaplan.video.extraction.worker import extract

    with teller:
        extract(wanted, folder, encoder, dtype, reading, teller.add, tally)


def _on_ray(
    options: argparse.Namespace,
    build: Any,
    reading: "Reading",
    wanted: Sequence[VideoFile],
    tally: Tally,
    teller: Progress | Speaker,
) -> None:
    import time

    from leaplan.video.extraction.on_ray import Job, run_on_ray

    def told(outcome: Outcome) -> None:
        tally.add(outcome)
        teller.add(outcome)

    there = [VideoFile(video.id, video.path.absolute(), video.frame_rate) for video in wanted]
    began = time.perf_counter()
    gpus = 1.0 if options.device.startswith("cuda") else 0.0
    with teller:
        run_on_ray(Job(build, options.out.absolute(), options.dtype, reading), there, options.workers, gpus, told)
    tally.wall = time.perf_counter() - began


# --- Many workers


def _in_processes(options: argparse.Namespace, argv: Sequence[str], shard: Shard) -> int:
    """Run a process for each part of the shard, and tell of all of them together."""
    import time

    ours = [sys.executable, "-m", "leaplan", "extract-features", *argv, "--workers", "1", "--events"]
    commands = [[*ours, "--shard", str(part)] for part in shard.parts(options.workers)]
    tally, began = Tally(), time.perf_counter()
    with Progress(options.quiet) as progress:
        failed = run_processes(commands, options.out / "logs", threads_each(options.workers), progress, tally)
    tally.wall = time.perf_counter() - began
    if 2 in failed.values():
        refused = next(Path(log) for log, code in failed.items() if code == 2)
        raise UserError(refused.read_text(encoding="utf-8", errors="replace").strip().removeprefix("leaplan: "))
    _report(options, tally)
    for log, code in failed.items():
        died = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        print(f"leaplan: a worker {died}, see {log}; the same command does the rest", file=sys.stderr)
    return 1 if failed or tally.broken else 0


def _report(options: argparse.Namespace, tally: Tally) -> None:
    speed = tally.video_seconds / max(tally.wall, 1e-9)
    done = f"{tally.extracted:,} videos extracted, {tally.there:,} were there, {len(tally.broken):,} broken"
    print(f"{options.out}: {done}")
    if tally.extracted:
        print(f"{tally.video_seconds / 3600:.2f} h of video in {spoken(tally.wall)}: {speed:.1f} hours per hour")
    if tally.extracted and tally.decoding:
        shares = f"decoding {tally.decoding / tally.wall:.0%}, network {tally.encoding / tally.wall:.0%}"
        print(f"at work: {shares} of the time")
    if tally.broken:
        shown = sorted(tally.broken.items())[:12]
        print("\n".join(f"  broken: {name}: {reason}" for name, reason in shown))
        more = f"  ... and {len(tally.broken) - len(shown)} more\n" if len(tally.broken) > len(shown) else ""
        print(f"{more}  all of them: {options.out / 'broken'}; try them again with --retry-broken")


# --- Options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan extract-features",
        description="Turn videos into features: one array per video, a row per second.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--videos", nargs="+", required=True, metavar="PATH", help="folder, files, patterns, or a .txt or .csv list")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where the features go")
    add("--frame-rate", type=above_zero, metavar="F", help="of videos that are folders or tars of pictures")
    add("--overwrite", action="store_true", help="replace features that were extracted with other settings")
    add("--retry-broken", action="store_true", help="try videos again that were found broken")
    add("--dry-run", action="store_true", help="list the videos of this shard, and do nothing")
    add("--quiet", action="store_true", help="no progress")
    computed = parser.add_argument_group("what is computed")
    add_encoder(computed)
    _add_arrays(computed)
    _add_work(parser.add_argument_group("how the work is done"))
    return parser


def add_encoder(group: Any) -> None:
    """Add the options that say which encoder; `encoder_of` reads them."""
    add = group.add_argument
    add("--encoder", required=True, metavar="NAME", help=f"{', '.join(ENCODERS)}, or MODULE:FUNCTION of your own")
    add("--weights", metavar="FILE", help="of the encoder")
    add("--set", type=pair, action="append", default=[], metavar="KEY=VALUE", help="another argument of the encoder")
    add("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="of the network (default fp32)")
    add("--device", default="cpu", help="cpu (default), cuda, cuda:1, mps")


def encoder_of(options: argparse.Namespace) -> "SecondsEncoder":
    """Return the encoder that the options of `add_encoder` name; see `build_encoder`."""
    return _maker(options)()


def _maker(options: argparse.Namespace) -> "partial[SecondsEncoder]":
    weights = {"weights": options.weights} if options.weights else {}
    given = {"device": options.device, "precision": options.precision, **dict(options.set), **weights}
    return partial(build_encoder, options.encoder, given)


def _add_arrays(group: Any) -> None:
    add = group.add_argument
    add("--dtype", choices=("float32", "float16"), default="float32", help="of the arrays (default float32)")
    add("--reader", default="auto", help="auto (exact), decord or torchcodec; see docs")


def _add_work(group: Any) -> None:
    add = group.add_argument
    add("--batch", type=at_least_one, metavar="N", help="rows encoded at once (default: 64 frames, at least 4 rows)")
    add("--decoders", type=at_least_one, default=1, metavar="N", help="videos decoded at once by a worker (default 1)")
    add("--timeout", type=above_zero, default=120.0, metavar="S", help="seconds for a run of frames (default 120)")
    add("--shard", default="0/1", metavar="i/n", help="do part i, from 0, of n disjoint parts")
    add("--launcher", choices=("local", "ray"), default="local", help="who runs the workers")
    add("--workers", type=at_least_one, default=1, metavar="N", help="processes, or actors of Ray (default 1)")
    add("--events", action="store_true", help=argparse.SUPPRESS)  # a worker tells the process that started it

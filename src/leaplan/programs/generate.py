"""The verb `generate-programs`: evidence of clips in, checked programs out, by rules or by a language model."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from leaplan.errors import ConfigError
from leaplan.options import at_least_one
from leaplan.text.chat.options import add_model_options

EXAMPLES = """examples:
  leaplan generate-programs --root /data --out programs/epic100
  leaplan generate-programs --root /data --backend llm --model gpt-4o-mini --max-usd 5 --dry-run
  leaplan generate-programs --root /data --backend llm --model gpt-4o-mini --max-usd 5 --out programs/epic100-llm
  leaplan generate-programs --root /data --dry-run --show P01_01_0
  leaplan generate-programs --dataset kitchen --out programs/kitchen

--root is laid out as docs/programs.md tells: epic100/ with the annotations, leap/ with what else there is. The key
of the server is read from the environment (--key-variable) and written nowhere. Interrupt it at any moment: the
same command continues where it stopped, and pays for nothing twice.

exit code: 0 all clips are answered, 1 some are still pending (the budget is spent), 2 wrong use"""
KITCHEN = Path("~/.cache/leaplan")


def main(argv: list[str]) -> int:
    """Run `leaplan generate-programs` and return its exit code: 0 all clips are answered, 1 some are pending.

    Raises:
        UserError: Wrong use, data that cannot be read, or a server that refuses.
    """
    options = _parser().parse_args(argv)
    _check(options)
    dataset = _dataset(options)
    if options.dry_run:
        from leaplan.programs.asking import dry_run

        print(dry_run(dataset, options))
        return 0
    from leaplan.programs.running import run

    return run(dataset, options, f"leaplan generate-programs {shlex.join(argv)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan generate-programs",
        description="Make action programs for clips, by rules or by a language model, and check every one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where programs and the state of the job go")
    _add_clips(parser.add_argument_group("clips"))
    _add_job(parser.add_argument_group("job"))
    group = parser.add_argument_group("language model (--backend llm)")
    add_model_options(group, "in --out", max_tokens=2000, concurrency=64)
    group.add_argument("--batch", action="store_true", help="use the provider's Batch API: cheaper, within a day")
    group.add_argument("--examples", type=int, default=4, metavar="K", help="exemplars in each prompt (default 4)")
    return parser


def _add_clips(group: Any) -> None:
    group.add_argument("--dataset", choices=("epic", "kitchen"), default="epic", help="default epic")
    group.add_argument("--root", type=Path, help=f"the data (kitchen: default {KITCHEN})")
    group.add_argument("--splits", nargs="+", default=[], metavar="SPLIT", help="default: train val, kitchen: all")
    group.add_argument("--clips", nargs="+", default=[], metavar="ID", help="these clips only, such as P01_01_0")
    group.add_argument("--limit", type=at_least_one, metavar="N", help="the first N clips only")
    group.add_argument(
        "--neighbours", type=int, default=0, metavar="N",
        help="tell N narrations before and after as well (default 0: clips of equal narration share a request)",
    )  # fmt: skip
    group.add_argument(
        "--class-offset", type=int, default=0, metavar="N", help="take N off the class ids of detections (default 0)"
    )


def _add_job(group: Any) -> None:
    group.add_argument("--backend", choices=("rules", "llm"), default="rules", help="default rules")
    group.add_argument("--fallback", choices=("rules",), help="rules stand in where the model's answer is no use")
    group.add_argument(
        "--retry",
        type=_states,
        default=(),
        metavar="STATES",
        help="ask again what is failed, invalid, or failed,invalid",
    )
    group.add_argument("--dry-run", action="store_true", help="tell requests, tokens and price, and send nothing")
    group.add_argument("--show", nargs="+", metavar="CLIP", help="with --dry-run: print evidence and prompt of clips")
    group.add_argument("--brief", action="store_true", help="with --show: evidence and program by rules, no prompt")
    group.add_argument("--quiet", action="store_true", help="no progress")


def _states(text: str) -> tuple[str, ...]:
    states = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [state for state in states if state not in ("failed", "invalid")]
    if unknown or not states:
        raise argparse.ArgumentTypeError(f"'{text}' is not failed, invalid, or failed,invalid")
    return states


def _check(options: argparse.Namespace) -> None:
    """Raise for options that do not go together."""
    if options.out is None and not options.dry_run:
        raise ConfigError("--out is missing", "Give the folder for the programs, such as --out programs/epic100")
    if options.show and not options.dry_run:
        raise ConfigError("--show belongs to --dry-run", f"Add it:  --dry-run --show {' '.join(options.show)}")
    if options.root is None and options.dataset == "epic":
        raise ConfigError("--root is missing", "Give the folder that holds epic100/, such as --root /data")
    if options.backend == "llm" and not options.model and not options.show:
        raise ConfigError(
            "--backend llm needs --model", "Such as --model gpt-4o-mini; with your own server add --base-url"
        )
    if options.backend == "llm" and options.max_usd is None and not (options.base_url or options.dry_run):
        raise ConfigError("--max-usd is missing", "Say what --out may cost altogether, such as --max-usd 5")
    if options.backend == "rules" and (options.fallback or options.batch):
        raise ConfigError("--fallback and --batch belong to --backend llm", "Leave them out, or add --backend llm")


def _dataset(options: argparse.Namespace) -> Any:
    from leaplan.programs.datasets import epic_dataset, kitchen_dataset, selected

    root = (options.root or KITCHEN).expanduser()
    if options.dataset == "kitchen":
        dataset = kitchen_dataset(root, options.splits, options.neighbours)
    else:
        dataset = epic_dataset(root, options.splits or ["train", "val"], options.neighbours, options.class_offset)
    return selected(dataset, options.clips, options.limit)

"""The verb `describe-steps`: descriptions of a dataset's steps, written by a language model (PlanLLM, Eq. 2)."""

import argparse
import sys
from pathlib import Path

from leaplan.describing import Job, dry_run, run, shown, summary
from leaplan.errors import ConfigError, UserError
from leaplan.options import at_least_one, whole
from leaplan.records import Annotations
from leaplan.text.chat.options import add_model_options, settings_of
from leaplan.text.describe import steps_of
from leaplan.text.described_file import DescribedFile

EXAMPLES = """examples:
  leaplan describe-steps niv --root /data --model gpt-4o-mini --out descriptors_niv.json --dry-run
  leaplan describe-steps niv --root /data --model gpt-4o-mini --max-usd 1 --out descriptors_niv.json
  leaplan describe-steps coin --root /data --model my-model --base-url http://localhost:8000/v1 --out coin.json.gz
  leaplan fit --config configs/experiment/plan_niv_t3.yaml --config configs/ablation/described_steps.yaml \\
    --model.descriptions.init_args.file descriptors_niv.json

What --out holds already is kept, also what was written or changed by hand; the rest is asked for. Two files lie beside
it: OUT.provenance.json tells where each description comes from, and OUT.answers.sqlite keeps every answer with its
price. Interrupt it at any moment: the same command continues where it stopped, and pays for nothing twice. The key of
the server is read from the environment (--key-variable) and written nowhere.

exit code: 0 all steps are described, 1 some are not, 2 wrong use"""
SETTINGS = {
    "epic_kitchens": "unscripted cooking and housework in a home kitchen, seen from the head of the person",
    "captaincook4d": "cooking from a recipe in a home kitchen, seen from the head of the person",
    "synthetic": "a kitchen",
}
SYNTHETIC_ROOT = Path("~/.cache/leaplan")


def main(argv: list[str]) -> int:
    """Run `leaplan describe-steps` and return its exit code: 0 all steps are described, 1 some are not.

    Raises:
        UserError: Wrong use, data that cannot be read, or a server that refuses everything.
        KeyboardInterrupt: After writing what is described.
    """
    options = _parser().parse_args(argv)
    if options.out is None and not options.dry_run:
        raise ConfigError("--out is missing", f"Give a file, such as --out descriptors_{options.dataset}.json")
    if not options.model:
        raise ConfigError("--model is missing", "Such as --model gpt-4o-mini; with your own server add --base-url")
    annotations = _read(options.dataset, options.root, options.protocol)
    steps = steps_of(annotations, SETTINGS.get(options.dataset, ""))[: options.limit]
    file = DescribedFile(options.out or Path(f"descriptors_{options.dataset}.json"), options.overwrite)
    job = Job(options, annotations, steps, file, settings_of(options, file.answers))
    if options.dry_run:
        print(shown(steps, options.show) if options.show else dry_run(job))
        return 0
    if not job.wanted:
        print(f"{file.path}: all {len(steps):,} steps are described ({job.origins()}); --overwrite begins anew")
        return 0
    try:
        run(job)
    except KeyboardInterrupt:
        print(f"\nleaplan: interrupted; {job.kept_note()}", file=sys.stderr)
        raise
    print(summary(job, argv))
    return 1 if job.missing() else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan describe-steps",
        description="Have a language model describe each step of a dataset, and the state before and after it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("dataset", help="crosstask, coin, niv, epic_kitchens, captaincook4d or synthetic")
    parser.add_argument("--root", type=Path, help=f"the data (synthetic: default {SYNTHETIC_ROOT})")
    parser.add_argument("--protocol", help="split protocol whose files are read (default: the first that is there)")
    parser.add_argument("--out", type=Path, metavar="FILE", help=".json or .json.gz, in the layout of SCHEMA")
    parser.add_argument("--overwrite", action="store_true", help="describe anew what FILE holds already")
    parser.add_argument("--limit", type=at_least_one, metavar="N", help="the first N steps only")
    parser.add_argument(
        "--repairs", type=whole, default=1, metavar="N",
        help="send an answer that cannot be used back N times (default 1)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="tell requests, tokens and price, and send nothing")
    parser.add_argument("--show", metavar="STEP", help="with --dry-run: print the prompt of a step")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_model_options(parser.add_argument_group("language model"), "for FILE", max_tokens=800, concurrency=32)
    return parser


def _read(dataset: str, root: Path | None, protocol: str | None) -> Annotations:
    """Return the annotations of a dataset, under any protocol whose files are there unless one is asked for."""
    from importlib import import_module

    from leaplan.data.check import READERS
    from leaplan.data.files import MissingFileError
    from leaplan.data.protocols import PROTOCOLS, nearest

    if dataset not in READERS:
        what = f"'{dataset}' is not a dataset; did you mean '{nearest(dataset, READERS)}'?"
        raise UserError(what, f"There are {', '.join(READERS)}")
    if root is None and dataset != "synthetic":
        raise ConfigError("--root is missing", "Give the folder that holds the data, such as --root /data")
    module, function = READERS[dataset]
    read = getattr(import_module(module), function)
    folder = (root or SYNTHETIC_ROOT).expanduser()
    first: MissingFileError | None = None
    for name in [protocol] if protocol else PROTOCOLS.get(dataset, {"people": None}):
        try:
            annotations: Annotations = read(folder, name)
        except MissingFileError as error:
            first = first or error
        else:
            return annotations
    assert first is not None
    raise first

"""The verb `score`: anybody's predictions to figures, with intervals and a paired test.

Figures are fractions in the JSON file and percent on the screen.
"""

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import leaplan
from leaplan.errors import ConfigError, DataError
from leaplan.options import at_least_one
from leaplan.planning.scoring.arrays import read_arrays
from leaplan.planning.scoring.comparison import compare
from leaplan.planning.scoring.figures import Resampling, score_file, summarise_seeds
from leaplan.planning.scoring.predictions import HINT, Predictions
from leaplan.planning.scoring.records import read_records
from leaplan.training.resampling import add_options, in_percent, write_report

SHOWN = {
    "success_rate": "SR",
    "mean_accuracy": "mAcc",
    "mean_iou": "mIoU",
    "edit_score": "edit",
    "success_rate_seen": "SR seen",
    "success_rate_unseen": "SR unseen",
}
LEGACY = {
    "mean_iou_batch": "mIoU batch",
    "mean_iou_cumulative": "mIoU cumulative",
    "mean_iou_bitwise": "mIoU bitwise",
    "mean_iou_bitwise_aggregate": "mIoU bitwise aggregate",
}
FORMATS = """a .jsonl file holds one object per line (a .json file a list of them, or {"predictions": [...]}):
  {"sample_id": "v1:0+3", "video": "v1", "steps": [3, 8, 2], "plan": [3, 8, 5]}
steps and plans are ids or names. Several decodings: "plans": {"argmax": [...], "viterbi": [...]}, or "decoding" and
a line for each. Optional: "video", "logits" [[...] per step], "top_k" [[best ids] per step], "seen_in_training".
a .npz file holds target (B, T) and pred (B, T) or logits (B, T, N), optional sample_id, video, seen_in_training.

examples:
  leaplan score runs/plan-synthetic-t3/predictions/test.jsonl
  leaplan score mlp.jsonl ours.jsonl --json comparison.json      two files: a paired test, decoding by decoding;
                                                                 where one has a single plan, each with that
  leaplan score ours.jsonl theirs.npz --decode viterbi           of ours only this
  leaplan score seed7.jsonl seed8.jsonl seed9.jsonl --seeds      mean and sd of one model"""
READERS = (".jsonl", ".json", ".npz")


def main(argv: list[str]) -> int:
    """Score the files that `argv` names, print tables, and return 0.

    Raises:
        UserError: A file cannot be read, or the files do not fit together.
    """
    options = _parser().parse_args(argv)
    resampling = Resampling(options.resample or "", options.bootstrap, options.permutations, options.seed)
    names: dict[str, int] = {}
    files = _chosen([read_predictions(path, names) for path in options.files], options.decode)
    scored = [score_file(file, resampling, options.legacy_batch if options.legacy else None) for file in files]
    report: dict[str, Any] = {"schema": 1, "leaplan": leaplan.__version__, "protocol": _protocol(resampling)}
    report["files"] = [
        {**figures, "sha256": hashlib.sha256(file.path.read_bytes()).hexdigest()}
        for file, figures in zip(files, scored, strict=True)
    ]
    if options.seeds:
        report["seeds"] = summarise_seeds(scored)
    elif len(files) == 2:
        report["paired"] = compare(files[0], files[1], resampling)
    write_report(options.json, report)
    _print(report)
    return 0


def read_predictions(path: Path, names: dict[str, int] | None = None) -> Predictions:
    """Read anybody's predictions. Step names get ids from `names`; share it between files to be compared.

    Raises:
        DataError: The file is missing, empty, or of an unknown or damaged format, or one record is wrong.
        ProblemList: Several records are wrong.
    """
    if path.suffix not in READERS:
        raise DataError(f"{path} ends in '{path.suffix}', but predictions end in {', '.join(READERS)}", HINT)
    if not path.is_file():
        raise DataError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}", HINT)
    return read_arrays(path) if path.suffix == ".npz" else read_records(path, {} if names is None else names)


def _chosen(files: Sequence[Predictions], decode: str) -> list[Predictions]:
    """Return the files with the decodings that are asked for: one name for all, or one for each."""
    if not decode:
        return list(files)
    names = decode.split(",") if "," in decode else [decode] * len(files)
    if len(names) != len(files):
        what = f"--decode {decode} names {len(names)} decodings, but the files are {len(files)}"
        raise ConfigError(what, "Give one for all files, or one for each")
    return [file.only(name) for file, name in zip(files, names, strict=True)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan score",
        description="Score predictions: success rate, accuracy, IoU, with bootstrap 95 % intervals.",
        epilog=FORMATS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".jsonl, .json or .npz")
    add_options(parser)
    parser.add_argument(
        "--decode",
        default="",
        metavar="NAME[,NAME]",
        help="of several decodings only this; one for all files, or one for each",
    )
    parser.add_argument("--seeds", action="store_true", help="the files are seeds of one model: mean and sample sd")
    parser.add_argument(
        "--permutations", type=at_least_one, default=10_000, metavar="N", help="of the paired test (default 10000)"
    )
    parser.add_argument(
        "--resample", choices=["video", "sample"], help="what is drawn (default: videos where the file tells them)"
    )
    parser.add_argument("--legacy", action="store_true", help="also the mIoUs of older papers, in a table of their own")
    parser.add_argument(
        "--legacy-batch", type=at_least_one, default=32, metavar="B", help="batch size that they depend on (default 32)"
    )
    return parser


def _protocol(resampling: Resampling) -> dict[str, Any]:
    return {
        "interval": "percentile bootstrap, 95 %",
        "bootstrap": resampling.draws,
        "seed": resampling.seed,
        "paired_test": "two-sided sign flip of the differences of clusters",
        "permutations": resampling.permutations,
        "mean_accuracy": "micro average over all steps",
        "mean_iou": "mean over samples of the IoU of step sets",
        "edit_score": "mean over samples of 1 - Levenshtein / longer length",
    }


def _print(report: Mapping[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    for file in report["files"]:
        console.print(_file_table(file))
        if file["candidates"]:
            accuracy = in_percent(file["candidates"], separator=" ")
            console.print(f"Acc@{file['candidates']['k']} of the candidates: {accuracy}")
        if any("legacy" in figures for figures in file["decodings"].values()):
            console.print(_legacy_table(file))
    if "paired" in report:
        console.print(_paired_table(report["paired"]))
    if "seeds" in report:
        console.print(_seed_table(report["seeds"], len(report["files"])))


def _file_table(file: Mapping[str, Any]) -> Table:
    videos = "" if file["videos"] is None else f" of {file['videos']} videos"
    title = (
        f"{escape(file['file'])}: {file['samples']} samples{videos}, T = {file['horizon']}; percent, 95 % interval "
        f"({file['resampled']['clusters']} {file['resampled']['unit']}s resampled)"
    )
    return _table(title, file["decodings"], in_percent)


def _paired_table(paired: Mapping[str, Any]) -> Table:
    first, second = map(escape, paired["files"])
    title = (
        f"{second} minus {first}: {paired['samples']} common samples, "
        f"{paired['resampled']['clusters']} {paired['resampled']['unit']}s; points, 95 % interval, p-value"
    )
    return _table(title, paired["decodings"], _difference_cell)


def _seed_table(seeds: Mapping[str, Any], count: int) -> Table:
    return _table(f"mean ± sample sd over {count} seeds; percent", seeds, _seed_cell)


def _table(title: str, decodings: Mapping[str, Mapping[str, Any]], cell: Callable[[Mapping[str, Any]], str]) -> Table:
    shown = [name for name in SHOWN if any(name in figures for figures in decodings.values())]
    table = Table("decoding", *(SHOWN[name] for name in shown), title=title, title_justify="left")
    for decoding, figures in decodings.items():
        table.add_row(escape(decoding), *(cell(figures[name]) for name in shown))
    return table


def _legacy_table(file: Mapping[str, Any]) -> Table:
    rows = {name: figures["legacy"] for name, figures in file["decodings"].items()}
    size = next(iter(rows.values()))["batch_size"]
    title = f"legacy, at batch size {size} in the order of the file; percent; not comparable between papers"
    table = Table("decoding", *LEGACY.values(), title=title, title_justify="left")
    for decoding, figures in rows.items():
        table.add_row(escape(decoding), *(f"{100 * figures[name]:.1f}" for name in LEGACY))
    return table


def _difference_cell(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return "–"
    lines = [in_percent(score, "+"), f"p = {score['p_value']:.4f}"]
    if "mcnemar" in score:
        lines.append(f"McNemar {score['mcnemar']['p_value']:.4f}")
    return "\n".join(lines)


def _seed_cell(score: Mapping[str, Any]) -> str:
    return "–" if score["mean"] is None else f"{100 * score['mean']:.1f} ± {100 * score['sd']:.1f}"

"""The verb `score` under EPIC-KITCHENS-100's protocols: official tables of anybody's predictions, and submissions.

Figures carry the names of the official scripts; they are fractions in the JSON file and percent on the screen.
"""

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

import leaplan
from leaplan.errors import ConfigError, DataError
from leaplan.recognition.answers import FORMATS, Answers, read_answers
from leaplan.recognition.epic_files import (
    VALIDATION,
    EpicSegments,
    need_file,
    read_segments,
    read_subsets,
    read_training_pairs,
)
from leaplan.recognition.intervals import (
    Resampling,
    Share,
    accuracy_share,
    differences,
    recall_share,
    with_intervals,
)
from leaplan.recognition.metrics import HEADS, KEPT_PAIRS, Pairs, classes_of, fused_scores
from leaplan.recognition.submission import CHALLENGES, SupervisionLevels, write_submission
from leaplan.training.resampling import add_options, in_percent, write_report

NOTES = f"""{FORMATS}

examples:
  leaplan score --protocol epic-recognition runs/leap/predictions/test.npz --root /data
  leaplan score --protocol epic-anticipation ours.zip theirs.json --root /data --json comparison.json
  leaplan score --protocol epic-recognition test.npz --root /data --annotations EPIC_100_test_timestamps.csv \\
    --submission ours.zip --sls 2 3 4                       no labels there: only the submission is written

Annotations, rare classes and unseen persons are the official files below --root. Two files are also compared, second
minus first. Intervals resample whole videos."""
ROWS = {
    "verb": "verb",
    "noun": "noun",
    "action": "action",
    "action_head": "action head",
    "fused": "fused",
}
ACTIONS = ("action", "action_head", "fused")
FILTERED = "_mt5r_filtered"
"""Recall over the samples whose action occurs in training: the protocol of V-JEPA 2, not the official one. 1,114 of the
1,352 validation actions are left, and numbers are larger by up to a fifth."""
Figures = dict[str, dict[str, Any]]


def main(argv: list[str]) -> int:
    """Score the files that `argv` names, print the official tables, and return 0.

    Raises:
        UserError: A file cannot be read, or does not fit the annotations.
    """
    options = _parser().parse_args(argv)
    root, segments = _annotations(options)
    if options.submission and len(options.files) != 1:
        raise ConfigError(f"--submission is made of one file, but {len(options.files)} are named")
    if len(options.files) > 2:
        raise ConfigError(f"{len(options.files)} files are named, but one is scored, or two are compared")
    levels = SupervisionLevels(*options.sls)
    answers = [read_answers(path, segments.ids) for path in options.files]
    if segments.labels is not None:
        task = _task(options.protocol, root, segments)
        report = _report(task, answers, Resampling(options.bootstrap, options.seed))
        write_report(options.json, report)
        _print(report)
    elif not options.submission:
        raise DataError(f"{segments.path} tells no classes: nothing can be scored", "Or write a --submission OUT.zip")
    if options.submission:
        _submit(options.submission, CHALLENGES[options.protocol], answers[0], levels, options.submission_action)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan score --protocol epic-...",
        description="Score predictions for EPIC-KITCHENS-100 as its challenges do, with bootstrap 95 % intervals.",
        epilog=NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--protocol", choices=CHALLENGES, required=True, help="which challenge's scores")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="one to be scored, or two to be compared")
    parser.add_argument("--root", type=Path, help="folder of the annotations, or the one above it")
    parser.add_argument("--annotations", type=Path, metavar="CSV", help=f"other segments than {VALIDATION}")
    add_options(parser)
    parser.add_argument("--submission", type=Path, metavar="OUT.zip", help="write FILE as a submission")
    parser.add_argument(
        "--sls",
        type=int,
        nargs=3,
        default=(2, 3, 4),
        metavar=("PT", "TL", "TD"),
        help="supervision levels of the submission: pre-training, training labels, training data (default 2 3 4)",
    )
    parser.add_argument(
        "--submission-action",
        choices=["product", "action_head", "fused"],
        default="product",
        help="what ranks its actions; the product leaves that to the challenge (default)",
    )
    return parser


def _annotations(options: argparse.Namespace) -> tuple[Path, EpicSegments]:
    """Return the folder of the official lists, and the segments to be scored."""
    if options.root is None and options.annotations is None:
        raise ConfigError("--root is missing", "Name the folder with EPIC_100_validation.csv:  --root /data")
    if options.root is None:
        options.root = options.annotations.parent
    return options.root, read_segments(options.annotations or need_file(options.root, VALIDATION))


# --- figures ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What is asked of a file.

    Args:
        protocol: "epic-recognition" or "epic-anticipation".
        segments: With classes.
        subsets: "unseen" and "tail", as `metrics.subset_masks` gives them.
        known: Which actions occur in training (N,), None where the training file is not there.
    """

    protocol: str
    segments: EpicSegments
    subsets: Mapping[str, Mapping[str, Tensor]]
    known: Tensor | None


def _task(protocol: str, root: Path, segments: EpicSegments) -> Task:
    assert segments.labels is not None
    pairs = read_training_pairs(root) if protocol == "epic-anticipation" else None
    known = None
    if pairs is not None:
        truth = zip(segments.labels.verb.tolist(), segments.labels.noun.tolist(), strict=True)
        known = torch.tensor([pair in pairs for pair in truth])
    return Task(protocol, segments, read_subsets(root, segments), known)


def _report(task: Task, answers: Sequence[Answers], resampling: Resampling) -> dict[str, Any]:
    assert task.segments.labels is not None
    videos = task.segments.videos
    shares = [official_shares(task, each) for each in answers]
    report: dict[str, Any] = {
        "schema": 1,
        "leaplan": leaplan.__version__,
        "protocol": {
            "name": task.protocol,
            "annotations": str(task.segments.path),
            "segments": len(videos),
            "videos": len(set(videos)),
            "interval": "percentile bootstrap of whole videos, 95 %",
            "bootstrap": resampling.draws,
            "seed": resampling.seed,
            "samples": {
                f"{name}_{kind}": int(mask.sum())
                for name, masks in task.subsets.items()
                for kind, mask in masks.items()
            },
            "filtered": None if task.known is None else int(task.known.sum()),
        },
        "files": [
            {
                "file": str(each.path),
                "sha256": _sha256(each.path),
                "actions": "official product" if each.submitted is None else "as submitted",
                "figures": with_intervals(own, videos, resampling),
            }
            for each, own in zip(answers, shares, strict=True)
        ],
    }
    if len(answers) == 2:
        report["paired"] = {
            "files": [str(each.path) for each in answers],
            "difference": "second minus first",
            "figures": differences(shares[0], shares[1], videos, resampling),
        }
    return report


def official_shares(task: Task, answers: Answers) -> dict[str, Share]:
    """Return the figures of one file under the names of the official scripts.

    Recognition: "all_verb_accuracy_at_1" and "..._at_5", "unseen_verb_accuracy_at_1", "tail_...", of verb, noun and
    action; anticipation: "overall_verb_mt5r", "unseen_...", "tail_...". Where the file tells what an action head says,
    "action_head" and "fused" stand for an action as well. "overall_action_mt5r_filtered" is V-JEPA 2's.
    """
    labels = task.segments.labels
    assert labels is not None
    found: dict[str, Share] = {}
    for head, rank in zip(HEADS, answers.ranks(labels), strict=True):
        if rank is None:
            continue
        kind = "action" if head in ACTIONS else head
        masks = {name: task.subsets[name][kind] for name in ("unseen", "tail") if name in task.subsets}
        if task.protocol == "epic-recognition":
            found |= {f"all_{head}_accuracy_at_{k}": accuracy_share(rank, k) for k in (1, 5)}
            found |= {f"{name}_{head}_accuracy_at_1": accuracy_share(rank, 1, mask) for name, mask in masks.items()}
            continue
        classes = classes_of(head, labels)
        found[f"overall_{head}_mt5r"] = recall_share(rank, classes, 5)
        found |= {f"{name}_{head}_mt5r": recall_share(rank, classes, 5, mask) for name, mask in masks.items()}
        if kind == "action" and task.known is not None:
            found[f"overall_{head}{FILTERED}"] = recall_share(rank, classes, 5, task.known)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the submission ---------------------------------------------------------------------------------


def _submit(path: Path, challenge: str, answers: Answers, levels: SupervisionLevels, ranked_by: str) -> None:
    pairs = answers.submitted if ranked_by == "product" else _head_pairs(answers, ranked_by)
    verb, noun, _ = answers.scores
    assert verb is not None
    assert noun is not None
    write_submission(path, challenge, answers.ids, verb, noun, levels, pairs)
    ranked = "ranked by the official product" if pairs is None else "with 100 actions each"
    print(f"{path}: {challenge}, {len(answers.ids):,} segments, {ranked}, SLS {levels.fields()}")


def _head_pairs(answers: Answers, ranked_by: str) -> Pairs:
    """Return the 100 actions that the action head, or its fusion with the product, thinks likeliest."""
    if answers.scores.action is None or answers.action_pairs is None:
        raise DataError(f"{answers.path} has no action scores", "Leave --submission-action away")
    parts = []
    for rows in torch.arange(len(answers.ids)).split(1024):
        scores = answers.scores.at(rows)
        assert scores.action is not None
        ranked = fused_scores(scores, answers.action_pairs) if ranked_by == "fused" else scores.action.double()
        best = ranked.sort(dim=1, descending=True, stable=True)
        chosen = answers.action_pairs[best.indices[:, :KEPT_PAIRS]]  # (n, 100, 2)
        parts.append(Pairs(chosen[..., 0], chosen[..., 1], best.values[:, :KEPT_PAIRS]))
    return Pairs(*(torch.cat(column) for column in zip(*parts, strict=True)))  # type: ignore[arg-type]


# --- the screen -------------------------------------------------------------------------------------


def _print(report: Mapping[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    protocol = report["protocol"]
    for file in report["files"]:
        actions = "" if file["actions"] == "official product" else ", actions as submitted"
        title = (
            f"{escape(file['file'])}: {protocol['name']}, {protocol['segments']:,} segments of "
            f"{protocol['videos']} videos{actions}; percent, 95 % interval"
        )
        console.print(_table(title, file["figures"], protocol["name"]))
        _print_filtered(console, file["figures"], protocol)
    if "paired" in report:
        first, second = map(escape, report["paired"]["files"])
        title = f"{second} minus {first}; points, 95 % interval"
        console.print(_table(title, report["paired"]["figures"], protocol["name"], "+"))
        _print_filtered(console, report["paired"]["figures"], protocol, "+")


def _table(title: str, figures: Figures, protocol: str, sign: str = "") -> Table:
    columns = _columns(protocol)
    table = Table("", *columns, title=title, title_justify="left")
    for head, name in ROWS.items():
        own = [figures.get(pattern.format(head)) for pattern in columns.values()]
        if any(own):
            table.add_row(name, *("" if each is None else in_percent(each, sign) for each in own))
    return table


def _columns(protocol: str) -> dict[str, str]:
    """Return headings and names of figures."""
    if protocol == "epic-recognition":
        return {
            "top-1": "all_{}_accuracy_at_1",
            "top-5": "all_{}_accuracy_at_5",
            "unseen top-1": "unseen_{}_accuracy_at_1",
            "tail top-1": "tail_{}_accuracy_at_1",
        }
    return {f"{name} mean top-5 recall": f"{name}_{{}}_mt5r" for name in ("overall", "unseen", "tail")}


def _print_filtered(console: Console, figures: Figures, protocol: Mapping[str, Any], sign: str = "") -> None:
    shown = {ROWS[head]: figures.get(f"overall_{head}{FILTERED}") for head in ACTIONS}
    for name, figure in shown.items():
        if figure is not None:
            console.print(
                f"not official, V-JEPA 2's filtered protocol ({protocol['filtered']:,} segments whose action occurs in "
                f"training): {name} mean top-5 recall {in_percent(figure, sign, ' ')}"
            )

"""What came out of an evaluation: scores gathered over processes, figures, the files of predictions, the table.

Figures are fractions from 0 to 1 in files, percent on the screen.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from leaplan.errors import DataError
from leaplan.recognition.arrays import AGAIN, as_labels, as_pairs, as_scores, as_text, read_arrays
from leaplan.recognition.asked_of_data import NamedClip
from leaplan.recognition.metrics import (
    Labels,
    Ranks,
    Scores,
    accuracy,
    best_pairs,
    classes_of,
    fused_scores,
    ranks_of,
    recall,
)
from leaplan.records import Vocabulary
from leaplan.writing import write_text, write_whole

KINDS = ("verb", "noun", "action")
ROWS = 1024

Subsets = Mapping[str, Mapping[str, Tensor]]
"""Name of a subset ("unseen", "tail") to kind ("verb", "noun", "action") to which samples (M,) of the split are in."""


class Recognised(NamedTuple):
    """All samples of a split that were evaluated, in the order of their index. N samples."""

    index: Tensor  # (N,) int64, position in the split
    labels: Labels  # (N,) each
    scores: Scores  # float32 log-probabilities


def averaged(logits: Tensor) -> Tensor:
    """Return float32 log-probabilities (B, C) of `logits` (B, C) or (B, views, C): the softmax averaged over views."""
    logits = logits.float().log_softmax(-1)
    if logits.ndim == 2:
        return logits
    return logits.logsumexp(1) - float(np.log(logits.shape[1]))


# --- figures ----------------------------------------------------------------------------------------


def pairs_of(vocabulary: Vocabulary) -> Tensor | None:
    """Return verb and noun (A, 2) of each action of the vocabulary, None where one of them has none."""
    pairs = [(step.verb, step.noun) for step in vocabulary.steps]
    if not pairs or any(verb is None or noun is None for verb, noun in pairs):
        return None
    return torch.tensor(pairs, dtype=torch.int64)


def figures(
    outcome: Recognised, vocabulary: Vocabulary, subsets: Subsets | None = None, top: Sequence[int] = (1, 5)
) -> dict[str, dict[str, Any]]:
    """Return all figures of a split as fractions, None of no samples.

    An action's official score is that of the product of verb and noun, where there are both heads, else that of the
    action head. The sections are

    - "recognition": "verb_top1", "verb_top5", "noun_...", "action_...", of all samples;
    - "action_head" and "fused" (product and head), where there are these: "action_top1", "action_top5", "action_mt5r";
    - "recall": class-mean top-5 recall "overall_verb_mt5r", "overall_noun_mt5r", "overall_action_mt5r", and the same
      of each subset, "unseen_...", "tail_...";
    - one per subset, "unseen" and "tail": "verb_top1", "noun_top1", "action_top1";
    - "counts": "samples", and of each subset such as "tail_action".

    Args:
        outcome: The evaluated samples.
        vocabulary: Tells the verb and noun of each action.
        subsets: Which samples of the split are also scored apart, as `metrics.subset_masks` gives them.
        top: The k of accuracies.
    """
    labels = outcome.labels
    ranks = ranks_of(outcome.scores, labels, pairs_of(vocabulary))
    official = official_ranks(ranks)
    everything = torch.ones(len(outcome.index), dtype=torch.bool)
    chosen = {"overall": dict.fromkeys(KINDS, everything)}
    chosen |= {
        name: {kind: mask.cpu()[outcome.index] for kind, mask in masks.items()}
        for name, masks in (subsets or {}).items()
    }
    table: dict[str, dict[str, Any]] = {"recognition": _accuracies(official, chosen["overall"], top)}
    for name, rank in (("action_head", ranks.action_head), ("fused", ranks.fused)):
        if rank is not None:
            scores = _accuracies({"action": rank}, chosen["overall"], top)
            table[name] = {**scores, "action_mt5r": _recall(rank, classes_of(name, labels), everything)}
    table["recall"] = {
        f"{name}_{kind}_mt5r": _recall(rank, classes_of(kind, labels), masks[kind])
        for name, masks in chosen.items()
        for kind, rank in official.items()
    }
    table |= {name: _accuracies(official, masks, (1,)) for name, masks in chosen.items() if name != "overall"}
    table["counts"] = {"samples": len(everything)}
    for name, masks in chosen.items():
        if name != "overall":
            table["counts"] |= {f"{name}_{kind}": int(masks[kind].sum()) for kind in official}
    return table


def official_ranks(ranks: Ranks) -> dict[str, Tensor]:
    """Return the ranks of "verb", "noun" and "action" that official scores count, of the heads that there are."""
    action = ranks.action_head if ranks.action is None else ranks.action
    found = {"verb": ranks.verb, "noun": ranks.noun, "action": action}
    return {kind: rank for kind, rank in found.items() if rank is not None}


def _accuracies(ranks: Mapping[str, Tensor], masks: Mapping[str, Tensor], top: Sequence[int]) -> dict[str, Any]:
    return {
        f"{kind}_top{k}": float(accuracy(rank[masks[kind]], k)) if masks[kind].any() else None
        for kind, rank in ranks.items()
        for k in top
    }


def _recall(rank: Tensor, classes: Tensor, mask: Tensor) -> float | None:
    return float(recall(rank[mask], classes[mask])) if mask.any() else None


# --- files ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavedScores:
    """Scores of a split, as a run keeps them. N samples, A actions.

    Args:
        path: The file.
        sample_ids, videos: N each.
        persons: N, or None where they are not told.
        labels: True classes (N,).
        scores: Log-probabilities.
        action_pairs: (A, 2) verb and noun of each action, or None.
    """

    path: Path
    sample_ids: tuple[str, ...]
    videos: tuple[str, ...]
    persons: tuple[str, ...] | None
    labels: Labels
    scores: Scores
    action_pairs: Tensor | None


def write_scores(
    path: Path,
    outcome: Recognised,
    clips: Sequence[NamedClip],
    vocabulary: Vocabulary,
    persons: Mapping[str, str] | None = None,
) -> None:
    """Write `path` (.npz): what `leaplan score` and `leaplan compare` compute every figure from.

    It holds `sample_id`, `video`, `person` (N,) as text, `step_label`, `verb_label`, `noun_label` (N,) int64, and
    log-probabilities `verb` (N, V), `noun` (N, M), `action` (N, A) float32 of the heads that there are, with
    `action_pairs` (A, 2), verb and noun of each action.

    Args:
        path: The file.
        outcome: The evaluated samples.
        clips: All clips of the split.
        vocabulary: Tells the verb and noun of each action.
        persons: Video id to person.
    """
    shown = [clips[index] for index in outcome.index.tolist()]
    arrays: dict[str, Any] = {
        "sample_id": np.array([clip.sample_id for clip in shown], dtype=np.str_),
        "video": np.array([clip.video for clip in shown], dtype=np.str_),
    }
    if persons is not None:
        arrays["person"] = np.array([persons[clip.video] for clip in shown], dtype=np.str_)
    arrays |= {f"{name}_label": label.numpy() for name, label in outcome.labels._asdict().items()}
    arrays |= {name: each.numpy() for name, each in outcome.scores._asdict().items() if each is not None}
    pairs = pairs_of(vocabulary)
    if pairs is not None:
        arrays["action_pairs"] = pairs.numpy()

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, **arrays)

    write_whole(path, write)


def read_scores(path: Path) -> SavedScores:
    """Return what `write_scores` wrote.

    Raises:
        DataError: The file is missing, damaged, or not such a file.
    """
    arrays = read_arrays(path)
    needed = ("sample_id", "video", *(f"{name}_label" for name in Labels._fields))
    absent = [name for name in needed if name not in arrays]
    if absent:
        raise DataError(f"{path} has no {', '.join(absent)}: not the scores of a run", AGAIN)
    lengths = {name: len(array) for name, array in arrays.items() if name != "action_pairs"}
    if len(set(lengths.values())) != 1:
        raise DataError(f"{path}: arrays differ in length: {lengths}", AGAIN)
    scores = Scores(*(as_scores(path, name, arrays[name]) if name in arrays else None for name in Scores._fields))
    heads = zip(Labels._fields, (scores.action, scores.verb, scores.noun), strict=True)
    labels = Labels(*(as_labels(path, f"{name}_label", arrays[f"{name}_label"], head) for name, head in heads))
    texts = [as_text(path, name, arrays[name]) if name in arrays else None for name in ("sample_id", "video", "person")]
    ids, videos, persons = texts
    assert ids is not None
    assert videos is not None
    if len(set(ids)) < len(ids):
        raise DataError(f"{path}: a sample_id is there twice", AGAIN)
    pairs = as_pairs(path, arrays["action_pairs"], scores) if "action_pairs" in arrays else None
    return SavedScores(path, ids, videos, persons, labels, scores, pairs)


def write_predictions(
    path: Path, outcome: Recognised, clips: Sequence[NamedClip], vocabulary: Vocabulary, top: int = 5
) -> None:
    """Write one readable line per sample: the truth, and the likeliest classes of each head with probabilities.

    "action" is the official product of verb and noun; with an action head, "action_head" is what that says.
    """
    names = {
        "step": [step.name for step in vocabulary.steps],
        "verb": vocabulary.verbs,
        "noun": vocabulary.nouns,
    }
    lines = []
    each = zip(outcome.index.tolist(), likeliest_of(outcome, names, top), strict=True)
    for row, (index, likeliest) in enumerate(each):
        truth = {name: int(label[row]) for name, label in outcome.labels._asdict().items()}
        line = {
            "sample_id": clips[index].sample_id,
            "video": clips[index].video,
            **truth,
            "truth": {name: names[name][label] for name, label in truth.items() if label >= 0},
            f"top_{top}": likeliest,
        }
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def likeliest_of(
    outcome: Recognised, names: Mapping[str, Sequence[str]], top: int, action_pairs: Tensor | None = None
) -> Iterator[dict[str, Any]]:
    """Yield for each sample the names and probabilities of the `top` classes of each head.

    With `action_pairs` (A, 2), verb and noun of each action, also of "fused", where there are all three heads.
    """
    for rows in torch.arange(len(outcome.index)).split(ROWS):
        scores = outcome.scores.at(rows)
        columns = {}
        for head, logits in scores._asdict().items():
            if logits is not None:
                known = names["step" if head == "action" else head]
                columns["action_head" if head == "action" else head] = _best(logits.double().exp(), known, top)
        if scores.verb is not None and scores.noun is not None:
            pairs = best_pairs(scores.verb, scores.noun, top)
            both = zip(pairs.verb.tolist(), pairs.noun.tolist(), strict=True)
            labels = [
                [f"{names['verb'][v]} {names['noun'][n]}" for v, n in zip(verbs, nouns, strict=True)]
                for verbs, nouns in both
            ]
            columns["action"] = _listed(labels, pairs.score.exp())
            if action_pairs is not None and scores.action is not None:
                columns["fused"] = _best(fused_scores(scores, action_pairs).softmax(1), names["step"], top)
        for row in range(len(rows)):
            yield {head: column[row] for head, column in columns.items()}


def _best(probabilities: Tensor, names: Sequence[str], top: int) -> list[list[list[Any]]]:
    best = probabilities.sort(dim=1, descending=True, stable=True)
    labels = [[names[i] for i in row] for row in best.indices[:, :top].tolist()]
    return _listed(labels, best.values[:, :top])


def _listed(labels: list[list[str]], probabilities: Tensor) -> list[list[list[Any]]]:
    values = [[round(value, 6) for value in row] for row in probabilities.tolist()]
    return [
        [[name, p] for name, p in zip(row, shares, strict=True)] for row, shares in zip(labels, values, strict=True)
    ]


# --- the screen -------------------------------------------------------------------------------------


def print_table(split: str, table: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the figures in percent."""
    counts, scores = table["counts"], table["recognition"]
    subsets = [name for name in ("unseen", "tail") if name in table]
    print(f"{split}: {counts['samples']} clips")
    columns = [f"top-{name.rpartition('top')[2]}" for name in scores if name.startswith("action_")]
    shown = Table("", *columns, "mean top-5 recall", *(f"{name} top-1" for name in subsets))
    for kind in KINDS:
        own = [value for name, value in scores.items() if name.startswith(f"{kind}_")]
        if own:
            apart = [table[name][f"{kind}_top1"] for name in subsets]
            shown.add_row(kind, *map(_percent, [*own, table["recall"][f"overall_{kind}_mt5r"], *apart]))
    for section, name in (("action_head", "action head"), ("fused", "fused")):
        if section in table and {"verb_top1", "noun_top1"} <= scores.keys():
            shown.add_row(name, *map(_percent, table[section].values()), *[""] * len(subsets))
    Console().print(shown)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"

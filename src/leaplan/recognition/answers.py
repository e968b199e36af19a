"""Anybody's predictions for EPIC-KITCHENS-100, in the forms that are in use, put in the order of the annotations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.errors import DataError, ProblemList
from leaplan.recognition.arrays import as_pairs, as_scores, as_text, read_arrays
from leaplan.recognition.metrics import Labels, Pairs, Ranks, Scores, rank_among, ranks_of
from leaplan.recognition.submission import (
    NOUNS,
    VERBS,
    check_submission,
    is_object,
    parse_document,
    problems_of_ids,
)

FORMATS = """FILE is one of
  .zip or .json   a submission of the challenges: {"version": "0.2", "challenge": ..., "results": {id: ...}}
  .json           a result file: [{"narration_id": ..., "verb_output": [97], "noun_output": [300]}, ...]
  .npz            arrays narration_id (N,), verb (N, 97), noun (N, 300); or predictions/test.npz of a run"""
HINT = "See the formats:  leaplan score --protocol epic-recognition --help"
ID_NAMES = ("narration_id", "sample_id")
OUTPUTS = ("verb_output", "noun_output")


@dataclass(frozen=True)
class Answers:
    """Scores of N segments.

    Args:
        path: The file.
        ids: Narration ids.
        scores: verb (N, 97), noun (N, 300), and what an action head said (N, A), if anything.
        action_pairs: (A, 2) verb and noun of the action head's classes.
        submitted: The 100 pairs of each segment, if the file ranks actions itself.
    """

    path: Path
    ids: tuple[str, ...]
    scores: Scores
    action_pairs: Tensor | None = None
    submitted: Pairs | None = None

    def in_order(self, ids: Sequence[str]) -> "Answers":
        """Return them in the order of `ids`, which are the same."""
        place = {name: row for row, name in enumerate(self.ids)}
        rows = torch.tensor([place[name] for name in ids], dtype=torch.int64)
        submitted = None if self.submitted is None else Pairs(*(column[rows] for column in self.submitted))
        return replace(self, ids=tuple(ids), scores=self.scores.at(rows), submitted=submitted)

    def ranks(self, labels: Labels) -> Ranks:
        """Return the ranks of the true classes; of actions as submitted, else by the official product."""
        if self.scores.action is not None and self.action_pairs is not None:
            places = {pair: place for place, pair in enumerate(map(tuple, self.action_pairs.tolist()))}
            truth = zip(labels.verb.tolist(), labels.noun.tolist(), strict=True)
            labels = labels._replace(step=torch.tensor([places.get(pair, -1) for pair in truth], dtype=torch.int64))
        ranks = ranks_of(self.scores, labels, self.action_pairs)
        if self.submitted is not None:
            ranks = ranks._replace(action=rank_among(self.submitted, labels.verb, labels.noun))
        return ranks


def read_answers(path: Path, ids: Sequence[str]) -> Answers:
    """Return the scores of the segments `ids`, in this order, whatever form the file has.

    Raises:
        DataError: The file cannot be read, has an unknown form, or scores of the wrong shape.
        ProblemList: Ids are missing, not expected or repeated, or a submission breaks a rule.
    """
    if path.suffix == ".npz":
        answers = _from_arrays(path)
    elif path.suffix in (".zip", ".json"):
        answers = _from_document(path, ids)
    else:
        hint = "Of a .pt or .pkl result file, save the arrays with numpy.savez"
        raise DataError(f"{path} ends in '{path.suffix}', but predictions end in .zip, .json or .npz", hint)
    _check(answers, ids)
    return answers.in_order(ids)


def _check(answers: Answers, ids: Sequence[str]) -> None:
    problems = [] if len(set(answers.ids)) == len(answers.ids) else ["some narration ids are there twice"]
    problems += problems_of_ids(set(answers.ids), set(ids))
    for name, scores in zip(("verb", "noun", "action"), answers.scores, strict=True):
        if scores is not None and not bool(scores.isfinite().all()):
            row = int((~scores.isfinite()).any(1).nonzero()[0])
            problems.append(f"a {name} score of {answers.ids[row]} is not finite")
    if problems:
        raise ProblemList(str(answers.path), problems, "Score all segments of the annotations, each once")


def _from_arrays(path: Path) -> Answers:
    arrays = read_arrays(path)
    key = next((name for name in ID_NAMES if name in arrays), None)
    if key is None:
        raise DataError(f"{path} has no array narration_id or sample_id; it has {', '.join(arrays) or 'none'}", HINT)
    ids = as_text(path, key, arrays[key])
    scores = _scores(path, {name.removesuffix("_output"): array for name, array in arrays.items()}, len(ids))
    if "action" not in arrays or "action_pairs" not in arrays:
        return Answers(path, ids, scores)
    scores = scores._replace(action=as_scores(path, "action", arrays["action"]))
    pairs = as_pairs(path, arrays["action_pairs"], scores)
    if len(arrays["action"]) != len(ids) or len(pairs.unique(dim=0)) < len(pairs):
        raise DataError(f"{path}: action is not of {len(ids)} segments, or action_pairs holds a pair twice", HINT)
    return Answers(path, ids, scores, pairs)


def _from_document(path: Path, ids: Sequence[str]) -> Answers:
    """Return the scores of a result file, of either layout, or of a submission."""
    content = parse_document(path)
    if is_object(content) and "narration_id" not in dict(content):
        found = check_submission(path, content, ids)
        return Answers(path, found.ids, Scores(found.verb, found.noun, None), submitted=found.pairs)
    if is_object(content):
        columns = {name: column if isinstance(column, list) else [] for name, column in content}
    else:
        columns = _columns(path, content if isinstance(content, list) else [content])
    names = tuple(map(str, columns["narration_id"]))
    arrays = {name.removesuffix("_output"): _array(path, name, columns.get(name)) for name in OUTPUTS}
    return Answers(path, names, _scores(path, arrays, len(names)))


def _columns(path: Path, content: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the columns of a list of {"narration_id", "verb_output", "noun_output"}."""
    rows = [dict(row) if is_object(row) else {} for row in content]
    for place, row in enumerate(rows):
        if not {"narration_id", *OUTPUTS} <= row.keys():
            raise DataError(f"{path}, entry {place}: no narration_id, verb_output and noun_output", HINT)
    return {name: [row[name] for row in rows] for name in ("narration_id", *OUTPUTS)}


def _array(path: Path, name: str, values: Any) -> NDArray[np.float64]:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: {name} is no table of numbers ({error})", HINT) from error


def _scores(path: Path, arrays: Mapping[str, NDArray[Any]], count: int) -> Scores:
    """Return verb and noun scores after a look at their shapes."""
    found = []
    for name, width in (("verb", VERBS), ("noun", NOUNS)):
        if name not in arrays:
            raise DataError(f"{path} has no {name} scores", HINT)
        found.append(as_scores(path, name, arrays[name], width))
        if len(found[-1]) != count:
            raise DataError(f"{path}: {name} is of {len(found[-1])} segments, but there are {count} ids", HINT)
    return Scores(found[0], found[1], None)

"""How well actions are recognised or anticipated: top-k accuracy and class-mean recall, as EPIC-KITCHENS-100 counts.

Everything is made of ranks: how many classes a model thinks likelier than the true one. Where scores are equal, the
smaller class id comes first; a score that is not a number comes last. An action is a pair (verb, noun). Its score is

- the official product: the 100 best sums log p(verb) + log p(noun), over all pairs, known to training or not
  (`utils/actions.py` of the challenge repository, with the softmax over each row). Equal sums are ordered by the rank
  of the verb, then by that of the noun;
- or what the action head says of the actions in the vocabulary;
- or, fused, the geometric mean of the two over the vocabulary.

Scores are fractions from 0 to 1. Shapes: N samples, V verbs, M nouns, A actions, P pairs that are kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

KEPT_PAIRS = 100
"""How many verbs, nouns, and then pairs the official product keeps."""
ROWS = 1024
"""Samples ranked at once: (1024, 3806) float64 are 31 MB."""
HEADS = ("verb", "noun", "action", "action_head", "fused")
"""What is ranked; "action" is the official product."""
PAD = -1


class Labels(NamedTuple):
    """True classes; -1 where the dataset has none, or where the vocabulary has not this action."""

    step: Tensor  # (N,) int64, index of the action in the vocabulary
    verb: Tensor  # (N,)
    noun: Tensor  # (N,)


class Scores(NamedTuple):
    """Logits or log-probabilities of the heads that there are."""

    verb: Tensor | None  # (N, V)
    noun: Tensor | None  # (N, M)
    action: Tensor | None  # (N, A)

    def at(self, rows: Tensor | slice) -> "Scores":
        """Return those of some samples."""
        return Scores(*(None if each is None else each[rows] for each in self))


class Pairs(NamedTuple):
    """The likeliest actions of each sample, the likeliest first."""

    verb: Tensor  # (N, P) int64
    noun: Tensor  # (N, P) int64
    score: Tensor  # (N, P) float64; log-probabilities if they come from `best_pairs`


class Ranks(NamedTuple):
    """How many classes are thought likelier than the true one (N,); None without the heads that it takes."""

    verb: Tensor | None
    noun: Tensor | None
    action: Tensor | None  # by the official product
    action_head: Tensor | None
    fused: Tensor | None


def top_k_accuracy(scores: Tensor, target: Tensor, k: int = 1) -> Tensor:
    """Return the share of samples whose `target` (N,) is among the k largest of `scores` (N, C)."""
    return accuracy(rank_of(scores, target), k)


def class_mean_recall(scores: Tensor, target: Tensor, k: int = 5) -> Tensor:
    """Return the mean over the classes in `target` (N,) of the share of their samples with the class in the top k.

    The anticipation challenge's measure, with k = 5 (Furnari et al., "Leveraging Uncertainty to Rethink Loss
    Functions and Evaluation Measures for Egocentric Action Anticipation").
    """
    return recall(rank_of(scores, target), target, k)


def accuracy(rank: Tensor, k: int) -> Tensor:
    """Return the share of ranks (N,) below k, NaN of none."""
    return (rank < k).double().mean()


def recall(rank: Tensor, classes: Tensor, k: int = 5) -> Tensor:
    """Return the mean over the true `classes` (N,) that occur of the share of their ranks (N,) below k."""
    _, group, sizes = classes.unique(return_inverse=True, return_counts=True)
    found = torch.zeros(len(sizes), dtype=torch.int64, device=rank.device).index_add_(0, group, (rank < k).long())
    return (found.double() / sizes).mean()


def action_classes(verb: Tensor, noun: Tensor) -> Tensor:
    """Return one number (N,) per pair: 1000 verb + noun, as the challenges number them."""
    base = max(1000, int(noun.max()) + 1 if len(noun) else 0)
    return base * verb + noun


# --- ranks ------------------------------------------------------------------------------------------


def rank_of(scores: Tensor, target: Tensor) -> Tensor:
    """Return how many of `scores` (N, C) stand before that of `target` (N,); C where the target is -1."""
    classes = torch.arange(scores.shape[1], device=scores.device)
    own = scores.gather(1, target.clamp(min=0)[:, None])  # (N, 1)
    behind = (scores < own) | ((scores == own) & (classes > target[:, None]))  # nothing is behind NaN
    return torch.where(target < 0, scores.shape[1], scores.shape[1] - 1 - behind.sum(1))


def best_pairs(verb: Tensor, noun: Tensor, keep: int = KEPT_PAIRS) -> Pairs:
    """Return the `keep` likeliest pairs of `verb` (N, V) and `noun` (N, M), out of the `keep` likeliest of both.

    With both sorted, (i + 1)(j + 1) - 1 pairs are before the pair of the i-th verb and the j-th noun: only where that
    is less than `keep` is it looked at, which leaves some 470 of 9,700 and changes nothing. Sums of logits are in the
    order of those of log-probabilities, and equal ones stay equal.
    """
    verb, verb_order = verb.double().sort(dim=1, descending=True, stable=True)
    noun, noun_order = noun.double().sort(dim=1, descending=True, stable=True)
    i = torch.arange(verb.shape[1], device=verb.device)[:, None]
    j = torch.arange(noun.shape[1], device=verb.device)
    first, second = ((i + 1) * (j + 1) <= keep).nonzero().unbind(1)  # row by row
    total, order = (verb[:, first] + noun[:, second]).sort(dim=1, descending=True, stable=True)
    order = order[:, :keep]
    log_probability = total[:, :keep] - verb.logsumexp(1, keepdim=True) - noun.logsumexp(1, keepdim=True)
    return Pairs(verb_order.gather(1, first[order]), noun_order.gather(1, second[order]), log_probability)


def rank_among(pairs: Pairs, verb: Tensor, noun: Tensor) -> Tensor:
    """Return the place (N,) of the true pair among `pairs`, P where it is not there."""
    same = (pairs.verb == verb[:, None]) & (pairs.noun == noun[:, None]) & ~pairs.score.isnan()
    place = torch.arange(same.shape[1], device=same.device)
    return torch.where(same, place, same.shape[1]).amin(1)


def fused_scores(scores: Scores, action_pairs: Tensor) -> Tensor:
    """Return log of the geometric mean (N, A) of p(verb) p(noun) and of the action head's p(action).

    Args:
        scores: All three.
        action_pairs: (A, 2) verb and noun of each action.
    """
    verb, noun, action = (each.double().log_softmax(1) for each in scores if each is not None)
    return (verb[:, action_pairs[:, 0]] + noun[:, action_pairs[:, 1]] + action) / 2


def ranks_of(scores: Scores, labels: Labels, action_pairs: Tensor | None = None) -> Ranks:
    """Return the ranks of all true classes. `action_pairs` (A, 2), verb and noun of each action, is for fusing."""
    rows = torch.arange(len(labels.step), device=labels.step.device).split(ROWS)
    parts = [_ranks(scores.at(each), Labels(*(label[each] for label in labels)), action_pairs) for each in rows]
    columns = zip(*parts, strict=True)
    return Ranks(*(None if column[0] is None else torch.cat(column) for column in columns))  # type: ignore[arg-type]


def _ranks(scores: Scores, labels: Labels, action_pairs: Tensor | None) -> Ranks:
    verb, noun, action = scores
    product = fused = None
    if verb is not None and noun is not None:
        product = rank_among(best_pairs(verb, noun), labels.verb, labels.noun)
        if action is not None and action_pairs is not None:
            fused = rank_of(fused_scores(scores, action_pairs), labels.step)
    return Ranks(
        None if verb is None else rank_of(verb, labels.verb),
        None if noun is None else rank_of(noun, labels.noun),
        product,
        None if action is None else rank_of(action, labels.step),
        fused,
    )


# --- scores of a split ------------------------------------------------------------------------------


def classes_of(head: str, labels: Labels) -> Tensor:
    """Return the true classes (N,) that a head of `HEADS` is asked for."""
    if head in ("verb", "noun"):
        return labels.verb if head == "verb" else labels.noun
    has_pairs = len(labels.verb) > 0 and bool((labels.verb >= 0).all() and (labels.noun >= 0).all())
    return action_classes(labels.verb, labels.noun) if has_pairs else labels.step


def recognition_scores(
    scores: Scores, labels: Labels, action_pairs: Tensor | None = None, top: Sequence[int] = (1, 5)
) -> dict[str, Tensor]:
    """Return every score of `scores_of_ranks`, scalars, from logits; `action_pairs` (actions, 2)."""
    return scores_of_ranks(ranks_of(scores, labels, action_pairs), labels, top)


def scores_of_ranks(ranks: Ranks, labels: Labels, top: Sequence[int] = (1, 5)) -> dict[str, Tensor]:
    """Return "<head>_top<k>" for each k of `top` and "<head>_mt5r", class-mean top-5 recall, of the heads there are."""
    found: dict[str, Tensor] = {}
    for head, rank in zip(HEADS, ranks, strict=True):
        if rank is not None:
            found |= {f"{head}_top{k}": accuracy(rank, k) for k in top}
            found[f"{head}_mt5r"] = recall(rank, classes_of(head, labels))
    return found


def subset_masks(
    labels: Labels,
    persons: Sequence[str],
    unseen: frozenset[str] | set[str],
    tail_verbs: frozenset[int] | set[int],
    tail_nouns: frozenset[int] | set[int],
) -> dict[str, dict[str, Tensor]]:
    """Return which samples (N,) the challenges also score apart, for verbs, nouns and actions.

    "unseen": persons who are in no training video. "tail": rare verbs, rare nouns; for actions, either of them.
    A subset that is not defined, or has no sample, is left out.
    """
    new = torch.tensor([person in unseen for person in persons], dtype=torch.bool)
    verb = torch.isin(labels.verb.cpu(), torch.tensor(sorted(tail_verbs), dtype=torch.int64))
    noun = torch.isin(labels.noun.cpu(), torch.tensor(sorted(tail_nouns), dtype=torch.int64))
    masks = {
        "unseen": {"verb": new, "noun": new, "action": new},
        "tail": {"verb": verb, "noun": noun, "action": verb | noun},
    }
    return {name: parts for name, parts in masks.items() if parts["action"].any()}

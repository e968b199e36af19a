"""Several plans instead of one: the k likeliest of a chain, and a varied choice among them.

Shapes: B samples, T steps, N step classes, k plans per sample, M candidates per sample.
"""

import torch
from torch import Tensor

from leaplan.errors import DataError
from leaplan.planning.chain import crf_negative_log_likelihood
from leaplan.planning.decoding import check_chain, max_plus


@torch.no_grad()  # type: ignore[untyped-decorator]
def k_best(log_emissions: Tensor, log_transitions: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k likeliest plans (B, k, T) and their log-probabilities (B, k), best first. Exact.

    The chain is that of `viterbi`: a plan's weight is the sum of its log emissions and log transitions, and its
    log-probability is that minus the log of the summed weights of all N^T plans. Plans grow from their last step
    towards the first. An ending is worth the best plan that it belongs to, known from the forward scan of Viterbi;
    k other endings that are worth more are k better plans, so the k best endings at every step are enough. That
    costs one Viterbi scan and k N sums per step, and no tensor is larger than (B, k, N).

    Args:
        log_emissions: (B, T, N), usually log-probabilities. -inf forbids a step.
        log_transitions: (N, N), from row to column. -inf forbids a transition.
        k: How many plans. Where fewer are allowed (one must be), the rest are forbidden ones of log-probability -inf.

    Raises:
        DataError: An emission or a transition is NaN.
        ValueError: The shapes do not fit, or there are fewer than k plans.
    """
    emissions, transitions = check_chain(log_emissions, log_transitions)
    steps, classes = emissions.shape[1:]
    if not 1 <= k <= classes**steps:
        raise ValueError(f"k is {k}, but there are {classes**steps} plans of {steps} steps out of {classes}")
    best = _best_beginnings(emissions, transitions)
    into = transitions.T.contiguous()  # (targets, sources)
    last = best[-1].topk(min(k, classes)).indices  # (B, K), K grows to k
    plans, rest = last[:, :, None], torch.zeros_like(last, dtype=emissions.dtype)
    for step in range(steps - 1, 0, -1):
        first = plans[:, :, 0]  # (B, K)
        rest = rest + emissions[:, step].gather(1, first)
        rest = (into[first] + rest[:, :, None]).flatten(1)  # (B, K N), of each ending behind each predecessor
        worth = rest + best[step - 1].repeat(1, plans.shape[1])
        chosen = worth.topk(min(k, worth.shape[1])).indices
        rest = rest.gather(1, chosen)
        endings = plans.gather(1, (chosen // classes)[:, :, None].expand(-1, -1, plans.shape[2]))
        plans = torch.cat([(chosen % classes)[:, :, None], endings], dim=2)
    score = rest + emissions[:, 0].gather(1, plans[:, :, 0])
    unlikelihood = crf_negative_log_likelihood(emissions, transitions, plans[:, 0])  # (B,)
    return plans, score - score[:, :1] - unlikelihood[:, None]


def _best_beginnings(emissions: Tensor, transitions: Tensor) -> list[Tensor]:
    """T log scores (B, N) of the best beginning of a plan that ends in a class: Viterbi's forward scan."""
    observed = emissions.permute(1, 2, 0).contiguous()  # (T, N, B)
    best = [observed[0]]
    for emission in observed[1:]:
        best.append(max_plus(best[-1], transitions).add_(emission))
    bad = best[-1].isnan().any(0)  # every NaN reaches the last maxima
    if bool(bad.any()):
        raise DataError(
            f"log emissions or transitions are NaN in {int(bad.sum())} of {len(bad)} samples",
            "Check the features with `leaplan check-data`; if they are fine, lower the learning rate",
        )
    return [scores.T for scores in best]


def diverse(plans: Tensor, log_probability: Tensor, k: int, distance: float) -> tuple[Tensor, Tensor]:
    """Choose k plans (B, k, T) that are likely and differ, with their log-probabilities (B, k), in order of choice.

    Maximal marginal relevance: the likeliest candidate comes first, and then always the one with the largest
    log-probability + `distance` x (number of steps in which it differs from the most similar plan chosen so far).

    Args:
        plans: (B, M, T), the candidates, all different, such as those of `k_best`.
        log_probability: (B, M).
        k: How many of the M are chosen.
        distance: How many nats less likely a plan may be for one more step that differs. 0 takes the k likeliest.

    Raises:
        ValueError: The shapes do not fit, or there are fewer than k candidates.
    """
    batch, count, steps = plans.shape
    if log_probability.shape != (batch, count) or not 1 <= k <= count or distance < 0:
        raise ValueError(
            f"{k} of plans {tuple(plans.shape)} with log-probabilities {tuple(log_probability.shape)} and "
            f"distance {distance}: k must be 1 to M, the distance not negative, and both of the same (B, M)"
        )
    nearest = torch.full_like(log_probability, steps)  # (B, M), differing steps to the most similar chosen plan
    free = log_probability.clone()
    chosen = []
    for _ in range(k):
        chosen.append((free + distance * nearest).argmax(1))  # (B,), the first of equals
        plan = plans.gather(1, chosen[-1][:, None, None].expand(-1, 1, steps))  # (B, 1, T)
        nearest = torch.minimum(nearest, (plans != plan).sum(2).to(nearest))
        free = free.scatter(1, chosen[-1][:, None], -torch.inf)
    places = torch.stack(chosen, dim=1)  # (B, k)
    return plans.gather(1, places[:, :, None].expand(-1, -1, steps)), log_probability.gather(1, places)

"""From scores of steps to plans: step by step, or along the best path of a Markov chain (Viterbi).

Shapes: B samples, T steps, N step classes. Everything is batched and runs where its tensors are.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from leaplan.errors import DataError

BLOCK_ELEMENTS = {"cpu": 2**18, "cuda": 2**25}  # of `max_plus`'s temporary tensor; measured on CPU
TILE_SAMPLES = {"cpu": 128, "cuda": 1024}


def argmax_plan(logits: Tensor) -> Tensor:
    """Return the best class of each step (B, T) of `logits` (B, T, N); the lowest id among equals.

    Raises:
        DataError: A logit is NaN.
    """
    _refuse_nan(logits, "logits")
    return logits.argmax(-1)


def transition_counts(sequences: Iterable[Sequence[int]], classes: int) -> Tensor:
    """Count which step follows which (N, N) in whole videos, self transitions included."""
    pairs = [pair for steps in sequences for pair in pairwise(steps)]
    sources, targets = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    counts = torch.bincount(sources * classes + targets, minlength=classes * classes)
    return counts.reshape(classes, classes)


def transition_log_probabilities(counts: Tensor, smoothing: float = 1e-6) -> Tensor:
    """Return log P(next | current) (N, N), float32, of transition counts (N, N), rows being the current step.

    `smoothing` is added to every count. The default leaves rows with counts unchanged to print precision; 1
    is what SCHEMA uses on COIN. A class never seen as a source gets a uniform row, also without smoothing.
    Never NaN.

    Raises:
        ValueError: The counts are not square or hold a negative or non-finite number.
    """
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"transition counts are (N, N), but got {tuple(counts.shape)}")
    if smoothing < 0 or not bool((counts >= 0).all()) or not bool(counts.isfinite().all()):
        raise ValueError(f"transition counts and smoothing ({smoothing}) must be finite and not negative")
    smoothed = counts.double() + smoothing
    total = smoothed.sum(1, keepdim=True)
    probabilities = torch.where(total > 0, smoothed / total, 1 / len(counts))
    return probabilities.log().float()


@torch.no_grad()  # type: ignore[untyped-decorator]
def viterbi(log_emissions: Tensor, log_transitions: Tensor, log_initial: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the best plans (B, T) and their log scores (B,) under a Markov chain over steps.

    The score of a plan a is log_initial[a_0] + sum_t log_emissions[t, a_t] + sum_{t>0} log_transitions[a_{t-1},
    a_t] (SCHEMA's decoder in log space). Among equal scores the lowest class id wins at every argmax.

    Args:
        log_emissions: (B, T, N), usually `logits.log_softmax(-1)`. -inf forbids a step.
        log_transitions: (N, N), from row to column. -inf forbids a transition.
        log_initial: (N,), uniform (-log N) if not given.

    Raises:
        DataError: An emission or a transition is NaN.
        ValueError: The shapes do not fit.
    """
    emissions, transitions = check_chain(log_emissions, log_transitions)
    observed = emissions.permute(1, 2, 0).contiguous()  # (T, N, B): samples innermost
    best = [observed[0] + initial_scores(log_initial, emissions)[:, None]]
    advance = _quicker_max_plus(transitions) if len(observed) > 1 else None
    for step in range(1, len(observed)):
        assert advance is not None
        best.append(advance(best[-1]).add_(observed[step]))
    score, last = best[-1].max(0)
    _refuse_nan(score[:, None], "log emissions or transitions")  # every NaN reaches the last maximum
    return _trace_back(best, transitions, last), score


def _trace_back(best: list[Tensor], transitions: Tensor, last: Tensor) -> Tensor:
    """Follow the best predecessors from `last` (B,) back to the first step.

    They are found again from the stored scores, for one class per sample: keeping them would cost the forward
    scan an argmax over all classes.
    """
    plan = [last]
    for scores in reversed(best[:-1]):
        plan.append((scores + transitions.index_select(1, plan[-1])).max(0).indices)  # the first of equals
    return torch.stack(plan[::-1], dim=1)


def _quicker_max_plus(transitions: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the quicker of `max_plus` and `max_plus_sparse` for these transitions. Both are exact.

    In smoothed counts all transitions out of a class that were never seen share one value, the row's minimum,
    and few were seen: 1 to 10 % of those of a real vocabulary.
    """
    floor = transitions.amin(1)
    seen = transitions > floor[:, None]
    degree = seen.sum(0)  # (N,) seen sources of each target
    widest = int(degree.max())
    if 4 * widest > len(transitions):
        return partial(max_plus, transitions=transitions)
    target, source = seen.T.nonzero().unbind(1)  # ascending by target
    slot = torch.arange(len(target), device=target.device) - (degree.cumsum(0) - degree)[target]
    sources = torch.zeros(widest, len(seen), dtype=torch.int64, device=target.device)
    sources[slot, target] = source  # an unused slot names class 0, which is a true source as well
    values = transitions.gather(0, sources)
    return partial(max_plus_sparse, floor=floor, sources=sources, values=values)


def max_plus_sparse(scores: Tensor, floor: Tensor, sources: Tensor, values: Tensor) -> Tensor:
    """`max_plus` for transitions of which each row has one smallest value, `floor` (N,), and few larger ones.

    max_i (scores[i] + A[i, j]) is the larger of max_i (scores[i] + floor[i]), the same for all j, and the
    maximum over the K `sources` (K, N) of j with their `values` (K, N): N * K sums instead of N * N.
    """
    best = (scores + floor[:, None]).amax(0).expand_as(scores).contiguous()
    for source, value in zip(sources, values, strict=True):
        torch.maximum(best, scores.index_select(0, source).add_(value[:, None]), out=best)
    return best


def max_plus(scores: Tensor, transitions: Tensor) -> Tensor:
    """Return max_i (scores[i, b] + transitions[i, j]) (N, B), a matrix product with (max, +) for (+, x).

    The (B, N, N) tensor of all sums never exists: a block of it, (targets, sources, samples), is filled and
    reduced in place. Blocks of 1 MB stay in the cache of a CPU core.
    """
    kind = scores.device.type
    classes, samples = scores.shape
    tile = max(1, min(samples, TILE_SAMPLES.get(kind, 1024)))
    block = max(1, min(classes, BLOCK_ELEMENTS.get(kind, 2**22) // (tile * classes)))
    into = transitions.T.contiguous()[:, :, None]  # (targets, sources, 1)
    best = torch.empty_like(scores)
    sums = scores.new_empty(block, classes, tile)
    for first in range(0, samples, tile):
        columns = scores[:, first : first + tile].contiguous()  # (sources, samples)
        for target in range(0, classes, block):
            rows = into[target : target + block]
            part = sums[: len(rows), :, : columns.shape[1]]
            torch.add(columns, rows, out=part)
            torch.amax(part, dim=1, out=best[target : target + block, first : first + tile])
    return best


def check_chain(log_emissions: Tensor, log_transitions: Tensor) -> tuple[Tensor, Tensor]:
    """Return both, (B, T, N) and (N, N), in float32 (float64 stays), after a look at their shapes.

    Raises:
        ValueError: The shapes do not fit.
    """
    if log_emissions.ndim != 3 or log_transitions.shape != (log_emissions.shape[2],) * 2:
        raise ValueError(
            f"log emissions are (B, T, N) and log transitions (N, N), "
            f"but got {tuple(log_emissions.shape)} and {tuple(log_transitions.shape)}"
        )
    if log_emissions.shape[1] < 1:
        raise ValueError("a plan has at least one step, but the log emissions have none")
    dtype = torch.float64 if log_emissions.dtype == torch.float64 else torch.float32
    return log_emissions.to(dtype), log_transitions.to(log_emissions.device, dtype)


def initial_scores(log_initial: Tensor | None, emissions: Tensor) -> Tensor:
    """Return the log prior (N,) of the first step: `log_initial`, or uniform."""
    classes = emissions.shape[-1]
    if log_initial is None:
        return emissions.new_full((classes,), 1 / classes).log()
    if log_initial.shape != (classes,):
        raise ValueError(f"log_initial is ({classes},), but got {tuple(log_initial.shape)}")
    return log_initial.to(emissions)


def _refuse_nan(scores: Tensor, name: str) -> None:
    bad = scores.isnan().flatten(1).any(1)
    if bool(bad.any()):
        rows = bad.nonzero()[:, 0]
        raise DataError(
            f"{name} are NaN in {len(rows)} of {len(scores)} samples (first: row {int(rows[0])})",
            "Check the features with `leaplan check-data`; if they are fine, lower the learning rate",
        )

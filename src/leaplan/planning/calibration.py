"""Does a plan of probability 0.8 come true in 8 of 10 windows? How to make it so, and how to measure it.

Shapes: B windows, T steps, N step classes, M judged plans or steps.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from leaplan.errors import DataError
from leaplan.planning.chain import chain_log_marginals, crf_negative_log_likelihood
from leaplan.planning.decoding import viterbi

LOWEST, HIGHEST = 0.02, 50.0  # exponents that are tried
BLOCK_WINDOWS = 1024


class PlanConfidence(NamedTuple):
    """What a chain says about its own plans."""

    plan: Tensor  # (B, T), the Viterbi plan
    probability: Tensor  # (B,), of that plan among all N^T
    step: Tensor  # (B, T), the likeliest class of each step on its own
    step_probability: Tensor  # (B, T), of that class, whatever the other steps are


class Reliability(NamedTuple):
    """A reliability diagram: bins of equal width from 0 to 1, each closed below, the last one also above."""

    count: Tensor  # (bins,) int64
    confidence: Tensor  # (bins,) float64, the mean of what was claimed; NaN in an empty bin
    accuracy: Tensor  # (bins,) float64, the share that came true; NaN in an empty bin


@torch.no_grad()  # type: ignore[untyped-decorator]
def fit_temperature(log_emissions: Tensor, log_transitions: Tensor, steps: Tensor) -> float:
    """Return the exponent of the step probabilities under which the true plans are likeliest. Use validation data.

    It is the inverse of a temperature, and what `PlanningModule` calls `sharpen`: above 1 the steps are made surer.
    The negative log-likelihood is convex in it, so its smallest value is found by golden sections of a bracket.

    Args:
        log_emissions: (B, T, N), before any sharpening.
        log_transitions: (N, N), from row to column.
        steps: (B, T), the true plans.

    Returns:
        A number from 0.02 to 50; the ends mean that the steps tell nothing, or are never wrong.

    Raises:
        DataError: A true plan has probability 0, or a log emission is NaN.
        ValueError: There is no window.
    """
    if not len(steps):
        raise ValueError("a temperature is fitted on at least one window, but there is none")

    def unlikelihood(log_exponent: float) -> float:
        blocks = zip(log_emissions.split(BLOCK_WINDOWS), steps.split(BLOCK_WINDOWS), strict=True)
        exponent = math.exp(log_exponent)
        each = [crf_negative_log_likelihood(exponent * e.double(), log_transitions, s) for e, s in blocks]
        return float(torch.cat(each).mean())

    if not math.isfinite(unlikelihood(0.0)):
        raise DataError(
            "a true plan has probability 0 under emissions and transitions, so no temperature fits",
            "Smooth the transitions (`--model.smoothing 0.001`), and check the features with `leaplan check-data`",
        )
    return math.exp(_lowest(unlikelihood, math.log(LOWEST), math.log(HIGHEST)))


def _lowest(height: Callable[[float], float], left: float, right: float, tolerance: float = 1e-4) -> float:
    """Return where a function of one valley is lowest between `left` and `right`, by golden sections."""
    share = (math.sqrt(5) - 1) / 2
    inner = [right - share * (right - left), left + share * (right - left)]
    heights = [height(inner[0]), height(inner[1])]
    while right - left > tolerance:
        if heights[0] <= heights[1]:
            right, inner[1], heights[1] = inner[1], inner[0], heights[0]
            inner[0] = right - share * (right - left)
            heights[0] = height(inner[0])
        else:
            left, inner[0], heights[0] = inner[0], inner[1], heights[1]
            inner[1] = left + share * (right - left)
            heights[1] = height(inner[1])
    return (left + right) / 2


@torch.no_grad()  # type: ignore[untyped-decorator]
def plan_confidence(log_emissions: Tensor, log_transitions: Tensor) -> PlanConfidence:
    """Return the Viterbi plans and the likeliest single steps, with their probabilities under the chain.

    Args:
        log_emissions: (B, T, N), sharpened if they are to be.
        log_transitions: (N, N), from row to column.
    """
    plan, _ = viterbi(log_emissions, log_transitions)
    unlikelihood = crf_negative_log_likelihood(log_emissions, log_transitions, plan)
    likeliest = chain_log_marginals(log_emissions, log_transitions).max(-1)
    probability, step_probability = (each.exp().clamp(max=1) for each in (-unlikelihood, likeliest.values))
    return PlanConfidence(plan, probability, likeliest.indices, step_probability)


def calibrate(
    log_emissions: Tensor, log_transitions: Tensor, steps: Tensor, plans: Tensor, sharpen: float
) -> dict[str, float | str]:
    """Return the exponent fitted on a split, and the calibration error of `plans` before and after.

    Args:
        log_emissions: (M, T, N), before any sharpening.
        log_transitions: (N, N), from row to column.
        steps: (M, T), the true plans.
        plans: (M, T), the decoded ones.
        sharpen: The exponent that they were decoded with.
    """
    exponent = fit_temperature(log_emissions, log_transitions, steps)
    correct = (plans == steps).all(1)
    errors = []
    for power in (sharpen, exponent):
        sharpened = (power * log_emissions).log_softmax(-1)
        confidence = (-crf_negative_log_likelihood(sharpened, log_transitions, plans)).exp().clamp(max=1)
        errors.append(float(expected_calibration_error(confidence, correct)))
    return {"of": "viterbi", "exponent": exponent, "ece_as_decoded": errors[0], "ece": errors[1]}


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> Tensor:
    """Return the mean distance between claimed and true success, a fraction (float64 scalar).

    Each of the `bins` of `reliability` counts by its share of the M plans. (Guo et al., 2017, Eq. 5)
    """
    table = reliability(confidence, correct, bins)
    gaps = (table.accuracy - table.confidence).abs().nan_to_num()
    return (table.count * gaps).sum() / table.count.sum()


def reliability(confidence: Tensor, correct: Tensor, bins: int = 15) -> Reliability:
    """Return how many plans fall into each bin of confidence, what they claimed, and how many came true.

    Args:
        confidence: (M,), from 0 to 1.
        correct: (M,) bool, or 0 and 1.
        bins: How many, of equal width.

    Raises:
        ValueError: The shapes differ, there is no plan, or a confidence is outside 0 to 1.
    """
    if confidence.ndim != 1 or correct.shape != confidence.shape or not len(confidence) or bins < 1:
        raise ValueError(
            f"confidence and correct are (M,) with M > 0 and bins at least 1, "
            f"but got {tuple(confidence.shape)}, {tuple(correct.shape)} and {bins}"
        )
    claimed = confidence.double()
    if not bool(((claimed >= 0) & (claimed <= 1)).all()):
        raise ValueError(f"a confidence is a probability, but they go from {claimed.min():g} to {claimed.max():g}")
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=claimed.device)
    place = torch.bucketize(claimed.contiguous(), edges[1:-1], right=True)
    count = torch.bincount(place, minlength=bins)
    sums = (torch.bincount(place, weights=each.double(), minlength=bins) for each in (claimed, correct))
    mean_confidence, accuracy = (each / count for each in sums)  # 0 / 0 is NaN
    return Reliability(count, mean_confidence, accuracy)

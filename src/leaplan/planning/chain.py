"""A linear chain over steps: its likelihood as a loss, its marginals, and exact samples.

The chain gives a plan a the weight
exp(log_initial[a_0] + sum_t log_emissions[t, a_t] + sum_{t>0} log_transitions[a_{t-1}, a_t]).
Sums over all N^T plans are products of matrices, with no (B, N, N) tensor.
Shapes: B samples, T steps, N step classes.
"""

import torch
from torch import Tensor

from leaplan.planning.decoding import check_chain, initial_scores


def crf_negative_log_likelihood(
    log_emissions: Tensor, log_transitions: Tensor, steps: Tensor, log_initial: Tensor | None = None
) -> Tensor:
    """Return -log P(steps) (B,) under the chain: Viterbi as a training loss, differentiable in every score.

    -log P = log(sum of the weights of all plans) - log(weight of `steps`) >= 0, by the forward algorithm.

    Args:
        log_emissions: (B, T, N), logits or log-probabilities.
        log_transitions: (N, N), from row to column. A true plan over a transition of -inf costs infinity.
        steps: (B, T), the true plans.
        log_initial: (N,), uniform if not given.
    """
    emissions, transitions = check_chain(log_emissions, log_transitions)
    initial = initial_scores(log_initial, emissions)
    log_partition = _forward(emissions, transitions, initial)[-1].logsumexp(-1)
    emitted = emissions.gather(2, steps[:, :, None])[:, :, 0].sum(1)
    moved = transitions[steps[:, :-1], steps[:, 1:]].sum(1)
    return log_partition - (initial[steps[:, 0]] + emitted + moved)


def chain_log_marginals(
    log_emissions: Tensor,
    log_transitions: Tensor,
    log_initial: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Return log P(a_t = c) (B, T, N) under the chain, differentiable: a soft Viterbi path.

    Scores are divided by `temperature`. Towards 0 the marginals become the one-hot Viterbi path, as the smoothed
    maximum, temperature * logsumexp(scores / temperature), becomes the maximum. Cross entropy on them is a loss
    per step; `crf_negative_log_likelihood` is one per plan.
    """
    emissions, transitions = check_chain(log_emissions / temperature, log_transitions / temperature)
    initial = initial_scores(log_initial, emissions)
    initial = initial if log_initial is None else initial / temperature
    forward = _forward(emissions, transitions, initial)
    into, backward = _LogMatrix(transitions.T), [torch.zeros_like(emissions[:, 0])]
    for step in range(emissions.shape[1] - 1, 0, -1):
        backward.append(into.after(backward[-1] + emissions[:, step]))
    return (torch.stack(forward, 1) + torch.stack(backward[::-1], 1)).log_softmax(-1)


def _forward(emissions: Tensor, transitions: Tensor, initial: Tensor) -> list[Tensor]:
    """T log messages (B, N): the log weight of all beginnings of a plan that end in a class."""
    matrix = _LogMatrix(transitions)
    messages = [emissions[:, 0] + initial]
    for step in range(1, emissions.shape[1]):
        messages.append(matrix.after(messages[-1]) + emissions[:, step])
    return messages


class _LogMatrix:
    """exp(log_matrix) (N, M), ready to be multiplied from the left in log space.

    Columns and rows are divided by their largest entry before exp, and the product is held above the smallest
    normal number: nothing overflows, no log of 0 appears, and gradients stay finite, also with entries of -inf.
    Contributions more than 87 nats (float32) below the largest are lost.
    """

    def __init__(self, log_matrix: Tensor) -> None:
        self.scale = _finite_max(log_matrix, 0)  # (1, M)
        self.matrix = (log_matrix - self.scale).exp()

    def after(self, log_rows: Tensor) -> Tensor:
        """Return log(exp(log_rows) @ exp(log_matrix)) (B, M) for `log_rows` (B, N)."""
        scale = _finite_max(log_rows, 1)  # (B, 1)
        with torch.autocast(log_rows.device.type, enabled=False):
            product = (log_rows - scale).exp() @ self.matrix
        return product.clamp(min=torch.finfo(product.dtype).tiny).log() + scale + self.scale


def _finite_max(scores: Tensor, dim: int) -> Tensor:
    """Largest entry along `dim`, kept; 0 where all are -inf. Constant for the gradient: it cancels out."""
    largest = scores.detach().amax(dim, keepdim=True)
    return torch.where(largest.isfinite(), largest, 0)


def sample_plans(
    log_emissions: Tensor,
    log_transitions: Tensor | None,
    count: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw `count` plans (B, count, T) per sample, from the chain or, without transitions, step by step.

    The draws depend on the batch's composition. For draws that do not, see `uniforms_of_samples`.
    """
    device = generator.device if generator is not None else log_emissions.device
    shape = (log_emissions.shape[0], count, log_emissions.shape[1])
    uniforms = torch.rand(shape, generator=generator, device=device, dtype=torch.float64)
    return plans_from_uniforms(log_emissions, log_transitions, uniforms)


def uniforms_of_samples(index: Tensor, count: int, steps: int, seed: int) -> Tensor:
    """Return numbers (B, count, steps) in [0, 1), a function of (seed, sample index, draw, step) alone.

    So a sample gets the same plans in any batch, order and process. (SplitMix64 of the position.)
    """
    position = torch.arange(count * steps, device=index.device)
    state = _mix(_mix(index[:, None] + seed * 0x632BE59B) + position)
    return ((state >> 11) & (2**53 - 1)).double().mul(2.0**-53).reshape(len(index), count, steps)


def _mix(state: Tensor) -> Tensor:
    """SplitMix64's step on int64, whose products wrap around; the shifts are made logical by masks."""
    state = state * -7046029254386353131 + -7046029254386353131
    state = (state ^ ((state >> 30) & (2**34 - 1))) * -4658895280553007687
    state = (state ^ ((state >> 27) & (2**37 - 1))) * -7723592293110705685
    return state ^ ((state >> 31) & (2**33 - 1))


@torch.no_grad()  # type: ignore[untyped-decorator]
def plans_from_uniforms(log_emissions: Tensor, log_transitions: Tensor | None, uniforms: Tensor) -> Tensor:
    """Turn uniform numbers (B, S, T) in [0, 1) into S plans (B, S, T) per sample of the chain.

    Forward filtering, backward sampling, each step by inverting its cumulative distribution in float64. Draws
    that share their sample and next step share their distribution, which is then computed once.
    """
    emissions = log_emissions.double()
    uniforms = uniforms.to(emissions.device, torch.float64).clamp(max=1 - 1e-9)
    batch, count, steps = uniforms.shape
    sample = torch.arange(batch, device=emissions.device).repeat_interleave(count)  # (B * S,)
    draws = uniforms.reshape(-1, steps)
    if log_transitions is None:
        plan = [_draw(emissions[:, step], sample, draws[:, step]) for step in range(steps)]
        return torch.stack(plan, dim=1).reshape(batch, count, steps)
    emissions, transitions = check_chain(emissions, log_transitions)
    forward = _forward(emissions, transitions, emissions.new_zeros(emissions.shape[2]))
    plan = [_draw(forward[-1], sample, draws[:, -1])]
    into = transitions.T.contiguous()
    for step in range(steps - 2, -1, -1):
        key, row = (sample * len(into) + plan[-1]).unique(return_inverse=True)
        plan.append(_draw_blockwise(forward[step], into, key, row, draws[:, step]))
    return torch.stack(plan[::-1], dim=1).reshape(batch, count, steps)


def _draw_blockwise(message: Tensor, into: Tensor, key: Tensor, row: Tensor, draws: Tensor) -> Tensor:
    """Draw each predecessor given its pair (sample, next step): number `row` of the sorted pairs `key`."""
    classes = len(into)
    block = max(1, 2**22 // classes)
    chosen = torch.empty_like(row)
    order = row.argsort(stable=True)
    sizes = torch.bincount(row, minlength=len(key)).split(block)
    for number, mine in enumerate(order.split([int(size.sum()) for size in sizes])):
        first = number * block
        pairs = key[first : first + block]
        log_weights = message[pairs // classes] + into[pairs % classes]
        chosen[mine] = _draw(log_weights, row[mine] - first, draws[mine])
    return chosen


def _draw(log_weights: Tensor, row: Tensor, uniforms: Tensor) -> Tensor:
    """Draw class ids (M,) from the rows `row` (M,) of `log_weights` (R, N) by one search.

    Row r's cumulative distribution is shifted by r, so that all of them are one ascending vector.
    """
    cumulative = log_weights.softmax(-1).cumsum(-1)
    cumulative = cumulative / cumulative[:, -1:]
    offsets = torch.arange(len(cumulative), device=row.device)
    ascending = (cumulative + offsets[:, None]).reshape(-1)
    found = torch.searchsorted(ascending, uniforms + row, right=True)
    return found - row * log_weights.shape[1]

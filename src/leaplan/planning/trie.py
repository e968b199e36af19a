"""The likeliest plans under a language model that may write nothing but plans (PlanLLM, Eq. 10, constrained).

A plan's probability is the product, over the tokens of its caption, of the language model's probability renormalised
over the tokens that the grammar allows there: opening, T labels with commas between them, closing. Forced tokens
contribute nothing. So the probabilities of all N^T plans add up to one, and any label set will do.

Shapes: B windows, P prompt tokens, H width of the language model, A alternatives, T steps, N labels, L caption tokens,
W tokens of the longest label, J children of a node.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from leaplan.errors import ConfigError
from leaplan.planning.captions import PlanCaptions
from leaplan.planning.counting import PAD
from leaplan.planning.label_trie import copy_rows, label_log_probabilities, logits_per_pass
from leaplan.planning.trie_search import PlanSearch


class TriePlans(NamedTuple):
    """Plans in falling order of probability; where fewer than A were found, `PAD` and -inf stand in for them."""

    plans: Tensor  # (B, A, T)
    log_probability: Tensor  # (B, A)
    certain: Tensor  # (B,) True where the first plan is proven to be the likeliest of all N^T
    expansions: Tensor  # (B,) beginnings of plans behind which all labels were scored


@torch.no_grad()  # type: ignore[untyped-decorator]
def best_plans(
    model: Any, prompt: Tensor, captions: PlanCaptions, horizon: int, *, alternatives: int = 1, budget: int = 64
) -> TriePlans:
    """Return the likeliest plans behind prompt embeddings (B, P, H).

    The prompts are read once. The search goes best first, with one expansion of every window per round, so a
    window's result does not depend on the batch it is in.

    Args:
        model: Causal language model of transformers, or a PeftModel of one, in eval mode.
        prompt: (B, P, H).
        captions: Labels and how they are written.
        horizon: T.
        alternatives: A.
        budget: Expansions per window; at least T are made.

    Raises:
        ConfigError: The model's attention or context does not do.
    """
    cache, _ = read_prompt(model, prompt, captions, horizon)
    searches = [PlanSearch(horizon, alternatives, budget) for _ in prompt]
    while waiting := [(row, steps) for row, search in enumerate(searches) if (steps := search.next()) is not None]:
        rows = [row for row, _ in waiting]
        beginnings = [captions.beginning(steps) for _, steps in waiting]
        scores = label_log_probabilities(model, cache, rows, beginnings, captions.trie)  # (R, N)
        ranked, order = (part.cpu().numpy() for part in scores.double().sort(dim=1, descending=True, stable=True))
        for number, row in enumerate(rows):
            searches[row].expand(order[number], ranked[number])
    return _gather(searches, horizon, alternatives, prompt.device)


def _gather(searches: list[PlanSearch], horizon: int, alternatives: int, device: torch.device) -> TriePlans:
    plans = torch.full((len(searches), alternatives, horizon), PAD)
    scores = torch.full((len(searches), alternatives), -torch.inf, dtype=torch.float64)
    for row, search in enumerate(searches):
        for rank, (negative, steps) in enumerate(search.found):
            plans[row, rank], scores[row, rank] = torch.tensor(steps), -negative
    certain = torch.tensor([search.certain for search in searches], dtype=torch.bool)
    expansions = torch.tensor([search.expansions for search in searches], dtype=torch.int64)
    return TriePlans(plans.to(device), scores.float().to(device), certain.to(device), expansions.to(device))


@torch.no_grad()  # type: ignore[untyped-decorator]
def score_plans(model: Any, prompt: Tensor, captions: PlanCaptions, plans: Tensor) -> tuple[Tensor, Tensor]:
    """Return two log-probabilities (B, A) of given plans, by teacher forcing: constrained, and raw.

    The constrained one is that of `best_plans`. The raw one is the model's log-probability of all tokens of the
    caption, among all words it knows; what it lacks to one over all plans went to other texts.

    Args:
        model, prompt, captions: As for `best_plans`.
        plans: (B, A, T).
    """
    cache, first = read_prompt(model, prompt, captions, plans.shape[-1])
    alternatives = plans.shape[1]
    flat = plans.flatten(0, 1)  # (B A, T)
    ids, mask = captions.encode(flat)  # (B A, L)
    block = max(1, logits_per_pass(model.device) // (ids.shape[1] * first.shape[-1]))
    constrained, raw = [], []
    for start in range(0, len(flat), block):
        part = slice(start, min(start + block, len(flat)))
        rows = [row // alternatives for row in range(part.start, part.stop)]
        behind = model(input_ids=ids[part], past_key_values=copy_rows(cache, rows), use_cache=True).logits
        logits = torch.cat([first[rows], behind[:, :-1]], dim=1)  # (R, L, V), each predicts the token at its place
        logits = logits if logits.dtype == torch.float64 else logits.float()
        said = logits.gather(2, ids[part, :, None])[..., 0] - logits.logsumexp(-1)  # (R, L)
        raw.append((said * mask[part]).sum(1))
        constrained.append(renormalised(logits, flat[part], captions))
    shape = plans.shape[:2]
    return torch.cat(constrained).view(shape), torch.cat(raw).view(shape)


def renormalised(logits: Tensor, plans: Tensor, captions: PlanCaptions) -> Tensor:
    """Return log-probabilities (R,) of plans (R, T), among allowed tokens only, from logits (R, L, V)."""
    trie = captions.trie
    child, choice, pick = (table.to(logits.device) for table in (trie.child, trie.choice, trie.pick))
    if not len(child):
        return logits.new_zeros(len(plans))
    starts = captions.starts(plans)  # (R, T)
    places = (starts[..., None] + torch.arange(choice.shape[1], device=plans.device)).clamp_max(logits.shape[1] - 1)
    chosen, picked = choice[plans], pick[plans]  # (R, T, W), -1 where a token is forced
    allowed = child[chosen.clamp_min(0)]  # (R, T, W, J)
    row = torch.arange(len(plans), device=plans.device)[:, None, None, None]
    among = logits[row, places[..., None], allowed.clamp_min(0)].masked_fill(allowed < 0, -torch.inf)
    each = among.log_softmax(-1).gather(-1, picked.clamp_min(0)[..., None])[..., 0]  # (R, T, W)
    return each.where(chosen >= 0, 0.0).sum((1, 2))


def read_prompt(model: Any, prompt: Tensor, captions: PlanCaptions, horizon: int) -> tuple[Any, Tensor]:
    """Return the cache of a pass over prompts (B, P, H) and the logits (B, 1, V) of what comes next.

    Raises:
        ConfigError: The model's attention or context does not do.
    """
    _refuse_unfit(model, captions, prompt.shape[1], horizon)
    from transformers import DynamicCache

    prompt = prompt.to(model.get_input_embeddings().weight.dtype)
    output = model(inputs_embeds=prompt, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1)
    if output.logits.shape[1] != 1:
        raise ConfigError(f"{type(model).__name__} cannot keep to the logits asked for", "Use Llama, Qwen or Mistral")
    return output.past_key_values, output.logits


def _refuse_unfit(model: Any, captions: PlanCaptions, prompt_length: int, horizon: int) -> None:
    config = model.config.get_text_config()
    if hasattr(config, "max_position_embeddings"):
        captions.refuse_longer_than(config.max_position_embeddings, prompt_length, horizon)
    if model.config._attn_implementation not in ("sdpa", "eager"):
        raise ConfigError(
            f"attention '{model.config._attn_implementation}' takes no mask of its own for every token, "
            "which scoring all labels at once needs",
            "Load the language model with attention 'sdpa'",
        )
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None) if kinds <= {"full_attention", "sliding_attention"} else 0
    needed = prompt_length + captions.longest(horizon)
    if window is not None and needed > window:
        raise ConfigError(
            f"the language model does not see all {needed} tokens of prompt and plan in all its layers",
            "Take one whose layers all have full attention",
        )

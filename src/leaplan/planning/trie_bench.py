"""How much faster a trie of labels is than reading prompt and label anew for every label.

Shapes: B windows, P prompt tokens, H width of the language model, N labels, L caption tokens.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from leaplan.measuring import seconds_of
from leaplan.planning.captions import PlanCaptions
from leaplan.planning.label_trie import label_log_probabilities
from leaplan.planning.trie import read_prompt, renormalised

WIDTH, LAYERS, HEADS, WORDS = 128, 4, 4, 1024
VERBS, ADJECTIVES, NOUNS = 24, 30, 120  # what labels are made of


def trie_against_reencoding(
    labels: int = 133, windows: int = 4, prompt_tokens: int = 40, repeats: int = 5
) -> dict[str, Any]:
    """Return seconds to score all labels as first step of all windows, with the trie and by reading all anew.

    Seconds, tokens a second and the ratio are of each repeat. Reading the prompts counts on both sides. The model is a
    Llama of about one million weights, untrained; labels are made of 3 to 8 tokens and share verbs, as those of real
    vocabularies do.

    Args:
        labels, windows, prompt_tokens: N, B, P.
        repeats: How many calls.
    """
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model, captions = _small_model(), _made_captions(labels)
        prompt = torch.randn(windows, prompt_tokens, WIDTH)
    rows, openings = range(windows), [captions.beginning(())] * windows

    def trie() -> Tensor:
        cache, _ = read_prompt(model, prompt, captions, 1)
        return label_log_probabilities(model, cache, rows, openings, captions.trie)

    with torch.no_grad():
        difference = (trie() - reencode_scores(model, prompt, captions)).abs().max().item()
        once = seconds_of(trie, repeats)
        anew = seconds_of(lambda: reencode_scores(model, prompt, captions), repeats)
    tokens = windows * sum(map(len, captions.pieces))
    return {
        "labels": labels,
        "windows": windows,
        "prompt_tokens": prompt_tokens,
        "label_tokens": sum(map(len, captions.pieces)),
        "nodes": captions.trie.nodes,
        "nodes_run": len(captions.trie.token),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "trie_s": once,
        "reencoding_s": anew,
        "trie_tokens_per_s": tuple(tokens / seconds for seconds in once),
        "ratio": tuple(slow / fast for slow, fast in zip(anew, once, strict=True)),
        "difference": difference,
    }


@torch.no_grad()  # type: ignore[untyped-decorator]
def reencode_scores(model: Any, prompt: Tensor, captions: PlanCaptions, steps: Sequence[int] = ()) -> Tensor:
    """Return log-probabilities (B, N) of the plans `steps` plus one label behind prompts (B, P, H), without a cache.

    Every label is one sequence of prompt, plan and label; those of one window are one batch.
    """
    count = len(captions.labels)
    plans = torch.tensor([[*steps, label] for label in range(count)], device=prompt.device)  # (N, T)
    ids, _ = captions.encode(plans)  # (N, L)
    read = model.get_input_embeddings()(ids[:, : -len(captions.closing)])
    rows = []
    for window in prompt:
        whole = torch.cat([window.expand(count, -1, -1), read], dim=1)
        logits = model(inputs_embeds=whole, use_cache=False, logits_to_keep=read.shape[1] + 1).logits
        rows.append(renormalised(logits, plans, captions))
    return torch.stack(rows)


def _small_model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        intermediate_size=344,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval()


def _made_captions(labels: int) -> PlanCaptions:
    """Return captions of made-up labels such as "v3 a7 n20", one token per word, space or sign."""
    texts: dict[str, None] = {}
    while len(texts) < labels:
        words = [f"v{_draw(VERBS)}", *(f"a{_draw(ADJECTIVES)}" for _ in range(_draw(5))), f"n{_draw(NOUNS)}"]
        texts["_".join(words[_draw(2) :])] = None
    ids: dict[str, int] = {}
    return PlanCaptions(list(texts), lambda text: [ids.setdefault(w, len(ids) + 1) for w in _words(text)], 0)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+|[^a-z0-9_]", text)


def _draw(count: int) -> int:
    return int(torch.randint(count, ()))

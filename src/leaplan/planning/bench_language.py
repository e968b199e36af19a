"""`leaplan bench language`: a trie of labels against reading label by label, and the memory of a 7B model."""

import argparse

import torch

from leaplan.measuring import Figure, Measurement
from leaplan.planning.bench import add_torch_options

EXAMPLES = "example: leaplan bench language --repeats 3 --json bench.json"
BATCH, TOKENS, RANK = 8, 192, 16  # of the memory plan: a prompt of 100 tokens and a caption of 92; LoRA


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what this benchmark takes."""
    add_torch_options(parser)


def measure(options: argparse.Namespace) -> Measurement:
    """Measure scoring along the trie, and work out the memory of a 7B model."""
    from leaplan.planning.trie_bench import trie_against_reencoding

    torch.set_num_threads(options.threads)
    row = trie_against_reencoding(repeats=options.repeats)
    title = (
        f"first step of {row['windows']} windows, {row['labels']} labels, prompt of {row['prompt_tokens']} tokens, "
        f"Llama of {row['parameters'] / 1e6:.2f} M\nmemory, worked out, not measured: 7B Llama, bfloat16, B = {BATCH}, "
        f"{TOKENS} tokens, gradient checkpointing, LoRA r={RANK}"
    )
    figures = [
        Figure("scoring: along the trie", row["trie_s"], "s", "lower"),
        Figure("scoring: each label anew", row["reencoding_s"], "s"),
        Figure("scoring: times faster", row["ratio"], "", "higher"),
        Figure("scoring: label tokens along the trie", row["trie_tokens_per_s"], "tokens/s", "higher"),
        Figure("scoring: largest difference of log-probabilities", (row["difference"],), "", "lower"),
    ]
    return Measurement(title, figures + _memory())


def _memory() -> list[Figure]:
    """Return what each way of learning keeps in memory."""
    from leaplan.text.causal import Learns, Lora
    from leaplan.text.memory import SEVEN_B, memory_plan

    ways: tuple[Learns, ...] = ("frozen", "lora", "full")
    plans = {
        learns: memory_plan(
            SEVEN_B, lora=Lora(rank=RANK), learns=learns, batch=BATCH, tokens=TOKENS, dtype="bfloat16",
            gradient_checkpointing=True,
        )
        for learns in ways
    }  # fmt: skip
    return [
        Figure(f"LLM of 7B, {learns}: {name}", (size / 2**30,), "GiB", "lower")
        for learns, plan in plans.items()
        for name, size in plan.rows()
        if size
    ]

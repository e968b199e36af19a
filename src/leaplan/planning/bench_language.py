"""`leaplan bench language`: a trie of labels against reading label by label, and the memory of a 7B model."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from leaplan.planning.trie_bench import trie_against_reencoding
from leaplan.text.causal import Learns, Lora
from leaplan.text.memory import SEVEN_B, MemoryPlan, memory_plan

BATCH, TOKENS = 8, 192  # of the memory plan: a prompt of 100 tokens and a caption of 92
LORA = Lora(rank=16)
LEARNS: tuple[Learns, ...] = ("frozen", "lora", "full")


def run(repeats: int) -> dict[str, Any]:
    """Measure, print, and return the figures."""
    trie = trie_against_reencoding(repeats=repeats)
    _print_trie(trie)
    plans = {
        learns: memory_plan(
            SEVEN_B, lora=LORA, learns=learns, batch=BATCH, tokens=TOKENS, dtype="bfloat16",
            gradient_checkpointing=True,
        )
        for learns in LEARNS
    }  # fmt: skip
    _print_memory(plans)
    return {"trie": trie, "memory": {name: dict(plan.rows()) for name, plan in plans.items()}}


def _print_trie(row: dict[str, float]) -> None:
    table = Table(
        "scoring the first step",
        "seconds",
        "label tokens/s",
        title=f"{row['labels']} labels, {row['windows']} windows, prompt of {row['prompt_tokens']} tokens, "
        f"Llama of {row['parameters'] / 1e6:.2f} M",
    )
    table.add_row("trie, one prompt cache", f"{row['trie_s']:.3f}", f"{row['trie_tokens_per_s']:,.0f}")
    table.add_row("each label anew", f"{row['reencoding_s']:.3f}", f"{row['reencoding_tokens_per_s']:,.0f}")
    Console().print(table)
    print(f"{row['ratio']:.0f} times faster; the log-probabilities differ by at most {row['difference']:.1e}")


def _print_memory(plans: Mapping[Learns, MemoryPlan]) -> None:
    table = Table(
        "GiB",
        *(f"LLM {name}" for name in plans),
        title=f"7B Llama, bfloat16, B = {BATCH}, {TOKENS} tokens, gradient checkpointing, LoRA r={LORA.rank}",
    )
    for number, (name, _) in enumerate(next(iter(plans.values())).rows()):
        table.add_row(name, *(f"{plan.rows()[number][1] / 2**30:.2f}" for plan in plans.values()))
    Console().print(table)

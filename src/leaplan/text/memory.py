"""How much memory a language model takes, worked out on the meta device: shapes only, nothing is allocated.

Shapes: B sequences, L tokens, V tokens of the vocabulary. All sizes are in bytes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from leaplan.text.causal import Learns, Lora, Precision, add_lora

SEVEN_B = LlamaConfig(
    vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=32, max_position_embeddings=4096, tie_word_embeddings=False,
)  # fmt: skip
"""The shape of Vicuna-7B."""
FOUR_BIT = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes per weight of NF4: half a byte, one byte per 64 weights for their scale, four per 256 scales."""


class MemoryPlan(NamedTuple):
    """What training and inference keep in memory. Transient buffers, fragmentation and the planner come on top.

    Args:
        base_weights: Of the model as it was downloaded.
        adapter_weights: Of the LoRA adapters.
        gradients: Of all weights that learn.
        optimizer_state: Of AdamW, two numbers per weight that learns.
        activations: Kept for the backward pass of one batch.
        activations_checkpointed: Kept at most, where each layer computes its activations again.
        logits: Of one batch where every token is predicted: the logits, their log-probabilities, and a gradient.
        cache_per_sample: Keys and values of L tokens, while one sample is generated.
        checkpoint: Weights that learn, as a checkpoint file holds them.
        gradient_checkpointing: Which of both activations count in the total.
    """

    base_weights: int
    adapter_weights: int
    gradients: int
    optimizer_state: int
    activations: int
    activations_checkpointed: int
    logits: int
    cache_per_sample: int
    checkpoint: int
    gradient_checkpointing: bool

    @property
    def training(self) -> int:
        """All that one training step keeps."""
        activations = self.activations_checkpointed if self.gradient_checkpointing else self.activations
        weights = self.base_weights + self.adapter_weights + self.gradients + self.optimizer_state
        return weights + activations + self.logits

    def rows(self) -> list[tuple[str, int]]:
        """Return what to print: a name and bytes."""
        return [
            ("base weights", self.base_weights),
            ("LoRA weights", self.adapter_weights),
            ("gradients", self.gradients),
            ("AdamW state", self.optimizer_state),
            ("activations", self.activations),
            ("activations, checkpointed", self.activations_checkpointed),
            ("logits", self.logits),
            ("training step in all", self.training),
            ("key-value cache per sample", self.cache_per_sample),
            ("checkpoint file", self.checkpoint),
        ]


def memory_plan(
    config: Any,
    *,
    lora: Lora | None,
    learns: Learns,
    batch: int,
    tokens: int,
    dtype: Precision = "float32",
    gradient_checkpointing: bool = False,
    four_bit: bool = False,
) -> MemoryPlan:
    """Return the memory that a causal language model of `transformers` takes.

    Args:
        config: Of the architecture, such as `SEVEN_B` or `AutoConfig.from_pretrained(...)`.
        lora: Of the adapters; None is the default of `Lora`.
        learns: Which weights learn.
        batch, tokens: B and L.
        dtype: Number format of the weights. Adapters are always float32.
        gradient_checkpointing: Whether each layer computes its activations again.
        four_bit: Whether the linear layers are kept in 4 bits.
    """
    model = _model(config, learns, lora or Lora(), dtype)
    parameters = dict(model.named_parameters())
    adapter = sum(p.nbytes for name, p in parameters.items() if "lora_" in name)
    learning = sum(p.nbytes for p in parameters.values() if p.requires_grad)
    everything = sum(p.nbytes for p in parameters.values())
    base = model.get_base_model() if learns == "lora" else model
    base_weights = everything - adapter
    if four_bit:
        base_weights -= int(sum((w.element_size() - FOUR_BIT) * w.numel() for w in _quantised(base)))
    kept, checkpointed = _activations(base, batch, tokens)
    return MemoryPlan(
        base_weights=base_weights,
        adapter_weights=adapter,
        gradients=learning,
        optimizer_state=2 * learning,
        activations=kept,
        activations_checkpointed=checkpointed,
        logits=3 * 4 * batch * tokens * base.get_output_embeddings().out_features,
        cache_per_sample=_cache(config, tokens, getattr(torch, dtype).itemsize),
        checkpoint=learning,
        gradient_checkpointing=gradient_checkpointing,
    )


def _model(config: Any, learns: Learns, lora: Lora, dtype: Precision) -> Any:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), attn_implementation="sdpa")
        model = add_lora(model, lora, config.model_type) if learns == "lora" else model.requires_grad_(learns == "full")
    return model.train()


def _quantised(base: Any) -> list[Tensor]:
    """Return the weights that 4-bit loading shrinks: those of linear layers, but adapters and the output layer."""
    linear = [(name, module) for name, module in base.named_modules() if isinstance(module, nn.Linear)]
    head = base.get_output_embeddings()
    return [module.weight for name, module in linear if module is not head and "lora_" not in name]


def _activations(base: Any, batch: int, tokens: int) -> tuple[int, int]:
    """Return the bytes that one forward pass keeps for the backward pass, without and with checkpointing.

    Embeddings ask for gradients, for the planner in front of the model learns. With checkpointing the inputs of all
    layers are kept, and one layer at a time computes all it needs.
    """
    layers = [module for module in base.modules() if isinstance(module, GradientCheckpointingLayer)]
    seen = Kept(base)
    with torch.device("meta"), _FusedAttention(), seen.watch(layers):
        weight = base.get_input_embeddings().weight
        embeddings = torch.empty(batch, tokens, weight.shape[1], dtype=weight.dtype, requires_grad=True)
        mask = torch.empty(batch, 1, tokens, tokens, dtype=torch.bool)  # given, so that nobody looks for padding
        base.base_model(inputs_embeds=embeddings, attention_mask=mask, use_cache=False)
    inside = [seen.bytes_in[layer] for layer in layers]
    outside = seen.bytes_in[None]
    checkpointed = outside + len(layers) * embeddings.nbytes + max(inside, default=0)
    return outside + sum(inside), min(checkpointed, outside + sum(inside))


class Kept:
    """Counts what autograd saves, each storage once and weights not at all, by the layer that saved it first."""

    def __init__(self, model: nn.Module) -> None:
        # The storages are held on to, so that none of them gives its address to another.
        self.storages: dict[int, Any] = {}
        for weight in [*model.parameters(), *model.buffers()]:
            self._is_new(weight)
        self.bytes_in: dict[nn.Module | None, int] = {None: 0}
        self.layer: nn.Module | None = None

    @contextmanager
    def watch(self, layers: list[nn.Module]) -> Iterator[None]:
        """Count inside this context."""
        self.bytes_in |= dict.fromkeys(layers, 0)
        hooks = [layer.register_forward_pre_hook(self._enter) for layer in layers]
        hooks += [layer.register_forward_hook(self._leave) for layer in layers]
        keep: Callable[[Tensor], Tensor] = lambda tensor: tensor  # noqa: E731
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._count, keep):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _is_new(self, tensor: Tensor) -> bool:
        storage = tensor.untyped_storage()
        known = len(self.storages)
        self.storages.setdefault(storage._cdata, storage)
        return len(self.storages) > known

    def _count(self, tensor: Tensor) -> Tensor:
        if self._is_new(tensor):
            self.bytes_in[self.layer] += tensor.untyped_storage().nbytes()
        return tensor

    def _enter(self, layer: nn.Module, _: Any) -> None:
        self.layer = layer

    def _leave(self, *_: Any) -> None:
        self.layer = None


class _FusedAttention(TorchFunctionMode):
    """Let attention keep what fused kernels keep. On the meta device it would keep all L x L probabilities."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is scaled_dot_product_attention:
            return _Fused.apply(*args[:3])
        return function(*args, **(kwargs or {}))


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        context.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        raise NotImplementedError


def _cache(config: Any, tokens: int, size: int) -> int:
    """Return the bytes of keys and values of one sample."""
    config = config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * tokens * size)

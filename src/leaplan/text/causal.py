"""A causal language model: tokens or embeddings in, hidden states, logits and text out (PlanLLM, Eq. 9, 10).

Any causal model of `transformers`, adapted with LoRA by `peft`. Shapes: B sequences, L tokens, P prompt tokens,
K keys (tokens seen so far and now), H width, V tokens of the vocabulary.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from leaplan.errors import ConfigError

Learns = Literal["frozen", "lora", "full"]
Precision = Literal["float32", "bfloat16"]
RESCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Settings by which an architecture changes its logits after the output layer."""


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters, by `peft`.

    Args:
        rank: Of each adapter.
        alpha: Adapters are scaled by alpha / rank.
        dropout: On what goes into an adapter.
        targets: Names of the linear layers that get one.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.1
    targets: tuple[str, ...] = ("q_proj", "v_proj")


class Reading(NamedTuple):
    """What a language model made of what it read.

    Args:
        hidden: (B, L, H), after the final norm.
        cache: Keys and values of all tokens so far, where they were asked for.
    """

    hidden: Tensor
    cache: Any


class LanguageSource(Protocol):
    """Where a language model comes from."""

    name: str

    def build(self, corpus: Callable[[], Sequence[str]], folder: Path | None) -> "CausalLanguageModel":
        """Return the model.

        Args:
            corpus: Gives the training plans as lines of text. Called only by a source that learns from them.
            folder: Where the run keeps a model of its own; None keeps it nowhere.
        """


class CausalLanguageModel(nn.Module):
    """A causal language model with its tokenizer.

    Args:
        model: Causal LM of `transformers`. It is changed: adapters are put in, and its decoding settings taken out.
        tokenizer: Its tokenizer.
        name: As checkpoints and messages name it.
        base_hash: SHA-256 of the weights, before any adapter.
        learns: "frozen" trains nothing and never drops out, "lora" trains adapters, "full" trains all.
        lora: Of the adapters.
        gradient_checkpointing: Compute activations again in the backward pass, instead of keeping them.

    Attributes:
        model: The model, or the `peft` model around it.
        width: H.
        context: How many tokens fit.
        begin: Id of the token that begins a text, or nothing.
        end: Id of the token that ends a text.
        identity: What a checkpoint must have been trained with.

    Raises:
        ConfigError: Model and tokenizer do not fit, or an adapter finds no layer.
    """

    def __init__(
        self, model: Any, tokenizer: Any, name: str, base_hash: str,
        learns: Learns = "lora", lora: Lora | None = None, gradient_checkpointing: bool = False,
    ) -> None:  # fmt: skip
        from transformers import GenerationConfig

        super().__init__()
        _refuse_misfit(model, tokenizer, name)
        self.tokenizer, self.name, self.learns, self.lora = tokenizer, name, learns, lora or Lora()
        config = model.config.get_text_config()
        self.width: int = config.hidden_size
        self.context: int = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
        self.begin: list[int] = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        self.end: int = tokenizer.eos_token_id
        self.identity = {"name": name, "sha256": base_hash, "learns": learns}
        if learns == "lora":
            self.identity["lora"] = f"rank {self.lora.rank}, alpha {self.lora.alpha:g}, {' '.join(self.lora.targets)}"
        model.generation_config = GenerationConfig()  # `generate` says what it wants
        self.checkpointed = _checkpoint_layers(model, frozen=learns == "frozen") if gradient_checkpointing else []
        self.model = add_lora(model, self.lora, name) if learns == "lora" else model.requires_grad_(learns == "full")
        self.train(self.training)

    @property
    def base(self) -> Any:
        """The causal LM of `transformers`, with adapters where it has them."""
        return self.model.get_base_model() if self.learns == "lora" else self.model

    def train(self, mode: bool = True) -> "CausalLanguageModel":
        """Set training mode. A frozen model stays in evaluation mode, for it must not drop anything out."""
        super().train(mode)
        if self.learns == "frozen":
            self.model.eval()
            for layer in self.checkpointed:  # a layer computes again only where it believes that it trains
                layer.training = mode
        return self

    def forward(
        self, embeddings: Tensor, mask: Tensor | None = None, positions: Tensor | None = None,
        cache: Any = None, keep_cache: bool = False,
    ) -> Reading:  # fmt: skip
        """Return hidden states (B, L, H) of embeddings (B, L, H). Each depends on itself and what stands before it.

        Args:
            embeddings: Of words, or of anything brought to their width.
            mask: (B, K), 1 where there is something to see; or (B, 1, L, K), True where token l may see k.
            positions: (B, L), counted from 0; None counts on behind the cache.
            cache: Of an earlier call, whose tokens stand before these.
            keep_cache: Return a cache.
        """
        read = self.base.base_model(
            inputs_embeds=embeddings.to(self.base.get_input_embeddings().weight.dtype), attention_mask=mask,
            position_ids=positions, past_key_values=cache, use_cache=keep_cache, return_dict=True,
        )  # fmt: skip
        return Reading(read.last_hidden_state, read.get("past_key_values"))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits (..., V) in float32 of hidden states (..., H)."""
        head = self.base.get_output_embeddings()
        return head(hidden.to(head.weight.dtype)).float()

    def embed(self, ids: Tensor) -> Tensor:
        """Return word embeddings (..., H) of token ids (...)."""
        return self.base.get_input_embeddings()(ids)

    def tokens(self, text: str) -> list[int]:
        """Return token ids of `text`, without any that begin or end it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of token ids as it is, spaces included, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @torch.no_grad()
    def generate(
        self, embeddings: Tensor, *, new_tokens: int, beams: int = 1,
        sample: bool = False, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0,
    ) -> Tensor:  # fmt: skip
        """Return the token ids (B, at most new_tokens) that continue prompts (B, P, H), filled up with `end`.

        Args:
            embeddings: Prompts of equal length.
            new_tokens: Tokens to write at most.
            beams: Of beam search, which looks for the continuation of the largest probability; 1 is greedy.
            sample: Draw tokens instead of taking the best.
            temperature, top_p: Of sampling.
            seed: Of sampling. The same seed draws the same; the global random state is left alone.

        Raises:
            ConfigError: Prompt and continuation do not fit into the context.
        """
        from transformers import GenerationConfig

        rows, length = embeddings.shape[:2]
        if length + new_tokens > self.context:
            raise ConfigError(
                f"{length} prompt tokens and {new_tokens} new ones do not fit into the {self.context} of {self.name}",
                "Shorten the prompt or the plan, or use a model with a longer context",
            )
        choice = {"temperature": temperature, "top_p": top_p, "top_k": 0} if sample else {}
        if beams > 1:
            choice["length_penalty"] = 0.0  # the probability of the whole, not of its mean token
        settings = GenerationConfig(
            max_new_tokens=new_tokens, num_beams=beams, do_sample=sample, **choice,
            eos_token_id=self.end, pad_token_id=self.end,
        )  # fmt: skip
        with ExitStack() as stack:
            stack.callback(self.train, self.training)
            self.eval()
            if sample:
                stack.enter_context(torch.random.fork_rng([embeddings.device] if embeddings.is_cuda else []))
                torch.manual_seed(seed)
            return self.base.generate(
                inputs_embeds=embeddings.to(self.base.get_input_embeddings().weight.dtype),
                attention_mask=torch.ones(rows, length, dtype=torch.int64, device=embeddings.device),
                generation_config=settings,
                synced_gpus=False,  # sharded weights are gathered before, and texts differ in length
            )

    def save_adapter(self, folder: Path) -> None:
        """Write the adapters in `peft`'s layout, which `peft.PeftModel.from_pretrained(base, folder)` reads.

        Raises:
            ConfigError: There are none.
        """
        if self.learns != "lora":
            raise ConfigError(f"{self.name} has no adapters: it was built with learns={self.learns}", "Use learns=lora")
        self.model.peft_config["default"].base_model_name_or_path = self.name
        self.model.save_pretrained(folder, save_embedding_layers=False)


def add_lora(model: Any, lora: Lora, name: str) -> Any:
    """Return a `peft` model with adapters in the layers named by `lora.targets`; all else is frozen.

    Raises:
        ConfigError: A target is no linear layer of the model; names those that are.
    """
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    absent = [t for t in lora.targets if not any(path == t or path.endswith(f".{t}") for path in linear)]
    if absent or not lora.targets:
        known = sorted({path.rpartition(".")[2] for path in linear})
        raise ConfigError(
            f"LoRA target '{' '.join(absent)}' is no linear layer of {name}, which has {', '.join(known)}",
            f"Set --model.language.lora.targets, for example to [{known[-1]}]",
        )
    settings = LoraConfig(
        r=lora.rank, lora_alpha=cast(int, lora.alpha), lora_dropout=lora.dropout, target_modules=list(lora.targets),
        task_type="CAUSAL_LM", fan_in_fan_out=any(isinstance(m, Conv1D) for m in model.modules()),
    )  # fmt: skip
    with warnings.catch_warnings():  # peft asks in words that transformers will drop
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, settings)


def _checkpoint_layers(model: Any, frozen: bool) -> list[nn.Module]:
    """Let each layer compute its activations again in the backward pass, and return the layers.

    Layers of a frozen model will be told that they train, so what some of them drop out themselves is set to none.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})  # so embeddings need not ask for gradients
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers if frozen else []:
        for name in [n for n, value in vars(layer).items() if "dropout" in n and isinstance(value, float)]:
            setattr(layer, name, 0.0)
    return layers


def _refuse_misfit(model: Any, tokenizer: Any, name: str) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if not 0 <= largest < rows:
        raise ConfigError(
            f"the tokenizer of {name} has token ids up to {largest}, but the model embeds {rows} tokens",
            "Use the tokenizer that the model was trained with",
        )
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"the tokenizer of {name} has no token that ends a text", 'Set "eos_token" in its tokenizer_config.json'
        )
    config = model.config.get_text_config()
    found = {setting: getattr(config, setting, None) for setting in RESCALED}
    rescaled = [f"{setting} = {value}" for setting, value in found.items() if value not in (None, 1)]
    if rescaled:
        raise ConfigError(
            f"{name} rescales its logits ({rescaled[0]}), which leaplan does not support",
            "Use an architecture without it, such as Llama, Qwen or Mistral",
        )

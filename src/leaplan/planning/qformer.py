"""Step queries read the states, and are matched with the true steps in words (PlanLLM, Eq. 5)."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from leaplan.errors import CheckpointError, ConfigError


class StepQueries(nn.Module):
    """T learned queries look at start and goal through a BLIP-2 Q-Former (PlanLLM, Eq. 5).

    Eq. 5 also gives the true steps to the Q-Former. At test there are none, so the pass that plans are read
    from sees the states alone, and text enters only `match`, which serves a loss.

    Shapes: B windows, T steps, C state tokens, E width of the states, D_q width of the queries.

    Args:
        horizon: T.
        state_width: E.
        text_width: Width of the description embeddings.
        width: D_q.
        layers: Layers of self-attention and feed-forward.
        heads: Attention heads; D_q must be a multiple.
        cross_every: The queries look at the states in the first layer and every so many layers after it.
        dropout: In the Q-Former, training only.
        pretrained: Hub id or folder of a BLIP-2 model or of its Q-Former, saved by transformers as safetensors.
            Width, layers, heads and cross-attention are then its own; states are projected to the width that it
            looks at, and the queries start as the first T of its query tokens. Where it has no feed-forward for
            text, that starts as a copy of the one for queries.

    Attributes:
        width: D_q.

    Raises:
        ConfigError: `width` is no multiple of `heads`.
        CheckpointError: `pretrained` is not there, or not such a model.
    """

    def __init__(
        self,
        horizon: int,
        state_width: int,
        text_width: int,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        cross_every: int = 2,
        dropout: float = 0.1,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if pretrained is None:
            self.qformer, tokens = _small(state_width, width, layers, heads, cross_every, dropout), None
        else:
            self.qformer, tokens = _pretrained(pretrained, dropout)
        self.horizon, self.width = horizon, self.qformer.config.hidden_size
        looks_at = self.qformer.config.encoder_hidden_size
        project = nn.Identity() if looks_at == state_width else nn.Linear(state_width, looks_at)
        self.show = nn.Sequential(project, nn.LayerNorm(looks_at))
        self.queries = nn.Parameter(0.02 * torch.randn(horizon, self.width))
        if tokens is not None:
            self.queries.data[: len(tokens)] = tokens[:horizon]
        self.tell = nn.Linear(text_width, self.width)
        self.places = nn.Parameter(0.02 * torch.randn(horizon, self.width))  # which step a text token is
        self.judge = nn.Linear(2 * self.width, 1)

    def forward(self, states: Tensor) -> Tensor:
        """Return x^q (B, T, D_q) from states (B, C, E). No text enters."""
        return self._read(self.queries.expand(states.shape[0], -1, -1), states)  # Eq. 5

    def match(self, states: Tensor, text: Tensor) -> Tensor:
        """Return logits (B,) that states and text belong together.

        Queries and text attend to one another; only queries look at the states.

        Args:
            states: (B, C, E).
            text: Embeddings of the descriptions of the steps (B, T, text_width).
        """
        asked = self.queries.expand(states.shape[0], -1, -1)  # (B, T, D_q)
        told = self.tell(text) + self.places  # (B, T, D_q)
        tokens = self._read(torch.cat([asked, told], dim=1), states)  # (B, 2 T, D_q)
        means = tokens.unflatten(1, (2, self.horizon)).mean(2)  # (B, 2, D_q), of queries and of text
        return self.judge(means.flatten(1)).squeeze(-1)  # Eq. 7, its `match`

    def _read(self, tokens: Tensor, states: Tensor) -> Tensor:
        """Return all tokens (B, L, D_q) after the Q-Former; the first T are queries, the rest text."""
        return self.qformer(
            query_embeds=tokens, query_length=self.horizon, encoder_hidden_states=self.show(states)
        ).last_hidden_state


def _small(state_width: int, width: int, layers: int, heads: int, cross_every: int, dropout: float) -> nn.Module:
    """Return a Q-Former that starts at random."""
    from transformers import Blip2QFormerConfig, Blip2QFormerModel

    if width % heads:
        raise ConfigError(
            f"step queries of width {width} cannot be shared among {heads} heads",
            "Set their width to a multiple of their heads",
        )
    return Blip2QFormerModel(
        Blip2QFormerConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            cross_attention_frequency=cross_every,
            encoder_hidden_size=state_width,
            use_qformer_text_input=True,
        )
    )


def _pretrained(name: str, dropout: float) -> tuple[nn.Module, Tensor | None]:
    """Return the Q-Former in a folder or on the hub, and its query tokens (Q, D_q) if it has any.

    Of a whole BLIP-2 model, only these are read into memory.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, Blip2Config, Blip2QFormerConfig

    try:
        config = AutoConfig.from_pretrained(name)
        if not isinstance(config, Blip2Config | Blip2QFormerConfig):
            raise ValueError(f"a {config.model_type} model")
        whole = isinstance(config, Blip2Config)
        settings = config.qformer_config if whole else config
        settings.hidden_dropout_prob = settings.attention_probs_dropout_prob = dropout
        model, report = _holder(whole).from_pretrained(
            name, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        if absent := sorted(report["missing_keys"]):
            raise ValueError(f"{len(absent)} weights are missing, such as {absent[0]}")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"no Q-Former can be read from '{name}': it is neither a folder nor a model on the hub with the weights "
            f"of BLIP-2 as safetensors",
            "Give the folder of a BLIP-2 model saved by transformers, or leave `pretrained` out for a small "
            "Q-Former that starts at random",
        ) from error
    qformer = model.qformer if whole else model
    if not settings.use_qformer_text_input:
        for layer in qformer.encoder.layer:
            layer.intermediate, layer.output = deepcopy(layer.intermediate_query), deepcopy(layer.output_query)
    qformer.train()  # transformers hands out models in evaluation mode
    return qformer, model.query_tokens.data[0] if whole else None


def _holder(whole: bool) -> Any:
    """Return the class that reads a Q-Former: from a file of its own, or from that of a whole BLIP-2 model."""
    from transformers import Blip2Config, Blip2PreTrainedModel, Blip2QFormerModel

    class QFormerPart(Blip2PreTrainedModel):
        _keys_to_ignore_on_load_unexpected = (r"^(?!qformer\.|query_tokens)",)

        def __init__(self, config: Blip2Config) -> None:
            super().__init__(config)
            self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, config.qformer_config.hidden_size))
            self.qformer = Blip2QFormerModel._from_config(config.qformer_config)
            self.post_init()

    return QFormerPart if whole else Blip2QFormerModel

"""Plans in words: written freely, along a trie of labels, or by likeness to descriptions (PlanLLM, Eq. 10).

All three work with any label set, also with one that training never saw. Shapes: B windows, T steps, N labels,
M sentences per label, C state tokens, E and Q widths of states and step queries.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from leaplan.errors import ConfigError
from leaplan.planning.attentive import AttentiveReader
from leaplan.planning.captions import PlanCaptions
from leaplan.planning.retrieval import match_captions
from leaplan.planning.trie import TriePlans, best_plans
from leaplan.text.encoder import SentenceEncoder

NEEDS = {"generate": "language", "trie": "language", "retrieve": "queries"}
"""What part of the planner each of these decodings needs."""


class Writing(NamedTuple):
    """How a language model writes plans.

    Args:
        beams: Of beam search; 1 is greedy.
        sample: Draw tokens instead of taking the best.
        temperature, top_p: Of sampling.
        budget: Expansions per window in the search along the trie.
    """

    beams: int = 1
    sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    budget: int = 64


class FreeForm(nn.Module):
    """Read plans off a planner that knows language, over a given label set.

    Args:
        labels: One text per label.
        descriptions: Their embeddings y (N, M, text width).
        encoder: Frozen sentence encoder that finds the label nearest to what was written.
        horizon: T.
        writing: How the language model writes.
    """

    descriptions: Tensor

    def __init__(
        self, labels: list[str], descriptions: Tensor, encoder: SentenceEncoder, horizon: int, writing: Writing
    ) -> None:
        super().__init__()
        self.labels, self.encoder, self.horizon, self.writing = labels, encoder, horizon, writing
        self.register_buffer("descriptions", descriptions, persistent=False)
        self._captions: PlanCaptions | None = None

    def captions(self, reader: AttentiveReader) -> PlanCaptions:
        """Return the caption format of these labels, tokenised once."""
        assert reader.language is not None
        if self._captions is None:
            model = reader.language.model
            self._captions = PlanCaptions(self.labels, model.tokens, model.end, model.text)
        return self._captions

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def retrieve(self, reader: AttentiveReader, queries: Tensor) -> Tensor:
        """Return log-probabilities (B, T, N) of the labels by likeness of x^q (B, T, Q) to their descriptions."""
        return reader.alignment.classify(queries, self.descriptions).log_softmax(-1)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def generate(self, reader: AttentiveReader, states: Tensor, queries: Tensor | None) -> tuple[Tensor, Tensor]:
        """Let the model write, and return the plans (B, T) nearest to it and its token ids (B, at most L)."""
        assert reader.language is not None
        prompt, _ = reader.language.prompt(states, queries)
        w = self.writing
        ids = reader.language.model.generate(
            prompt, new_tokens=self.longest(reader), beams=w.beams, sample=w.sample, temperature=w.temperature,
            top_p=w.top_p,
        )  # fmt: skip
        captions = self.captions(reader)
        said = [captions.parse(reader.language.model.text(row)) for row in ids.tolist()]
        plans = match_captions(said, self.encoder, self.labels, self.horizon)
        return plans.to(states.device), ids

    def longest(self, reader: AttentiveReader) -> int:
        """Return L, the tokens that the longest caption of a plan may have."""
        return self.captions(reader).longest(self.horizon)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def trie(self, reader: AttentiveReader, states: Tensor, queries: Tensor | None) -> TriePlans:
        """Return the plans that the model finds likeliest among all plans of these labels."""
        assert reader.language is not None
        prompt, _ = reader.language.prompt(states, queries)
        return best_plans(
            reader.language.model.model, prompt, self.captions(reader), self.horizon, budget=self.writing.budget
        )


def refuse_impossible(decodings: list[str], reader: AttentiveReader | None) -> None:
    """Check that the planner has what each decoding needs.

    Raises:
        ConfigError: Names the decoding and the missing part.
    """
    setting = {"language": "--model.language", "queries": "--model.network.init_args.step_queries"}
    for decoding in decodings:
        part = NEEDS.get(decoding)
        if part and (reader is None or getattr(reader, part) is None):
            raise ConfigError(
                f"decoding '{decoding}' needs a planner trained with {setting[part].rpartition('.')[2]}",
                f"Train with {setting[part]}, or leave '{decoding}' out of --decode",
            )

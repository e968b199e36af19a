"""What a language model makes of the observations: knowledge for the step decoder, and plans in words.

PlanLLM, Eq. 9, 10 and the captioning loss L_ASC of Eq. 15. Shapes: B windows, T steps, C state tokens, E width of
the states, Q width of the step queries, H width of the language model, P prompt tokens, L caption tokens.
"""

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from leaplan.errors import ConfigError
from leaplan.planning.captions import PlanCaptions, caption_text
from leaplan.text.causal import CausalLanguageModel

PLACES = ("start", "goal", "steps")


class LanguageParts(NamedTuple):
    """What a planner needs to read and write with a language model."""

    model: CausalLanguageModel
    captions: PlanCaptions
    prompt: str


class PlanLanguage(nn.Module):
    """Show the observations to a causal language model, read its mind, and let it write (PlanLLM, Eq. 9, 10).

    The prompt is text in which `{start}` and `{goal}` stand for the states, `{steps}` for T query tokens and
    `{horizon}` for the number T. The model is causal: the hidden states at the queries cannot depend on the caption,
    which comes after them, so training and test compute the same.

    Args:
        parts: Language model, caption format and prompt.
        horizon: T.
        state_width: E.
        query_width: Q, width of the step queries x^q; 0 where there are none: T vectors are learned in their place.
    """

    def __init__(self, parts: LanguageParts, horizon: int, state_width: int, query_width: int) -> None:
        super().__init__()
        self.model, self.captions = parts.model, parts.captions
        width = self.model.width
        scale = float(self.model.base.get_input_embeddings().weight[:1000].detach().float().square().mean().sqrt())
        self.show_states = _Projection(state_width, width, scale)
        self.show_queries = _Projection(query_width, width, scale) if query_width else None
        self.queries = None if query_width else nn.Parameter(scale * torch.randn(horizon, width))
        self.pieces = _pieces(parts.prompt, horizon)
        for number, piece in enumerate(self.pieces):
            ids = torch.tensor(self._piece_tokens(number, piece), dtype=torch.int64)
            self.register_buffer(f"piece_{number}", ids, persistent=False)
        self.horizon = horizon

    def _piece_tokens(self, number: int, piece: str) -> list[int]:
        begin = self.model.begin if number == 0 else []
        return begin + ([] if piece in PLACES else self.model.tokens(piece))

    def prompt(self, states: Tensor, queries: Tensor | None) -> tuple[Tensor, slice]:
        """Return prompt embeddings (B, P, H), and where in them the T queries stand.

        Args:
            states: (B, C, E), the start's tokens, the goal's tokens.
            queries: x^q (B, T, Q).
        """
        start, goal = self.show_states(states).chunk(2, dim=1)  # 2 x (B, C / 2, H)
        if self.show_queries is not None and queries is not None:
            asked = self.show_queries(queries)  # (B, T, H)
        else:
            assert self.queries is not None
            asked = self.queries.expand(len(states), -1, -1).to(start)
        shown = {"start": start, "goal": goal, "steps": asked}
        parts, place = [], slice(0, 0)
        for number, piece in enumerate(self.pieces):
            ids = self.get_buffer(f"piece_{number}")
            if len(ids):
                parts.append(self.model.embed(ids).expand(len(states), -1, -1).to(start))
            if piece == "steps":
                begin = sum(part.shape[1] for part in parts)
                place = slice(begin, begin + self.horizon)
            if piece in shown:
                parts.append(shown[piece])
        return torch.cat(parts, dim=1), place

    def forward(self, states: Tensor, queries: Tensor | None) -> Tensor:
        """Return h_{1:T} (B, T, H), the model's hidden states at the queries (Eq. 9)."""
        prompt, place = self.prompt(states, queries)
        hidden: Tensor = self.model(prompt[:, : place.stop]).hidden  # nothing behind the queries reaches them
        return hidden[:, place].to(states.dtype)

    def learn(self, states: Tensor, queries: Tensor | None, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Return h_{1:T} (B, T, H) and the captioning loss L_ASC (B,) of the true plans `steps` (B, T).

        L_ASC is the mean over a caption's tokens of the next-token cross-entropy (Eq. 10, 15).
        """
        prompt, place = self.prompt(states, queries)
        ids, mask = self.captions.encode(steps)  # (B, L) each
        said = self.model.embed(ids).to(prompt)
        seen = torch.cat([prompt, said], dim=1)  # (B, P + L, H)
        visible = torch.cat([mask.new_ones(prompt.shape[:2]), mask], dim=1)
        hidden = self.model(seen, visible).hidden
        before = hidden[:, prompt.shape[1] - 1 : -1]  # (B, L, H), each stands before the token it predicts
        logits = self.model.logits(before)  # (B, L, V)
        each = cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="none").view_as(ids) * mask
        return hidden[:, place].to(states.dtype), each.sum(1) / mask.sum(1)

    def refuse_long_captions(self) -> None:
        """Check that the longest caption fits behind the prompt.

        Raises:
            ConfigError: It does not; says how many tokens it needs.
        """
        fixed = sum(len(self.get_buffer(f"piece_{number}")) for number in range(len(self.pieces)))
        self.captions.refuse_longer_than(self.model.context, fixed + self.horizon + 2, self.horizon)


class _Projection(nn.Module):
    """Bring tokens to the width and to the scale of word embeddings."""

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.LayerNorm(outputs)
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(self.linear(tokens))


def read_prompt(name: str) -> str:
    """Return the prompt of a file, or of one that comes with leaplan by its name, such as "plan".

    Raises:
        ConfigError: There is no such file, or a place to show something is missing in it.
    """
    shipped = files("leaplan.text") / "prompts" / f"{name}.txt"
    path = Path(name).expanduser()
    if not path.is_file() and not shipped.is_file():
        known = sorted(p.name.removesuffix(".txt") for p in (files("leaplan.text") / "prompts").iterdir())
        raise ConfigError(f"prompt '{name}' is neither a file nor one of {', '.join(known)}", "Set --model.prompt")
    text = (path if path.is_file() else shipped).read_text(encoding="utf-8").strip()
    wrong = [place for place in PLACES if text.count(f"{{{place}}}") != 1]
    if wrong:
        raise ConfigError(f"prompt '{name}' must hold {{{wrong[0]}}} exactly once", "Mend the prompt file")
    return text


def _pieces(prompt: str, horizon: int) -> list[str]:
    """Return texts and names of places in the order of the prompt."""
    text = prompt.replace("{horizon}", str(horizon))
    return [piece for piece in re.split(r"\{(start|goal|steps)\}", text) if piece]


def plan_lines(prompt: str, sequences: Iterable[Sequence[int]], labels: Sequence[str], horizon: int) -> list[str]:
    """Return the texts that a small language model learns from: every stretch of `horizon` steps, and every label.

    Each line is the prompt's words, the number of steps among them, and steps of a *training* sequence as a caption,
    so that the model knows which step follows which before it has seen a picture.
    """
    stretches = [[label] for label in labels]
    for steps in sequences:
        stretches += [[labels[s] for s in steps[i : i + horizon]] for i in range(len(steps) - horizon + 1)]
    words = {count: "".join(piece for piece in _pieces(prompt, count) if piece not in PLACES) for count in (1, horizon)}
    return [words[len(names)] + caption_text(names) for names in stretches]

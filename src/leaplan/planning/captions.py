"""Plans as text that a language model reads and writes: a compact JSON list of step labels (PlanLLM, Eq. 10).

Shapes: B windows, T steps, N labels, L tokens of a caption, W tokens of the longest label.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from leaplan.errors import ConfigError, DataError
from leaplan.planning.label_trie import LabelTrie
from leaplan.records import Vocabulary

Tokens = list[int]


def label_texts(vocabulary: Vocabulary) -> list[str]:
    """Return one distinct text per step class: its name, with its task or a number where names are shared.

    Raises:
        DataError: A step has no name.
    """
    names = [_one_line(step.name) for step in vocabulary.steps]
    nameless = [step.key for step, name in zip(vocabulary.steps, names, strict=True) if not name]
    if nameless:
        raise DataError(f"step '{nameless[0]}' has no name, so no plan can tell of it", "Name it in the vocabulary")
    texts: dict[str, None] = {}  # in order
    for step, name in zip(vocabulary.steps, names, strict=True):
        first = name
        if step.task is not None and names.count(name) > 1:
            first = f"{name} ({_one_line(vocabulary.tasks[step.task])})"
        text, number = first, 1
        while text in texts:
            number += 1
            text = f"{first} {number}"
        texts[text] = None
    return list(texts)


class PlanCaptions:
    """The one way to write a plan as text and as tokens: `["add milk","stir"]` and the end token.

    Bracket, labels with their quotes, commas and closing bracket are tokenised each on its own, once; a caption is
    their concatenation, in training and in decoding alike. Quotes end a label, so no label is the beginning of another.

    Args:
        labels: One text per label.
        tokens: Tokenise a text, without begin or end tokens.
        end: Id of the token that ends a text.
        text: Tokens back to text; what the tokenizer changes in labels is then found out, and undone by `parse`.

    Raises:
        DataError: A label is blank, or the tokenizer cannot tell two labels apart.
    """

    def __init__(
        self,
        labels: Sequence[str],
        tokens: Callable[[str], Tokens],
        end: int,
        text: Callable[[Tokens], str] | None = None,
    ) -> None:
        self.labels = list(labels)
        self.end = end
        self.opening, self.separator, self.closing = tokens("["), tokens(","), [*tokens("]"), end]
        self.pieces = [tokens(_quoted(label)) for label in self.labels]
        _refuse_alike(self.labels, self.pieces)
        self._spelling = self._read_back(text)
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    @cached_property
    def trie(self) -> LabelTrie:
        """The labels' tokens as a trie."""
        return LabelTrie(self.pieces)

    def _read_back(self, text: Callable[[Tokens], str] | None) -> dict[str, str]:
        """Return which label is meant by what `parse` reads from its caption, however the tokenizer spells it."""
        meant: dict[str, str] = {}
        for label, piece in zip(self.labels, self.pieces, strict=True):
            written = text(self.opening + piece + self.closing[:-1]) if text else f"[{_quoted(label)}]"
            read = _parse(written)
            if len(read) != 1:
                raise DataError(f"label '{label}' is lost by the tokenizer: {written!r} comes back", "Rename the label")
            if read[0] in meant:
                raise DataError(
                    f"labels '{meant[read[0]]}' and '{label}' are both read back as '{read[0]}'", "Rename one of them"
                )
            meant[read[0]] = label
        return {**{_one_line(label): label for label in self.labels}, **meant}

    def text(self, plan: Sequence[int]) -> str:
        """Return the caption of a plan, a sequence of label ids."""
        return caption_text([self.labels[int(step)] for step in plan])

    def encode(self, plans: Tensor) -> tuple[Tensor, Tensor]:
        """Return token ids (B, L) and their mask (B, L) of plans (B, T); rows end in masked end tokens.

        Raises:
            ValueError: A step is not a label.
        """
        labels = len(self.labels)
        if plans.ndim != 2 or not plans.shape[1] or bool(((plans < 0) | (plans >= labels)).any()):
            raise ValueError(f"plans (B, T) are ids of {labels} labels, but got {tuple(plans.shape)}: {plans}")
        table, lengths = self._table(plans.device)
        segments = torch.nn.functional.pad(plans, (1, 0), value=2 * labels)  # (B, T + 1): opening, then the steps
        segments[:, -1] += labels  # the last step is followed by the closing
        real = torch.arange(table.shape[1], device=plans.device) < lengths[segments, None]  # (B, T + 1, W)
        places = real.flatten(1).long().argsort(dim=1, descending=True, stable=True)  # real tokens first, in order
        count = lengths[segments].sum(1)  # (B,)
        longest = int(count.max()) if len(plans) else 0
        ids = table[segments].flatten(1).gather(1, places[:, :longest])
        mask = torch.arange(longest, device=plans.device) < count[:, None]
        return ids.where(mask, self.end), mask

    def starts(self, plans: Tensor) -> Tensor:
        """Return where in their captions the labels of plans (B, T) begin, (B, T)."""
        _, lengths = self._table(plans.device)
        return len(self.opening) + lengths[plans].cumsum(1) - lengths[plans]

    def _table(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return tokens (2 N + 1, W) and lengths: labels with a comma, labels with the closing, the opening."""
        if device not in self._tables:
            rows = [[*piece, *self.separator] for piece in self.pieces]
            rows += [[*piece, *self.closing] for piece in self.pieces]
            rows += [self.opening]
            lengths = [len(row) for row in rows]
            padded = [row + [self.end] * (max(lengths) - len(row)) for row in rows]
            self._tables[device] = torch.tensor(padded, device=device), torch.tensor(lengths, device=device)
        return self._tables[device]

    def beginning(self, steps: Sequence[int]) -> Tokens:
        """Return the tokens that stand before the next label, after `steps`."""
        return self.opening + [token for step in steps for token in (*self.pieces[step], *self.separator)]

    def longest(self, horizon: int) -> int:
        """Return the number of tokens of the longest caption of a plan of `horizon` steps."""
        label = max(map(len, self.pieces))
        return len(self.opening) + horizon * label + (horizon - 1) * len(self.separator) + len(self.closing)

    def refuse_longer_than(self, context: int, prompt_length: int, horizon: int) -> None:
        """Check that every plan's caption fits behind a prompt of `prompt_length` tokens.

        Raises:
            ConfigError: The longest one does not.
        """
        needed = self.longest(horizon)
        if prompt_length + needed > context:
            label = self.labels[max(range(len(self.pieces)), key=lambda i: len(self.pieces[i]))]
            raise ConfigError(
                f"a plan of {horizon} steps may need {needed} tokens (its longest label is '{label}') behind a prompt "
                f"of {prompt_length}, but the language model reads {context}",
                "Plan fewer steps, shorten the prompt or that label, or take a model with a longer context",
            )

    def parse(self, text: str) -> list[str]:
        """Return the labels that a text names, as far as they can be made out; anything may be put in."""
        return [self._spelling.get(said, said) for said in _parse(text)]

    @staticmethod
    def well_formed(text: str) -> bool:
        """Return whether a text is a JSON list of strings, none of them blank, and nothing else."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return isinstance(said, list) and bool(said) and all(isinstance(s, str) and s.strip() for s in said)


def _refuse_alike(labels: list[str], pieces: list[Tokens]) -> None:
    """Check that no label's tokens are the beginning of another's, or all of it: sorted, such two are neighbours."""
    blank = [label for label, piece in zip(labels, pieces, strict=True) if not label.strip() or not piece]
    if blank or not labels:
        raise DataError(f"{len(blank)} of {len(labels)} labels are blank", "Give every label a text of its own")
    for first, second in pairwise(sorted(range(len(pieces)), key=pieces.__getitem__)):
        if pieces[second][: len(pieces[first])] == pieces[first]:
            raise DataError(
                f"labels '{labels[first]}' and '{labels[second]}' cannot be told apart by their tokens",
                "Give every label a text of its own, and use a tokenizer that knows all their characters",
            )


def _parse(text: str) -> list[str]:
    """Return the strings of a JSON list; of anything else, the quoted strings; without any, the lines."""
    text = text[max(text.find("["), 0) :]
    with suppress(ValueError, RecursionError):
        said, _ = json.JSONDecoder().raw_decode(text)
        if isinstance(said, list):
            return _tidy(s for s in said if isinstance(s, str))
    if '"' in text:
        return _tidy(map(_unescaped, re.findall(r'"((?:[^"\\]|\\.)*)(?:"|\\?$)', text, flags=re.DOTALL)))
    return _tidy(re.sub(r"^\s*(?:[-*•]|\d+[.):])?\s*", "", line.strip(" [],")) for line in text.splitlines())


def _unescaped(inside: str) -> str:
    try:
        return str(json.loads(f'"{inside}"', strict=False))
    except ValueError:
        return inside


def _tidy(strings: Iterable[str]) -> list[str]:
    return [line for line in map(_one_line, strings) if line]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def caption_text(labels: Sequence[str]) -> str:
    """Return labels as compact JSON."""
    return json.dumps(labels, ensure_ascii=False, separators=(",", ":"))


def _quoted(label: str) -> str:
    return json.dumps(label, ensure_ascii=False)

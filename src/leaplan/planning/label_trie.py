"""All labels as one tree of tokens, scored by a language model in one pass.

Shapes: R prefixes, P prompt tokens, C tokens of the longest prefix, N labels, W tokens of the longest label,
M nodes that must be run, K nodes with a choice, J children of the node with most of them, U distinct tokens among
those children.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

PASS_TOKENS = {"cpu": 2**12, "cuda": 2**14}  # of one pass, prompt and tree together
PASS_LOGITS = {"cpu": 2**24, "cuda": 2**28}  # numbers that one pass returns


class LabelTrie:
    """Labels that begin with the same tokens share nodes. The root stands for whatever comes before a label.

    Where a node has one child, the grammar leaves no choice and its probability is one. So the model only has to be
    run on nodes with a choice and on their ancestors: `token`, `depth` and `ancestors` list these, parents first.

    Args:
        pieces: Tokens of each label; none of them is the beginning of another.
    """

    def __init__(self, pieces: Sequence[Sequence[int]]) -> None:
        children: list[dict[int, int]] = [{}]  # of each node: token to node
        parent, token, depth = [-1], [-1], [0]
        for piece in pieces:
            node = 0
            for word in piece:
                if word not in children[node]:
                    children[node][word] = len(children)
                    children.append({})
                    parent.append(node)
                    token.append(word)
                    depth.append(depth[node] + 1)
                node = children[node][word]
        self.nodes = len(children) - 1
        chooses = [node for node, below in enumerate(children) if len(below) > 1]
        run = sorted({above for node in chooses for above in _upwards(node, parent)} - {0})
        place = {node: number for number, node in enumerate([0, *run])}  # 0 is the root
        self.token = torch.tensor([token[node] for node in run], dtype=torch.int64)  # (M,)
        self.depth = torch.tensor([depth[node] for node in run], dtype=torch.int64)  # (M,), from 1
        self.ancestors = torch.zeros(len(run), len(run), dtype=torch.bool)  # (M, M), a node is its own
        for number, node in enumerate(run):
            self.ancestors[number, [place[above] - 1 for above in _upwards(node, parent) if above]] = True
        self.choices = [place[node] for node in chooses]  # (K,), 0 is the root, m + 1 the node m
        self._list_choices(pieces, children, chooses)

    def _list_choices(
        self, pieces: Sequence[Sequence[int]], children: list[dict[int, int]], chooses: list[int]
    ) -> None:
        """Tabulate the children of each choice, and the choices on the way to each label.

        `child` (K, J) holds tokens, -1 beyond the last; `words` (U,) are the distinct ones and `column` (K, J) tells
        which of them a child is. `choice`, `pick` (N, W): at which choice a label's tokens stand, and which child they
        are; -1 where there is no choice.
        """
        widest = max((len(children[node]) for node in chooses), default=0)
        rows = [[*children[node], *[-1] * (widest - len(children[node]))] for node in chooses]
        self.child = torch.tensor(rows, dtype=torch.int64).reshape(len(chooses), widest)
        self.words, self.column = torch.unique(self.child.clamp_min(0), return_inverse=True)
        number = {node: k for k, node in enumerate(chooses)}
        pick = {node: {word: j for j, word in enumerate(children[node])} for node in chooses}
        self.choice = torch.full((len(pieces), max(map(len, pieces))), -1)
        self.pick = self.choice.clone()
        for label, piece in enumerate(pieces):
            node = 0
            for position, word in enumerate(piece):
                if node in number:
                    self.choice[label, position], self.pick[label, position] = number[node], pick[node][word]
                node = children[node][word]

    def __len__(self) -> int:
        """Return N."""
        return len(self.choice)

    def sum_over_choices(self, logits: Tensor) -> Tensor:
        """Return log-probabilities (R, N) of the labels from the logits (R, K, J) of all choices' children."""
        child, choice, pick = (table.to(logits.device) for table in (self.child, self.choice, self.pick))
        each = logits.masked_fill(child < 0, -torch.inf).log_softmax(-1).flatten(1)  # (R, K J)
        each = torch.nn.functional.pad(each, (0, 1))  # and a zero, for tokens that are forced
        return each[:, (choice * child.shape[1] + pick).where(choice >= 0, -1)].sum(-1)  # (R, N, W) to (R, N)


def _upwards(node: int, parent: list[int]) -> list[int]:
    """Return a node and its ancestors, the root included."""
    above = [node]
    while above[-1]:
        above.append(parent[above[-1]])
    return above


@torch.no_grad()  # type: ignore[untyped-decorator]
def label_log_probabilities(
    model: Any, prompt: Any, rows: Sequence[int], prefixes: Sequence[Sequence[int]], trie: LabelTrie
) -> Tensor:
    """Return log-probabilities (R, N) of all labels behind each prefix, renormalised over the tokens of the trie.

    A node of the trie sees the prompt, the prefix and its own ancestors (tree attention), so one pass scores all
    labels as exactly as one pass per label would. Positions count tokens along the path. Passes are cut to keep
    memory bounded: into blocks of prefixes, and of nodes, which then read the earlier nodes from the cache.

    Args:
        model: Causal language model of transformers, or a PeftModel of one, with attention "sdpa" or "eager".
        prompt: DynamicCache with the keys and values of the windows' prompts; left as it is.
        rows: Of each prefix, the window it belongs to.
        prefixes: Tokens, at least one, between prompt and label.
        trie: The labels.
    """
    device = model.device
    if not trie.choices:
        return torch.zeros(len(rows), len(trie), device=device)
    longest = prompt.get_seq_length() + max(map(len, prefixes)) + len(trie.token)
    block = max(1, _limit(PASS_TOKENS, device) // longest)
    scores = [
        _score(model, copy_rows(prompt, rows[first : first + block]), prefixes[first : first + block], trie)
        for first in range(0, len(rows), block)
    ]
    return torch.cat(scores)


def copy_rows(cache: Any, rows: Sequence[int]) -> Any:
    """Return a new cache of some of a cache's rows. A model writes into the cache it is given."""
    from transformers import DynamicCache

    return DynamicCache([(layer.keys[list(rows)], layer.values[list(rows)]) for layer in cache.layers])


def _score(model: Any, cache: Any, prefixes: Sequence[Sequence[int]], trie: LabelTrie) -> Tensor:
    """Run prefixes and tree behind the prompt in `cache`, and return log-probabilities (R, N)."""
    device, before = model.device, cache.get_seq_length()
    ids, positions, sees = (part.to(device) for part in _lay_out(prefixes, trie))
    words, column = trie.words.to(device), trie.column.to(device)  # (U,), (K, J)
    longest = ids.shape[1] - len(trie.token)
    asked = [longest - 1 + choice for choice in trie.choices]  # where the logits of the choices stand, ascending
    block = max(1, logits_per_pass(device) // (len(prefixes) * model.config.get_text_config().vocab_size))
    logits, start = [], 0
    for first in range(0, len(asked), block):
        kept = torch.tensor(asked[first : first + block], device=device)
        stop = asked[first : first + block][-1] + 1
        visible = torch.nn.functional.pad(sees[:, start:stop, :stop], (before, 0), value=True)
        output = model(
            input_ids=ids[:, start:stop],
            attention_mask=_mask(model, visible[:, None]),  # (R, 1, queries, keys)
            position_ids=before + positions[:, start:stop],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=kept - start,
        )
        logits.append(output.logits[..., words])
        start = stop
    every = torch.cat(logits, dim=1)  # (R, K, U)
    every = every if every.dtype == torch.float64 else every.float()
    return trie.sum_over_choices(every.gather(2, column.expand(len(every), -1, -1)))


def _lay_out(prefixes: Sequence[Sequence[int]], trie: LabelTrie) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids and positions (R, C + M) of left-padded prefixes and tree, and who sees whom (R, C + M, C + M)."""
    longest, nodes = max(map(len, prefixes)), len(trie.token)
    padding = torch.tensor([longest - len(prefix) for prefix in prefixes])[:, None]  # (R, 1)
    chain = torch.tensor([[0] * (longest - len(prefix)) + list(prefix) for prefix in prefixes])  # (R, C)
    ids = torch.cat([chain, trie.token.expand(len(prefixes), -1)], dim=1)
    along = torch.cat([torch.arange(longest), longest - 1 + trie.depth])  # (C + M,)
    positions = (along - padding).clamp_min(0)
    sees = torch.ones(longest + nodes, longest + nodes, dtype=torch.bool).tril()
    sees[longest:, longest:] = trie.ancestors
    real = torch.nn.functional.pad(torch.arange(longest) >= padding, (0, nodes), value=True)  # (R, C + M)
    itself = torch.eye(longest + nodes, dtype=torch.bool)  # padding sees itself: a row that sees nothing is NaN
    return ids, positions, sees & real[:, None] | itself


def _mask(model: Any, visible: Tensor) -> Tensor:
    """Return who sees whom as the model's attention wants it: as truth values, or as numbers to add."""
    if model.config._attn_implementation == "sdpa":
        return visible
    return torch.zeros(visible.shape, device=visible.device).masked_fill_(~visible, torch.finfo(torch.float32).min)


def logits_per_pass(device: torch.device) -> int:
    """Return how many numbers one pass may return."""
    return _limit(PASS_LOGITS, device)


def _limit(limits: dict[str, int], device: torch.device) -> int:
    return limits.get(device.type, limits["cuda"])

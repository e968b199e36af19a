"""Do the sub-actions of a predicted program chain? Post-conditions against the pre-conditions that follow.

LEAP's sub-actions chain by matching the post-condition of one with the pre-condition of the next; its predecessor
(Therbligs, arXiv 2304.03631) regularises the consistency of a predicted sequence by differentiable rules. Neither
tells a formula. Ours: a pre-condition of slot k is *denied* where a slot before makes the opposite true of the same
objects, unless a slot between them makes it true again. The penalty is the expected number of denied pre-conditions
per pair of neighbouring slots. It needs no labels.

Conditions are relative to their slot: "holding(right, A)" at slot k and "not holding(right, A)" at slot k + 1 are
opposite as far as both slots have the same A.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from leaplan.recognition.program_head import OUTSIDE, STOP, ProgramLogits

ROLES = ("A", "B")
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([\w:/-]+)|([(),]))', re.DOTALL)


class Argument(NamedTuple):
    """An argument of a condition."""

    name: str
    is_role: bool  # A or B of the slot, not an object of that name


@dataclass(frozen=True, slots=True)
class Relation:
    """A condition label as it was written."""

    predicate: str
    arguments: tuple[Argument, ...]
    holds: bool


def read_relation(label: str) -> Relation:
    """Return what a label such as 'not in(A, "frying pan")' says.

    Names of other characters than letters, digits, "_", "-", ":" and "/" stand in quotes, as JSON does it, and so do
    objects that are called "A" or "B" and a predicate called "not".

    Raises:
        ValueError: `label` is no condition.
    """
    tokens, place = [], 0
    while place < len(label):
        match = _TOKEN.match(label, place)
        if match is None:
            raise ValueError(f"{label[:60]!r} is no condition such as holding(right, A)")
        tokens.append(match[1] or match[2] or match[3])
        place = match.end()
    holds = tokens[:1] != ["not"]
    predicate, *inner = (tokens if holds else tokens[1:]) or [""]
    names = inner[1:-1:2]
    written = ["(", *[part for name in names for part in (name, ",")][:-1], ")"]
    if inner != written or any(name in "()," for name in (predicate, *names)):
        raise ValueError(f"{label[:60]!r} is no condition such as holding(right, A)")
    return Relation(_plain(predicate), tuple(Argument(_plain(name), name in ROLES) for name in names), holds)


def _plain(name: str) -> str:
    return str(json.loads(name)) if name.startswith('"') else name


class ChainConsistency(nn.Module):
    """Expected number of pre-conditions that earlier slots deny, per pair of neighbouring slots.

    Shapes: N clips, W windows, K slots, M pairs of labels that speak of one fact.

    Args:
        conditions: P labels.
        objects: Co object classes; none and other (0 and 1) are never the same object as anything.
        exclusive: Pairs of labels that cannot both hold, with variables for arguments, such as
            ("free(hand)", "holding(hand, thing)"): a hand that holds anything is not free.
        reach: How many slots back is looked; 1 compares neighbours only, as LEAP chains.
    """

    named: Tensor
    posts: Tensor
    pres: Tensor
    factors: Tensor
    denying: Tensor
    supporting: Tensor

    def __init__(
        self,
        conditions: Sequence[str],
        objects: Sequence[str],
        exclusive: Iterable[tuple[str, str]] = (),
        reach: int = 1,
    ) -> None:
        super().__init__()
        if reach < 1:
            raise ValueError(f"reach is {reach}, but the next slot is 1 away")
        self.conditions, self.reach = len(conditions), reach
        relations = [read_relation(label) for label in conditions]
        names = _Names(relations, objects)
        pairs = list(_pairs(relations, names, _rules(exclusive)))
        most = max((len(pair.factors) for pair in pairs), default=1)
        self._keep("named", names.classes.values())  # (U,) object classes that labels name
        self._keep("posts", [pair.post for pair in pairs])  # (M,) label of the earlier slot
        self._keep("pres", [pair.pre for pair in pairs])  # (M,) of the later slot
        self._keep("denying", [at for at, pair in enumerate(pairs) if pair.denies])
        self._keep("supporting", [at for at, pair in enumerate(pairs) if not pair.denies])
        padded = [place for pair in pairs for place in (*pair.factors, *[_ONE] * (most - len(pair.factors)))]
        self._keep("factors", padded, (len(pairs), most))  # (M, arguments) places in the table of agreements

    def _keep(self, name: str, numbers: Iterable[int], shape: tuple[int, ...] = (-1,)) -> None:
        self.register_buffer(name, torch.tensor(list(numbers), dtype=torch.int64).view(shape), persistent=False)

    def forward(self, logits: ProgramLogits) -> Tensor:
        """Return the penalty (N, W) of programs, 0 where nothing is denied."""
        lead, slots = logits.verb.shape[:-2], logits.verb.shape[-2]
        if slots < 2 or not len(self.posts):
            return logits.verb.flatten(-2)[..., :0].sum(-1).float()
        verb, first, second, before, after = (each.float().flatten(0, -3) for each in logits)  # (N W, K, classes)
        alive = 1 - verb.softmax(-1)[..., STOP]  # (N W, K)
        arguments = torch.stack([first.softmax(-1), second.softmax(-1)], dim=-2)  # (N W, K, 2, Co)
        wanted = before.sigmoid() * alive[..., None]  # (N W, K, P)
        made = (after.sigmoid() * alive[..., None])[..., self.posts]  # (N W, K, M)
        denied = torch.zeros_like(wanted)
        for back in range(min(self.reach, slots - 1), 0, -1):  # the slot furthest back first
            same = self._agreement(arguments[:, :-back], arguments[:, back:])  # (N W, K - back, M)
            told = made[:, :-back] * same
            denies, supports = self._said(told, self.denying), self._said(told, self.supporting)  # (N W, K - back, P)
            now = denied[:, back:]
            denied = torch.cat([denied[:, :back], denies + (1 - denies) * (1 - supports) * now], dim=1)
        return (wanted * denied).sum((1, 2)).unflatten(0, lead) / (slots - 1)

    def _said(self, told: Tensor, which: Tensor) -> Tensor:
        """Return with what probability (N W, k, P) one of the pairs `which` says it of a pre-condition."""
        sums = told.new_zeros(*told.shape[:-1], self.conditions)
        return sums.index_add(-1, self.pres[which], told[..., which]).clamp(max=1)

    def _agreement(self, earlier: Tensor, later: Tensor) -> Tensor:
        """Return with what probability (N W, k, M) both labels of a pair speak of the same objects.

        Args:
            earlier, later: Distributions (N W, k, 2, Co) of A and B at both slots.
        """
        known, known_later = (each[..., OUTSIDE + 1 :] for each in (earlier, later))
        roles = (known[..., None, :] * known_later[..., None, :, :]).sum(-1).flatten(2)  # (N W, k, 4), AA AB BA BB
        names = [each[..., self.named].flatten(2) for each in (earlier, later)]  # (N W, k, 2 U), of U names
        table = torch.cat([roles.new_ones(*roles.shape[:2], 1), roles, *names], dim=-1)
        same = table[..., self.factors[:, 0]]
        for places in self.factors.T[1:]:
            same = same * table[..., places]
        return same


_ONE = 0  # place in the table of agreements that is always 1


class _Pair(NamedTuple):
    post: int
    pre: int
    denies: bool
    factors: tuple[int, ...]


class _Names:
    """Knows the objects that labels name, and where the agreement of two arguments stands.

    The table is: 1; A with A, A with B, B with A, B with B (earlier slot first); the probability of each of the U
    names as the earlier slot's A, then B; as the later slot's A, then B.
    """

    def __init__(self, relations: Iterable[Relation], objects: Sequence[str]) -> None:
        named = {each.name for relation in relations for each in relation.arguments if not each.is_role}
        self.classes = {name: at for at, name in enumerate(objects) if at > OUTSIDE and name in named}
        self.places = {name: place for place, name in enumerate(self.classes)}

    def factor(self, earlier: Argument, later: Argument) -> int | None:
        """Return the place of the agreement of two arguments; None if they are never the same."""
        if earlier.is_role and later.is_role:
            return 1 + 2 * ROLES.index(earlier.name) + ROLES.index(later.name)
        if not earlier.is_role and not later.is_role:
            return _ONE if earlier.name == later.name else None
        role, name, side = (earlier, later, 0) if earlier.is_role else (later, earlier, 2)
        if name.name not in self.places:
            return None
        return 5 + (side + ROLES.index(role.name)) * len(self.places) + self.places[name.name]


class _Rule(NamedTuple):
    """`one` and `other` exclude each other where the arguments at the paired positions are the same."""

    one: str
    other: str
    same: tuple[tuple[int, int], ...]
    arities: tuple[int, int]


def _rules(exclusive: Iterable[tuple[str, str]]) -> list[_Rule]:
    rules = []
    for one, other in exclusive:
        first, second = read_relation(one), read_relation(other)
        if not (first.holds and second.holds):
            raise ValueError(f'"{one}" and "{other}": conditions that exclude each other are written without "not"')
        if first.predicate == second.predicate:
            raise ValueError(f'"{one}" and "{other}": conditions that exclude each other have different predicates')
        same = [
            (i, j) for i, a in enumerate(first.arguments) for j, b in enumerate(second.arguments) if a.name == b.name
        ]
        arities = len(first.arguments), len(second.arguments)
        rules.append(_Rule(first.predicate, second.predicate, tuple(same), arities))
        turned = tuple((j, i) for i, j in same)
        rules.append(_Rule(second.predicate, first.predicate, turned, arities[::-1]))
    return rules


def _pairs(relations: Sequence[Relation], names: _Names, rules: Sequence[_Rule]) -> Iterable[_Pair]:
    """Yield all pairs of a post-condition and a pre-condition that speak of one fact."""
    by_predicate: dict[tuple[str, int], list[tuple[int, Relation]]] = {}
    for place, relation in enumerate(relations):
        by_predicate.setdefault((relation.predicate, len(relation.arguments)), []).append((place, relation))
    for post, earlier in enumerate(relations):
        arity = len(earlier.arguments)
        itself = _Rule(earlier.predicate, earlier.predicate, tuple((i, i) for i in range(arity)), (arity, arity))
        for rule in (itself, *(rule for rule in rules if (rule.one, rule.arities[0]) == (earlier.predicate, arity))):
            for pre, later in by_predicate.get((rule.other, rule.arities[1]), ()):
                if rule is not itself and not earlier.holds:
                    continue  # that one does not hold says nothing of the other
                places = [names.factor(earlier.arguments[i], later.arguments[j]) for i, j in rule.same]
                if None not in places:
                    opposite = earlier.holds is not later.holds
                    denies = opposite if rule is itself else later.holds
                    yield _Pair(post, pre, denies, tuple(place for place in places if place))

"""Predicted programs against true ones: sub-actions, conditions, order.

Programs are unrolled first, so that a loop and its repetitions written out are the same. Counts are summed over all
pairs before a fraction is taken; order scores are means over pairs. All figures are fractions from 0 to 1.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from leaplan.programs.language import Program, SubAction
from leaplan.programs.unroll import unroll


@dataclass(frozen=True, slots=True)
class Match:
    """How two bags of things agree.

    Args:
        common: How many are in both, repetitions counted.
        predicted, true: How many are in either.
    """

    common: int
    predicted: int
    true: int

    @property
    def precision(self) -> float:
        """Share of the predicted that is true; 0 where nothing is predicted."""
        return self.common / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the true that is predicted; 0 where there is nothing."""
        return self.common / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where nothing is predicted and nothing is true."""
        both = self.predicted + self.true
        return 2 * self.common / both if both else 1.0


@dataclass(frozen=True, slots=True)
class Scores:
    """How well predicted programs tell what the true ones tell.

    Args:
        programs: Number of pairs.
        sub_actions: Triples (verb, A, B).
        verbs: Sub-action verbs alone.
        hands: Triples with the hand.
        before, after: Pre-conditions and post-conditions, each together with the triple that it belongs to.
        order: Mean of 1 - edit distance / length of the longer one, over the sequences of triples.
        subsequence: Mean of 2 x longest common subsequence / sum of both lengths.
        exact: Share of programs with the same sequence of triples.
        truncated: Programs, predicted or true, of which only the first sub-actions were scored.
    """

    programs: int
    sub_actions: Match
    verbs: Match
    hands: Match
    before: Match
    after: Match
    order: float
    subsequence: float
    exact: float
    truncated: int

    def summary(self) -> dict[str, float]:
        """Return the figures by name, for a table or a file."""
        return {
            "programs": self.programs,
            "sub_action_precision": self.sub_actions.precision,
            "sub_action_recall": self.sub_actions.recall,
            "sub_action_f1": self.sub_actions.f1,
            "verb_f1": self.verbs.f1,
            "hand_f1": self.hands.f1,
            "pre_condition_f1": self.before.f1,
            "post_condition_f1": self.after.f1,
            "order": self.order,
            "subsequence": self.subsequence,
            "exact": self.exact,
            "truncated": self.truncated,
        }


Sequences = list[tuple[tuple[SubAction, ...], tuple[SubAction, ...]]]


def score(predicted: Sequence[Program | None], true: Sequence[Program], most: int) -> Scores:
    """Return the scores of `predicted` programs, of which each belongs to the one of `true` at the same place.

    Args:
        predicted: None where there is no program: it counts as one without sub-actions.
        true: The programs to be met.
        most: At most so many sub-actions of a program are looked at.

    Raises:
        ValueError: They are not equally many, or none.
    """
    if len(predicted) != len(true) or not true:
        raise ValueError(f"{len(predicted)} predicted programs for {len(true)} true ones")
    guesses = [unroll(program, most) if program is not None else None for program in predicted]
    truths = [unroll(program, most) for program in true]
    pairs = [
        (guess.sub_actions if guess else (), truth.sub_actions) for guess, truth in zip(guesses, truths, strict=True)
    ]
    orders = [_order(list(map(triple, guess)), list(map(triple, truth))) for guess, truth in pairs]
    return Scores(
        programs=len(pairs),
        sub_actions=_match(pairs, lambda action: [triple(action)]),
        verbs=_match(pairs, lambda action: [action.verb]),
        hands=_match(pairs, lambda action: [(*triple(action), action.hand)]),
        before=_match(pairs, lambda action: [(triple(action), str(each)) for each in action.before]),
        after=_match(pairs, lambda action: [(triple(action), str(each)) for each in action.after]),
        order=sum(edit for edit, _, _ in orders) / len(pairs),
        subsequence=sum(common for _, common, _ in orders) / len(pairs),
        exact=sum(same for _, _, same in orders) / len(pairs),
        truncated=sum(one.truncated for one in (*guesses, *truths) if one is not None),
    )


def triple(action: SubAction) -> tuple[str, str, str]:
    """Return (verb, A, B) of a sub-action."""
    return action.verb, action.first, action.second


def _match(pairs: Sequences, things: Callable[[SubAction], Iterable[Hashable]]) -> Match:
    common = predicted = true = 0
    for guess, truth in pairs:
        ours = Counter(thing for action in guess for thing in things(action))
        theirs = Counter(thing for action in truth for thing in things(action))
        common += (ours & theirs).total()
        predicted += ours.total()
        true += theirs.total()
    return Match(common, predicted, true)


def _order(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> tuple[float, float, bool]:
    """Return edit similarity, subsequence similarity, and whether both are the same."""
    if not ours and not theirs:
        return 1.0, 1.0, True
    edit = 1 - edit_distance(ours, theirs) / max(len(ours), len(theirs))
    return edit, 2 * common_length(ours, theirs) / (len(ours) + len(theirs)), ours == theirs


def edit_distance(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> int:
    """Return how many insertions, deletions and replacements turn one sequence into the other (Levenshtein)."""
    row = list(range(len(theirs) + 1))
    for index, own in enumerate(ours, start=1):
        above, row = row, [index]
        for place, their in enumerate(theirs):
            row.append(min(above[place] + (own != their), above[place + 1] + 1, row[place] + 1))
    return row[-1]


def common_length(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(theirs) + 1)
    for own in ours:
        above, row = row, [0]
        for place, their in enumerate(theirs):
            row.append(above[place] + 1 if own == their else max(above[place + 1], row[place]))
    return row[-1]

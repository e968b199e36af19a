"""The synthetic kitchen's words and true programs, read from its `annotations.json` and `evidence/<video>.json`."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from leaplan.errors import DataError
from leaplan.programs.facts import Facts
from leaplan.programs.language import HANDS, NONE, Condition, Language, Program, SubAction, Verb

_REMAKE = "Delete the kitchen's folder; the next run on the synthetic data makes it again"
_CONDITION = re.compile(r"(not )?(\w+)\(([^()]*)\)")
_OF_HANDS = ("free", "near", "holding")  # predicates whose first argument is a hand


def _verb(before: str, after: str, meaning: str, *, second: bool | None = None, hand: bool | None = True) -> Verb:
    return Verb(True, second, hand, _conditions(before), _conditions(after), meaning)


def _conditions(texts: str) -> tuple[Condition, ...]:
    return tuple(condition_of(text) for text in texts.split("; ") if text)


def condition_of(text: str) -> Condition:
    """Return the condition that the kitchen's files write as "not in(egg 1, bowl)".

    Raises:
        DataError: `text` is no condition.
    """
    match = _CONDITION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise DataError(f"the synthetic kitchen: {str(text)[:60]!r} is no condition such as in(egg 1, bowl)", _REMAKE)
    arguments = tuple(name.strip() for name in match[3].split(",")) if match[3].strip() else ()
    return Condition(match[2], arguments, match[1] is None)


_HAS, _AT_B = "holding(hand, A)", "holding(hand, A); near(hand, B)"
_SWITCH = "free(hand); near(hand, A)"

#: What each verb needs and makes whatever the world is like.
_VERBS: dict[str, Verb] = {
    "reach": _verb("free(hand)", "near(hand, A)", "move an empty hand to A", second=False),
    "grasp": _verb(_SWITCH, "holding(hand, A); not free(hand)", "take hold of A", second=False),
    "move": _verb(_HAS, "near(hand, B); not near(hand, A)", "carry A to B", second=True),
    "release": _verb(_AT_B, "not holding(hand, A); free(hand)", "let go of A in or on B", second=True),
    "pour": _verb(_AT_B, "not mixed(B)", "pour what is in A into B", second=True),
    "shake": _verb(f"{_AT_B}; full(A)", "not mixed(B)", "shake A over B", second=True),
    "cut": _verb("holding(hand, B); near(hand, A); not cut(A)", "cut(A)", "cut A with B", second=True),
    "peel": _verb(f"{_SWITCH}; not peeled(A)", "peeled(A)", "peel A, which the other hand holds", second=False),
    "spread": _verb("near(hand, B); not on(A, B)", "on(A, B)", "spread A on B with a knife", second=True),
    "crack": _verb(
        f"{_AT_B}; not open(A)", "open(A); not holding(hand, A); free(hand); in(A, B); not mixed(B)",
        "crack A into B", second=True,
    ),
    "squeeze": _verb(f"{_AT_B}; cut(A)", "not mixed(B)", "squeeze the juice of A into B", second=True),
    "wash": _verb(f"{_AT_B}; active(B)", "clean(A)", "wash A under the running B", second=True),
    "fill": _verb(f"{_AT_B}; active(B); not full(A)", "full(A); not hot(A)", "fill A at the running B", second=True),
    "stir": _verb("holding(hand, B); near(hand, A)", "mixed(A)", "stir what is in A with B", second=True),
    "flip": _verb("holding(hand, B); near(hand, A)", "hot(A)", "turn over what is in A with B", second=True),
    "wait": _verb("", "hot(A)", "wait until A is done", second=False, hand=False),
    "turn_on": _verb(f"{_SWITCH}; not active(A)", "active(A)", "switch A on", second=False),
    "turn_off": _verb(f"{_SWITCH}; active(A)", "not active(A)", "switch A off", second=False),
    "open": _verb(f"{_SWITCH}; not open(A)", "open(A)", "open A, which the other hand holds", second=False),
}  # fmt: skip


#: Predicates and their number of arguments.
_PREDICATES = {
    "free": 1, "near": 2, "holding": 2, "on": 2, "in": 2, "open": 1, "clean": 1, "peeled": 1, "cut": 1, "mixed": 1,
    "hot": 1, "cooked": 1, "full": 1, "active": 1,
}  # fmt: skip


def kitchen_language(vocabulary: Mapping[str, Any] | None = None) -> Language:
    """Return the language of the kitchen's programs. Any object may be declared.

    Args:
        vocabulary: The part of that name of `annotations.json`; by default that of the kitchen as it is made now.

    Raises:
        DataError: It does not tell sub-action verbs and predicates.
    """
    if vocabulary is None:
        vocabulary = {"sub_action_verbs": list(_VERBS), "predicates": _PREDICATES}
    verbs, predicates = vocabulary.get("sub_action_verbs"), vocabulary.get("predicates")
    if not isinstance(verbs, list) or not isinstance(predicates, dict):
        raise DataError("the synthetic kitchen's vocabulary has no sub_action_verbs and predicates", _REMAKE)
    return Language(
        "kitchen",
        {verb: _VERBS.get(verb, Verb()) for verb in verbs},
        {name: _kinds(name, arity) for name, arity in predicates.items()},
    )


def _kinds(predicate: str, arity: int) -> tuple[str, ...]:
    return (("hand" if predicate in _OF_HANDS else "object"), *["object"] * (arity - 1))[:arity]


def kitchen_program(entry: Mapping[str, Any], facts: Iterable[str], action: str = "") -> Program:
    """Return the true program of a segment.

    Args:
        entry: One of the "programs" of `evidence/<video>.json`.
        facts: All that holds before the segment, such as "on(pan, stove)"; the rest does not hold.
        action: What is done, the program's name; by default "step 7" after the entry's step id.

    Returns:
        The sub-actions as they are; of the facts, those that are needed are assumed.

    Raises:
        DataError: The entry lacks a key, or a condition cannot be read.
    """
    actions = tuple(_sub_action(each) for each in _get(entry, "sub_actions"))
    holding = {condition_of(fact) for fact in facts}
    changed = Facts()
    assumes: dict[Condition, None] = {}
    for each in actions:
        for condition in each.before:
            known = changed.truth(condition) is not None or condition.negated in assumes
            if not known and (Condition(condition.predicate, condition.arguments) in holding) is condition.holds:
                assumes[condition] = None
        changed.change(each.after)
    objects = tuple(dict.fromkeys(name for each in actions for name in _named(each)))
    return Program(action or f"step {_get(entry, 'step')}", (), objects, tuple(assumes), actions)


def kitchen_programs(evidence: Mapping[str, Any]) -> dict[str, Program]:
    """Return segment id to true program for a whole `evidence/<video>.json`, facts followed from one to the next.

    Raises:
        DataError: A field is missing.
    """
    facts = dict.fromkeys(map(str, _get(evidence, "facts")))
    programs = {}
    for entry in _get(evidence, "programs"):
        program = programs[_get(entry, "segment")] = kitchen_program(entry, facts)
        for action in program.body:
            for condition in action.after:  # type: ignore[union-attr]
                fact = str(Condition(condition.predicate, condition.arguments))
                if condition.holds:
                    facts[fact] = None
                else:
                    facts.pop(fact, None)
    return programs


def _sub_action(value: Mapping[str, Any]) -> SubAction:
    verb, first, second, hand = (str(_get(value, key)) for key in ("verb", "first", "second", "hand"))
    before, after = (tuple(map(condition_of, _get(value, key))) for key in ("before", "after"))
    return SubAction(verb, first, second, hand, before, after)


def _named(action: SubAction) -> Iterable[str]:
    names = [action.first, action.second]
    names += [name for condition in (*action.before, *action.after) for name in condition.arguments]
    return (name for name in names if name != NONE and name not in HANDS)


def _get(values: Mapping[str, Any], key: str) -> Any:
    if key not in values:
        raise DataError(f'the synthetic kitchen: "{key}" is missing beside {", ".join(values)}', _REMAKE)
    return values[key]

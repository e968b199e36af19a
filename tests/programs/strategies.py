"""Hypothesis strategies of well-formed programs: every word known, every object declared, every arity right.

Whether a program makes sense (pre-conditions established, hands not holding two things) is left to chance.
"""

from hypothesis import strategies as st

from leaplan.programs.language import (
    HANDS,
    LEAP,
    NONE,
    Body,
    Condition,
    ForEach,
    If,
    Language,
    Program,
    Repeat,
    Statement,
    SubAction,
    Verb,
    While,
)

#: Names as people and EPIC-KITCHENS write them, and words that the grammar uses itself.
COMMON = (
    "door", "cup", "oil bottle", "rack:drying", "pan", "chopping board", "salt/pepper", "x-1", "2", "crème fraîche",
    "tomato", "if", "not", "objects", "pre", "left", "hand", "each", "-", "a-", '"', "\\", "<b>&amp;</b>", "#1", "碗",
)  # fmt: skip


_LETTERS = st.one_of(st.characters(exclude_categories=("C", "Z")), st.sampled_from(' "\\{}[](),;:<>&#'))
_TEXTS = st.text(_LETTERS, min_size=1, max_size=8).map(lambda text: " ".join(text.split()))
_NAMES = st.one_of(st.sampled_from(COMMON), _TEXTS.filter(lambda text: text not in ("", NONE) and text.isprintable()))


def names() -> st.SearchStrategy[str]:
    """Object names: common ones and arbitrary printable text, quotes, braces and markup included."""
    return _NAMES


@st.composite
def conditions(draw, objects: tuple[str, ...], language: Language = LEAP) -> Condition:
    """Conditions over `objects`, at least one, and either hand."""
    predicate = draw(st.sampled_from(sorted(language.predicates)))
    kinds = {"hand": ("left", "right"), "object": objects}
    arguments = tuple(draw(st.sampled_from(kinds[kind])) for kind in language.predicates[predicate])
    return Condition(predicate, arguments, draw(st.booleans()))


@st.composite
def sub_actions(draw, objects: tuple[str, ...], language: Language = LEAP) -> SubAction:
    """Sub-actions over `objects`, at least one."""
    name = draw(st.sampled_from(sorted(language.verbs)))
    verb = language.verbs[name]

    def given(allowed: bool | None, values: tuple[str, ...]) -> str:
        return draw(st.sampled_from({True: values, False: (NONE,), None: (NONE, *values)}[allowed]))

    before, after = (
        tuple(draw(conditions(objects, language)) for _ in range(draw(st.integers(0, 2)))) for _ in range(2)
    )
    return SubAction(
        name, given(verb.first, objects), given(verb.second, objects), given(verb.hand, HANDS), before, after
    )


@st.composite
def bodies(draw, objects: tuple[str, ...], language: Language = LEAP, depth: int = 2) -> Body:
    """Bodies of one to three statements over `objects`, with blocks up to `depth` within one another."""
    return tuple(draw(statements(objects, language, depth)) for _ in range(draw(st.integers(1, 3))))


@st.composite
def statements(draw, objects: tuple[str, ...], language: Language = LEAP, depth: int = 2) -> Statement:
    """A statement over `objects`; variables of `for each` are new names."""
    kind = draw(st.sampled_from((SubAction, SubAction, SubAction, Repeat, While, If, ForEach))) if depth else SubAction
    if kind is SubAction:
        return draw(sub_actions(objects, language))
    if kind is ForEach:
        variable = draw(names().filter(lambda name: name not in objects))
        each = objects[: draw(st.integers(1, len(objects)))]
        return ForEach(variable, each, draw(bodies((*objects, variable), language, depth - 1)))
    body = draw(bodies(objects, language, depth - 1))
    if kind is Repeat:
        return Repeat(draw(st.integers(1, 100)), body)
    condition = draw(conditions(objects, language))
    if kind is While:
        return While(condition, draw(st.integers(1, 100)), body)
    return If(condition, body, draw(bodies(objects, language, depth - 1)) if draw(st.booleans()) else ())


@st.composite
def programs(draw, language: Language = LEAP, depth: int = 2) -> Program:
    """Programs of `language`; where it has a list of objects, those are declared, otherwise any names."""
    name = st.sampled_from(language.objects) if language.objects else names()
    declared = tuple(draw(st.lists(name, min_size=1, max_size=4, unique=True)))
    cut = draw(st.integers(0, len(declared)))
    assumes = tuple(draw(conditions(declared, language)) for _ in range(draw(st.integers(0, 2))))
    verb = draw(st.one_of(st.sampled_from(("open", "take", "turn on", "if")), names()))
    return Program(verb, declared[:cut], declared[cut:], assumes, draw(bodies(declared, language, depth)))


#: A language of other words, some of which the grammar uses itself or must quote.
ODD = Language(
    "odd",
    {"repeat": Verb(), "pick up": Verb(None, None, None), "else": Verb(True, True, False, meaning='put "<i>" down')},
    {"not": ("object",), "in (a | b)": ("object", "object"), "if": ("hand", "object"), "now": ()},
    ("cup", "for", "oil bottle"),
    {"collect": "pick up"},
    {"full": "not"},
)

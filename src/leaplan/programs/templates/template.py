"""What a template is, and the phrases that most of them are made of.

The text of a template is the body of a program without usual conditions (see `completion.py`). In it "right" is
the hand that does the main work, "left" the one that helps. `in(THING, TO)` becomes `on(THING, TO)` where TO is a
surface or was narrated as one.
"""

from dataclasses import dataclass

ROLES = ("THING", "ALSO", "TO", "FROM", "TOOL")


@dataclass(frozen=True, slots=True)
class Template:
    """How actions of some verb classes are done.

    Args:
        verbs: Keys of verb classes.
        text: The body of the program.
        nouns: Only if THING is one of these; all nouns if empty.
        words: Only if one of these is said; whatever is said if empty.
        needs: Only if these roles are narrated, besides THING.
        to, source: TO and FROM where they are not narrated.
        tools: Candidates for TOOL where it is not narrated; the first that is no other role is taken.
        opens: Roles that are opened first if they are closed and can be.
    """

    verbs: tuple[str, ...]
    text: str
    nouns: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    to: str = ""
    source: str = ""
    tools: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()


def get(thing: str, hand: str = "right") -> str:
    """Return the text for reaching for `thing` and grasping it."""
    return f"reach({thing}) {hand}; grasp({thing}) {hand}; "


def carry(thing: str, place: str, hand: str = "right") -> str:
    """Return the text for putting the held `thing` in or on `place`."""
    return f"move({thing}, {place}) {hand}; release({thing}, {place}) {hand} [post: in({thing}, {place})]; "


def lay(thing: str, place: str, hand: str = "right") -> str:
    """Return the text for laying the held `thing` on `place`."""
    return f"move({thing}, {place}) {hand}; release({thing}, {place}) {hand} [post: on({thing}, {place})]; "


def opened(thing: str, hand: str = "left") -> str:
    """Return the text for opening `thing` if it is closed: a door, a drawer, a bin, a tap."""
    return (
        f"if not open({thing}) {{ {get(thing, hand)}"
        f"move({thing}) {hand} [post: open({thing})]; release({thing}) {hand}; }} "
    )


def closed(thing: str, hand: str = "left") -> str:
    """Return the text for closing `thing`, a tap for instance, that is open."""
    return f"{get(thing, hand)}move({thing}) {hand} [post: not open({thing})]; release({thing}) {hand}; "


def work(*statements: str, most: int = 3, until: str) -> str:
    """Return the text of a loop over `statements`, at `most` so often, as long as `until` does not hold."""
    return f"while not {until} max {most} {{ {' '.join(statements)} }} "

"""What is known of a clip, as a language model is told it: up to five short texts in a fixed order (LEAP's H_IC).

A descriptor turns the time span of a clip into a text, "" where it knows nothing. No text holds an id or a time
counted from anything but the start of the clip, so that clips that look the same have the same evidence.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Protocol, runtime_checkable

#: Sections in the order in which they are shown, with their headings.
HEADINGS: Mapping[str, str] = MappingProxyType(
    {
        "narration": "Narration",
        "audio": "Sounds",
        "objects": "Objects seen",
        "contact": "Hands",
        "camera": "Camera",
    }
)
TIMED = ("audio", "objects", "contact", "camera")  # sections that mean little without the clip's length


@dataclass(frozen=True, slots=True)
class Clip:
    """A time span of a video in which one action is done.

    Args:
        id: Unique in its dataset, such as "P01_01_0".
        video: Such as "P01_01".
        start, stop: Seconds of the video.
        narration: As spoken or annotated; "" if there is none.
        verb, noun: Class keys, such as "turn-on" and "rack:drying"; "" if there is none.
        nouns: Keys of all nouns of the narration, `noun` first where the annotators put it first.
    """

    id: str
    video: str
    start: float
    stop: float
    narration: str = ""
    verb: str = ""
    noun: str = ""
    nouns: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Seconds from start to stop."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Contact:
    """A hand touches something.

    Args:
        hand: "left" or "right".
        object: What it touches: a noun's class key where the source tells it, else a name; "" if not known.
        start, stop: Seconds of the video.
        fixed: It is something that cannot be carried, such as a door.
        words: The source's own name of `object` where that is another.
    """

    hand: str
    object: str
    start: float
    stop: float
    fixed: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """What one kind of descriptor says; `name` is a key of `HEADINGS`."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a clip, in the order of `HEADINGS`; sections that say nothing are left out."""

    clip: Clip
    sections: tuple[Section, ...]

    def text(self) -> str:
        """Return the sections under their headings: what the model sees, "" if nothing is known.

        The clip's length comes first where a section counts seconds.
        """
        parts = [f"{HEADINGS[section.name]}:\n{section.text}" for section in self.sections]
        if any(section.name in TIMED for section in self.sections):
            parts.insert(0, f"Length of the clip: {self.clip.duration:.1f} s")
        return "\n\n".join(parts)

    def key(self) -> str:
        """Return the SHA-256 of `text()` in hexadecimal. Clips with the same key are the same to the model."""
        return hashlib.sha256(self.text().encode("utf-8")).hexdigest()


class Descriptor(Protocol):
    """Anything that describes clips. `name` is a key of `HEADINGS`."""

    @property
    def name(self) -> str:
        """The section that the text belongs to."""
        ...

    def describe(self, clip: Clip) -> str:
        """Return the text of `clip`; "" where there is nothing to say.

        Raises:
            DataError: A file of the clip's video cannot be read.
        """
        ...


@runtime_checkable
class ContactSource(Protocol):
    """A descriptor that also knows which hand touches what, and when."""

    def contacts(self, clip: Clip) -> tuple[Contact, ...]:
        """Return the contacts that overlap `clip`, cut to it, sorted by start and hand."""
        ...


class Assembler:
    """Puts the evidence of clips together.

    Args:
        descriptors: In any order. Texts of the same section are put below one another in the order given.

    Raises:
        ValueError: A descriptor's name is no section.
    """

    def __init__(self, descriptors: Iterable[Descriptor]) -> None:
        self.descriptors = tuple(descriptors)
        unknown = sorted({each.name for each in self.descriptors} - set(HEADINGS))
        if unknown:
            raise ValueError(f"no section {unknown[0]!r}; there are {', '.join(HEADINGS)}")
        self._of: dict[str, list[Descriptor]] = {
            name: [each for each in self.descriptors if each.name == name] for name in HEADINGS
        }
        self._contacts = [each for each in self.descriptors if isinstance(each, ContactSource)]

    def evidence(self, clip: Clip) -> Evidence:
        """Return the evidence of `clip`. It is quickest if clips of the same video follow one another."""
        sections = []
        for name, descriptors in self._of.items():
            texts = [text for each in descriptors if (text := each.describe(clip))]
            if texts:
                sections.append(Section(name, "\n".join(texts)))
        return Evidence(clip, tuple(sections))

    def contacts(self, clip: Clip) -> tuple[Contact, ...]:
        """Return what all descriptors know of hands and objects in `clip`, sorted by start and hand."""
        found = chain.from_iterable(each.contacts(clip) for each in self._contacts)
        return tuple(sorted(set(found), key=lambda each: (each.start, each.hand, each.stop, each.object)))


def span(clip: Clip, start: float, stop: float) -> str:
    """Return "0.4-1.2 s": from `start` to `stop`, seconds of the video, cut to `clip` and counted from its start."""
    first = min(max(start - clip.start, 0.0), clip.duration)
    last = min(max(stop - clip.start, 0.0), clip.duration)
    return f"{first:.1f}-{last:.1f} s" if f"{first:.1f}" != f"{last:.1f}" else f"{first:.1f} s"


def side(middle: float) -> str:
    """Return where in the picture `middle` is, 0 its left edge and 1 its right: "left", "middle" or "right"."""
    return "left" if middle < 1 / 3 else "right" if middle > 2 / 3 else "middle"


def listed(lines: Sequence[str], most: int, what: str) -> str:
    """Return `lines` below one another, at `most` so many, and how many more there are."""
    rest = len(lines) - most
    return "\n".join([*lines[:most], *([f"... and {rest} more {what}"] if rest > 0 else [])])

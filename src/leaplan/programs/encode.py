"""Programs as label arrays for the recogniser, and back (plain NumPy).

A program is unrolled to K slots. Each slot has a verb, A, B, a hand, and two multi-hot vectors over P conditions:

    verb    0 stop or padding, then the verbs in the encoder's order
    first   A: 0 none, 1 other (an object outside the vocabulary), then the objects in the encoder's order
    second  B: likewise
    hand    0 none, 1 left, 2 right, 3 both
    before  pre-conditions        after  post-conditions

Conditions are told relative to their slot: an argument that is the slot's A or B is written as that role, so that
`holding(right, cup)` after `grasp(cup)` and `holding(right, pan)` after `grasp(pan)` are the same label,
"holding(right, A)". Other names stay as they are, and so do hands. The vocabulary of conditions is fixed by the
training programs. What is outside of it is left out and counted.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leaplan.errors import DataError
from leaplan.programs.encoded import Bits, Encoded, EncodedPrograms
from leaplan.programs.label_text import condition_of, text_of
from leaplan.programs.language import HANDS, NONE, OTHER, Language, Program, SubAction
from leaplan.programs.unroll import Unrolled, ordered, unroll

__all__ = ["Encoded", "EncodedPrograms", "Encoder"]

SCHEMA = 1  # of an encoder's settings; goes up when the same settings mean other arrays
STOP, NOTHING, OUTSIDE = 0, 0, 1  # verb class; object classes
HAND_CLASSES = (NONE, *HANDS)
REMAKE = "Make it again from the training programs:  Encoder.of(programs, language)"


@dataclass(frozen=True, slots=True)
class Encoder:
    """Turns programs into label arrays and back.

    Args:
        language: The language's name.
        verbs: Verb classes from 1 on.
        objects: Object classes from 2 on.
        conditions: P conditions relative to a slot, sorted, such as "holding(right, A)"; see `label_text`.
        slots: K.
    """

    language: str
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    conditions: tuple[str, ...]
    slots: int = 16
    _verb_ids: Mapping[str, int] = field(init=False, repr=False, compare=False)
    _object_ids: Mapping[str, int] = field(init=False, repr=False, compare=False)
    _condition_ids: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Look up indices once; refuse what would make classes ambiguous."""
        if self.slots < 1:
            raise ValueError(f"{self.slots} slots; at least 1 is needed")
        for name in ("verbs", "objects", "conditions"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} that occur twice: {[each for each, n in Counter(values).items() if n > 1]}")
        if {NONE, OTHER}.intersection(self.objects):
            raise ValueError(f'"{NONE}" and "{OTHER}" have classes of their own and cannot be among the objects')
        set_field = object.__setattr__
        set_field(self, "_verb_ids", {verb: place for place, verb in enumerate(self.verbs, start=1)})
        ids = {NONE: NOTHING, OTHER: OUTSIDE}
        set_field(self, "_object_ids", ids | {name: place for place, name in enumerate(self.objects, start=2)})
        set_field(self, "_condition_ids", {text: place for place, text in enumerate(self.conditions)})

    @classmethod
    def of(
        cls, programs: Iterable[Program | None], language: Language, slots: int = 16, min_count: int = 1
    ) -> "Encoder":
        """Return the encoder for training `programs`.

        Args:
            programs: Those of training only; None where there is none.
            language: Its objects become classes; if it has no list of them, those that occur do.
            slots: K.
            min_count: Conditions that occur less often are left out of the vocabulary.
        """
        actions = Counter(
            action for program in programs if program is not None for action in unroll(program, slots).sub_actions
        )
        conditions: Counter[str] = Counter()
        names: set[str] = set()
        for action, count in actions.items():
            names.update((action.first, action.second))
            for condition in (*action.before, *action.after):
                conditions[text_of(condition, action.first, action.second)] += count
        objects = language.objects or sorted(names)
        return cls(
            language.name,
            tuple(language.verbs),
            tuple(name for name in dict.fromkeys(objects) if name not in (NONE, OTHER)),
            tuple(sorted(text for text, count in conditions.items() if count >= min_count)),
            slots,
        )

    @property
    def verb_classes(self) -> int:
        """Number of verb classes, stop included."""
        return len(self.verbs) + 1

    @property
    def object_classes(self) -> int:
        """Number of object classes, none and other included."""
        return len(self.objects) + 2

    def encode(self, program: Program) -> Encoded:
        """Return the labels of one program. Raises as `encode_all`."""
        return self.encode_all([program])[0]

    def encode_all(self, programs: Iterable[Program | None]) -> EncodedPrograms:
        """Return the labels of `programs`, in their order; None stands for a clip without a program.

        Raises:
            DataError: A sub-action has a verb or hand that is none of the encoder's.
        """
        return _Writer(self).written(programs)

    def decode(self, encoded: Encoded) -> tuple[SubAction, ...]:
        """Return the sub-actions that the labels of one program stand for.

        They are equal to those of `unroll` if nothing was dropped, truncated or "other".

        Raises:
            ValueError: The labels are those of several programs, or a class is out of range.
        """
        if encoded.verb.shape != (self.slots,) or encoded.before.shape != (self.slots, len(self.conditions)):
            expected = f"({self.slots},) and ({self.slots}, {len(self.conditions)})"
            raise ValueError(f"arrays of {encoded.verb.shape} and {encoded.before.shape}, expected {expected}")
        return tuple(self._decoded(encoded, slot) for slot in np.flatnonzero(encoded.mask).tolist())

    def _decoded(self, encoded: Encoded, slot: int) -> SubAction:
        verb, hand = int(encoded.verb[slot]), int(encoded.hand[slot])
        if not (0 < verb < self.verb_classes and 0 <= hand < len(HAND_CLASSES)):
            raise ValueError(f"slot {slot}: no sub-action has verb class {verb} and hand class {hand}")
        first, second = self._object(int(encoded.first[slot])), self._object(int(encoded.second[slot]))
        before, after = (
            ordered(tuple(condition_of(self.conditions[place], first, second) for place in np.flatnonzero(bits[slot])))
            for bits in (encoded.before, encoded.after)
        )
        return SubAction(self.verbs[verb - 1], first, second, HAND_CLASSES[hand], before, after)

    def _object(self, index: int) -> str:
        if not 0 <= index < self.object_classes:
            raise ValueError(f"object class {index}; there are {self.object_classes}")
        return (NONE, OTHER)[index] if index < 2 else self.objects[index - 2]

    def to_dict(self) -> dict[str, Any]:
        """Return the settings, ready for `json.dumps`."""
        return {
            "schema": SCHEMA,
            "language": self.language,
            "slots": self.slots,
            "verbs": list(self.verbs),
            "objects": list(self.objects),
            "conditions": list(self.conditions),
        }

    @classmethod
    def from_dict(cls, settings: Any, source: str = "the encoder's settings") -> "Encoder":
        """Return the encoder with `settings` as `to_dict` returns them.

        Raises:
            DataError: They are of another schema version, or not an encoder's; `source` names them in the message.
        """
        found = settings.get("schema") if isinstance(settings, dict) else None
        if not isinstance(found, int):
            raise DataError(f"{source}: no settings of a program encoder (no schema version)", REMAKE)
        if found != SCHEMA:
            age = "an older" if found < SCHEMA else "a newer"
            raise DataError(f"{source}: made by {age} leaplan: schema {found}, this one reads {SCHEMA}", REMAKE)
        lists: list[Any] = [settings.get(name) for name in ("verbs", "objects", "conditions")]
        texts = all(isinstance(each, list) and all(isinstance(value, str) for value in each) for each in lists)
        language, slots = settings.get("language"), settings.get("slots")
        if not texts or not isinstance(language, str) or not isinstance(slots, int):
            raise DataError(f"{source}: keys are missing or of the wrong kind", REMAKE)
        try:
            for text in lists[2]:
                condition_of(text, NONE, NONE)
            verbs, objects, conditions = map(tuple, lists)
            return cls(language, verbs, objects, conditions, slots)
        except ValueError as error:
            raise DataError(f"{source}: {error}", REMAKE) from None


class _Writer:
    """Encodes programs, each different sub-action once.

    A sub-action becomes eight numbers: verb, first, second, hand, rows of both patterns, dropped, others.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.rows: dict[SubAction, int] = {}
        self.numbers: list[tuple[int, ...]] = [(0,) * 8]  # row 0 is an empty slot
        self.patterns: dict[tuple[int, ...], int] = {(): 0}

    def written(self, programs: Iterable[Program | None]) -> EncodedPrograms:
        most = self.encoder.slots
        rows, truncated = array("i"), array("b")
        for program in programs:
            unrolled = Unrolled((), False) if program is None else unroll(program, most)
            rows.extend(self.row(action) for action in unrolled.sub_actions)
            rows.extend((0,) * (most - len(unrolled.sub_actions)))
            truncated.append(unrolled.truncated)
        at = np.array(rows, np.intc).reshape(-1, most)
        table = np.array(self.numbers, np.int64)
        return EncodedPrograms(
            verb=table[:, 0].astype(np.int16)[at],
            first=table[:, 1].astype(np.int16)[at],
            second=table[:, 2].astype(np.int16)[at],
            hand=table[:, 3].astype(np.int8)[at],
            before=table[:, 4].astype(np.int32)[at],
            after=table[:, 5].astype(np.int32)[at],
            patterns=self.pattern_table(),
            length=np.count_nonzero(at, axis=1),
            dropped=table[:, 6][at].sum(1),
            others=table[:, 7][at].sum(1),
            truncated=np.array(truncated, np.bool_),
        )

    def pattern_table(self) -> Bits:
        table = np.zeros((len(self.patterns), len(self.encoder.conditions)), np.uint8)
        for places, row in self.patterns.items():
            table[row, list(places)] = 1
        return table

    def row(self, action: SubAction) -> int:
        row = self.rows.get(action)
        if row is None:
            row = self.rows[action] = len(self.numbers)
            self.numbers.append(self.numbers_of(action))
        return row

    def numbers_of(self, action: SubAction) -> tuple[int, ...]:
        encoder = self.encoder
        verb = encoder._verb_ids.get(action.verb)
        if verb is None or action.hand not in HAND_CLASSES:
            what = f'verb "{action.verb}"' if verb is None else f'hand "{action.hand}"'
            raise DataError(
                f'the {what} is none of the encoder for the language "{encoder.language}"',
                "Check the programs:  leaplan check-programs FILE",
            )
        ids = encoder._object_ids
        first, second = ids.get(action.first, OUTSIDE), ids.get(action.second, OUTSIDE)
        others = (action.first not in ids) + (action.second not in ids)
        patterns, dropped = [], 0
        for conditions in (action.before, action.after):
            texts = [text_of(condition, action.first, action.second) for condition in conditions]
            places = sorted(encoder._condition_ids[text] for text in texts if text in encoder._condition_ids)
            dropped += len(texts) - len(places)
            patterns.append(self.patterns.setdefault(tuple(places), len(self.patterns)))
        return verb, first, second, HAND_CLASSES.index(action.hand), *patterns, dropped, others

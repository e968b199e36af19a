"""Who does what in which video: people, their habits, and the split that keeps them apart."""

from dataclasses import dataclass
from random import Random

from leaplan.data.kitchen.recipes import RECIPES
from leaplan.errors import DataError

VIDEOS_PER_PERSON = 8
VALIDATION_SHARE = 32 / 240
TEST_SHARE = 40 / 240
LEFT_HANDED = 0.15


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with habits.

    Args:
        name: Such as "P07".
        hand: The stronger hand.
        pace: Factor on all durations; above 1 is slow.
        seed: Of everything else about this person: looks, kitchen, preferred orders.
    """

    name: str
    hand: str
    pace: float
    seed: str

    def random(self, purpose: str) -> Random:
        """Return a generator that is this person's own for `purpose`."""
        return Random(f"{self.seed}/{purpose}")


@dataclass(frozen=True, slots=True)
class Role:
    """One video to be made.

    Args:
        id: Such as "P07_3".
        task: Index into `RECIPES`.
        person: Who is filmed.
        split: "train", "val" or "test". All videos of a person are in one split.
        seed: Of everything that is this video's own.
    """

    id: str
    task: int
    person: Person
    split: str
    seed: str

    def random(self, purpose: str) -> Random:
        """Return a generator that is this video's own for `purpose`."""
        return Random(f"{self.seed}/{purpose}")


def cast(seed: int, videos: int) -> list[Role]:
    """Return the roles of a kitchen with `videos` videos.

    Tasks take turns, so each part has its share of every task. Eight videos go to a person; a small
    kitchen has fewer tasks and shorter engagements, so that each part still has somebody.

    Raises:
        DataError: Fewer than 3 videos.
    """
    if videos < 3:
        raise DataError(
            f"a kitchen of {videos} videos has no training, validation and test part",
            "Ask for at least 3 videos; the default is 240",
        )
    each = max(1, min(VIDEOS_PER_PERSON, videos // 6))
    tasks = max(1, min(len(RECIPES), videos // 3))
    people = [_person(seed, number) for number in range(-(-videos // each))]
    parts = _parts(len(people))
    roles = []
    for index in range(videos):
        person = people[index // each]
        id_ = f"{person.name}_{index % each + 1}"
        roles.append(Role(id_, index % tasks, person, parts[index // each], f"{seed}/{id_}"))
    return roles


def _person(seed: int, number: int) -> Person:
    name = f"P{number + 1:02d}"
    random = Random(f"{seed}/{name}/habits")
    hand = "left" if random.random() < LEFT_HANDED else "right"
    return Person(name, hand, round(random.uniform(0.8, 1.25), 3), f"{seed}/{name}")


def _parts(people: int) -> list[str]:
    test = max(1, round(people * TEST_SHARE))
    validation = max(1, round(people * VALIDATION_SHARE))
    train = people - validation - test
    return ["train"] * train + ["val"] * validation + ["test"] * test

"""One video as events: which steps are done in which order, and when each sub-action happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from leaplan.data.kitchen.cast import Role
from leaplan.data.kitchen.objects import DISTRACTORS, FIXTURES, HANDS, PACKAGES
from leaplan.data.kitchen.recipes import RECIPES, Recipe, Use
from leaplan.data.kitchen.routines import Cook
from leaplan.data.kitchen.steps import STEP_ID, STEPS
from leaplan.data.kitchen.world import Fact, ImpossibleError, SubAction, World

FRAME_RATE = 10  # frames per second
SHORTEST, LONGEST = 10.5, 39.5  # seconds
HABIT, WHIM = 1.2, 0.9  # how far a step moves in the order, by person and by video

#: Seconds of a sub-action at pace 1.
SECONDS = {
    "reach": 0.27,
    "grasp": 0.13,
    "move": 0.29,
    "release": 0.13,
    "pour": 0.52,
    "shake": 0.48,
    "cut": 0.69,
    "peel": 0.55,
    "spread": 0.63,
    "crack": 0.35,
    "squeeze": 0.48,
    "wash": 0.55,
    "fill": 0.55,
    "stir": 0.76,
    "flip": 0.48,
    "wait": 0.55,
    "turn_on": 0.20,
    "turn_off": 0.20,
    "open": 0.24,
}


@dataclass(frozen=True, slots=True)
class Event:
    """A sub-action in time, seconds."""

    start: float
    stop: float
    action: SubAction


@dataclass(frozen=True, slots=True)
class Performance:
    """A step as it was done: step id and its events, in order and without overlap."""

    step: int
    events: tuple[Event, ...]

    @property
    def start(self) -> float:
        """Seconds."""
        return self.events[0].start

    @property
    def stop(self) -> float:
        """Seconds."""
        return self.events[-1].stop


@dataclass(frozen=True, slots=True)
class Episode:
    """All that happens in one video.

    Args:
        role: Who does which task.
        duration: Seconds, a whole number of frames.
        objects: Everything on the scene that can be used, needed or not.
        distractors: Everything else on the scene.
        facts: What holds at the start.
        performances: The steps, in order and without overlap.
    """

    role: Role
    duration: float
    objects: tuple[str, ...]
    distractors: tuple[str, ...]
    facts: tuple[Fact, ...]
    performances: tuple[Performance, ...]

    @property
    def events(self) -> tuple[Event, ...]:
        """All sub-actions in order."""
        return tuple(event for performance in self.performances for event in performance.events)

    @property
    def frames(self) -> int:
        """Number of frames of the video."""
        return round(self.duration * FRAME_RATE)


def simulate(role: Role) -> Episode:
    """Return the episode that `role` plays; the same role plays the same episode."""
    recipe = RECIPES[role.task]
    chosen = _choose_steps(recipe, role.random("steps"))
    objects = _set_out(recipe, chosen, role.random("objects"))
    facts = _first_facts(objects)
    script = _perform(chosen, recipe, role, World(facts))
    performances, duration = _schedule(script, role.person.pace, role.random("times"))
    distractors = role.random("distractors").sample(DISTRACTORS, 3)
    return Episode(role, duration, objects, tuple(distractors), facts, performances)


def _choose_steps(recipe: Recipe, random: Random) -> list[Use]:
    variant = random.choice(recipe.variants)
    return [use for use in recipe.uses if random.random() < use.chance and use.variant in ("", variant)]


def _set_out(recipe: Recipe, chosen: list[Use], random: Random) -> tuple[str, ...]:
    """Everything the chosen steps use, and some of what the other steps of the recipe would use."""
    used = [name for use in chosen for name in STEPS[STEP_ID[use.step]].uses]
    spare = [name for use in recipe.uses for name in STEPS[STEP_ID[use.step]].uses if name not in used]
    some = [name for name in dict.fromkeys(spare) if random.random() < 0.5]
    always = ["pan"] if random.random() < 0.7 else []
    every = dict.fromkeys([*used, *some, *always])
    return tuple(name for name in every if name not in FIXTURES)


def _first_facts(objects: Sequence[str]) -> tuple[Fact, ...]:
    facts: list[Fact] = [("free", hand) for hand in HANDS]
    facts += [("on", name, "stove" if name == "pan" else "table") for name in objects]
    facts += [("full", name) for name in objects if name in PACKAGES]
    return tuple(facts)


def _perform(chosen: list[Use], recipe: Recipe, role: Role, world: World) -> list[tuple[int, list[SubAction]]]:
    """Do the chosen steps, each time the one that this person now likes best among the possible ones."""
    liking = _liking(recipe, role)
    left = sorted(chosen, key=lambda use: liking[recipe.uses.index(use)])
    script = []
    while left:
        use, cook = _next_possible(left, world, role.person.hand)
        left.remove(use)
        world = cook.world
        script.append((STEP_ID[use.step], cook.done))
    return script


def _liking(recipe: Recipe, role: Role) -> list[float]:
    """One number per step of the recipe; the lower is preferred."""
    habit, whim = role.person.random(f"habit/{recipe.name}"), role.random("whim")
    return [rank + habit.uniform(-HABIT, HABIT) + whim.uniform(-WHIM, WHIM) for rank in range(len(recipe.uses))]


def _next_possible(left: list[Use], world: World, hand: str) -> tuple[Use, Cook]:
    waiting = {use.step for use in left}
    for use in left:
        if waiting.intersection(use.after) - {use.step}:
            continue
        cook = Cook(world.copy(), hand)
        try:
            STEPS[STEP_ID[use.step]].perform(cook)
        except ImpossibleError:
            continue
        return use, cook
    raise AssertionError(f"a recipe that cannot be finished: {sorted(waiting)} left")


def _schedule(
    script: list[tuple[int, list[SubAction]]], pace: float, random: Random
) -> tuple[tuple[Performance, ...], float]:
    """Give every sub-action its time. A video that would be too short or too long runs at another pace."""
    lead, tail = random.uniform(0.4, 1.2), random.uniform(0.5, 1.2)
    pauses = [random.uniform(0.1, 0.6) for _ in script]
    lengths = [[SECONDS[action.verb] * pace * random.uniform(0.8, 1.25) for action in actions] for _, actions in script]
    total = lead + tail + sum(pauses) + sum(map(sum, lengths))
    factor = min(max(total, SHORTEST), LONGEST) / total
    performances, now = [], lead * factor
    for (step, actions), seconds, pause in zip(script, lengths, pauses, strict=True):
        events = []
        for action, length in zip(actions, seconds, strict=True):
            stop = now + length * factor
            events.append(Event(round(now, 2), round(stop, 2), action))
            now = stop
        performances.append(Performance(step, tuple(events)))
        now += pause * factor
    frames = round((now + tail * factor) * FRAME_RATE)
    return tuple(performances), frames / FRAME_RATE

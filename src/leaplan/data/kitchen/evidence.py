"""What is written about a video: its annotation, and the evidence that later parts describe it by.

All values are plain JSON. Times are seconds, lengths are pixels of the frame.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from leaplan.data.kitchen.layout import HEIGHT, WIDTH
from leaplan.data.kitchen.primitives import VERBS
from leaplan.data.kitchen.recipes import RECIPES
from leaplan.data.kitchen.render import Shot
from leaplan.data.kitchen.simulate import FRAME_RATE, Episode, Event, Performance
from leaplan.data.kitchen.steps import STEPS, SYNONYMS
from leaplan.data.kitchen.world import PREDICATES, Condition

#: What a microphone would have heard during a sub-action.
SOUNDS = {
    "pour": "pour",
    "shake": "rattle",
    "cut": "cut / chop",
    "crack": "crack",
    "wash": "water",
    "fill": "water",
    "stir": "stir / mix",
    "flip": "scrape",
    "turn_on": "click",
    "turn_off": "click",
    "open": "open / close",
    "release": "put down",
}


def vocabulary() -> dict[str, Any]:
    """Return all classes: steps, tasks, verbs and nouns, and the closed sets of the sub-actions."""
    verbs = list(dict.fromkeys(step.verb for step in STEPS))
    nouns = list(dict.fromkeys(step.noun for step in STEPS))
    steps = [{"name": step.name, "verb": verbs.index(step.verb), "noun": nouns.index(step.noun)} for step in STEPS]
    return {
        "steps": steps,
        "tasks": [recipe.name for recipe in RECIPES],
        "verbs": verbs,
        "nouns": nouns,
        "sub_action_verbs": list(VERBS),
        "predicates": PREDICATES,
    }


def annotation(episode: Episode) -> dict[str, Any]:
    """Return what `records.Video` holds, with its segments sorted by time."""
    role = episode.role
    return {
        "id": role.id,
        "split": role.split,
        "person": role.person.name,
        "task": role.task,
        "duration": episode.duration,
        "segments": [
            {
                "id": segment_id(episode, number),
                "start": performance.start,
                "stop": performance.stop,
                "step": performance.step,
                "text": STEPS[performance.step].name,
            }
            for number, performance in enumerate(episode.performances)
        ],
    }


def segment_id(episode: Episode, number: int) -> str:
    """Return the id of the segment `number`, counted from 0: "<video>_<two digits>"."""
    return f"{episode.role.id}_{number:02d}"


def evidence(episode: Episode, shots: Sequence[Shot]) -> dict[str, Any]:
    """Return everything else that is known of a video, boxes and camera from some of its `shots`."""
    return {
        "video": episode.role.id,
        "frame": {"width": WIDTH, "height": HEIGHT, "rate": FRAME_RATE},
        "narrations": _narrations(episode, episode.role.random("narrations")),
        "sounds": _sounds(episode),
        "contacts": _contacts(episode),
        "camera": [{"time": shot.time, "x": round(shot.camera[0], 2), "y": round(shot.camera[1], 2)} for shot in shots],
        "boxes": [{"time": shot.time, "boxes": shot.boxes} for shot in shots],
        "facts": [str(Condition(fact)) for fact in episode.facts],
        "programs": [_program(episode, number, performance) for number, performance in enumerate(episode.performances)],
    }


def _program(episode: Episode, number: int, performance: Performance) -> dict[str, Any]:
    """The true sub-actions of a segment, each with its conditions before and after."""
    return {
        "segment": segment_id(episode, number),
        "step": performance.step,
        "sub_actions": [
            {
                "start": event.start,
                "stop": event.stop,
                "verb": event.action.verb,
                "first": event.action.first,
                "second": event.action.second,
                "hand": event.action.hand,
                "before": [str(condition) for condition in event.action.before],
                "after": [str(condition) for condition in event.action.after],
            }
            for event in performance.events
        ],
    }


def _narrations(episode: Episode, random: Random) -> list[dict[str, Any]]:
    """One remark per step, in a narrator's own words, said somewhere in its first half."""
    remarks = []
    for number, performance in enumerate(episode.performances):
        step = STEPS[performance.step]
        half = (performance.stop - performance.start) / 2
        remarks.append(
            {
                "segment": segment_id(episode, number),
                "time": round(performance.start + random.uniform(0.0, half), 2),
                "text": f"{random.choice(SYNONYMS[step.verb])} {step.rest}",
                "verb": step.verb,
                "noun": step.noun,
            }
        )
    return remarks


def _sounds(episode: Episode) -> list[dict[str, Any]]:
    """Sound events sorted by start; they may overlap: the pan sizzles while something is cut."""
    sounds = [
        {"start": event.start, "stop": event.stop, "class": SOUNDS[event.action.verb]}
        for event in episode.events
        if event.action.verb in SOUNDS
    ]
    sounds += [
        {"start": event.start, "stop": event.stop, "class": "boil"}
        for event in episode.events
        if event.action.verb == "wait" and event.action.first == "kettle"
    ]
    sounds += [{"start": start, "stop": stop, "class": "sizzle"} for start, stop in _sizzles(episode)]
    return sorted(sounds, key=lambda sound: (sound["start"], sound["stop"], sound["class"]))


def _sizzles(episode: Episode) -> list[tuple[float, float]]:
    """Spans in which the stove is on and something is in the pan."""
    spans: list[tuple[float, float]] = []
    on, filling, since = False, set[str](), None
    for event in episode.events:
        for condition in event.action.after:
            if condition.fact == ("active", "stove"):
                on = condition.holds
            elif condition.fact[0] == "in" and condition.fact[2] == "pan":
                (filling.add if condition.holds else filling.discard)(condition.fact[1])
        if since is None and on and filling:
            since = event.stop
        elif since is not None and not (on and filling):
            spans.append((since, event.stop))
            since = None
    return spans if since is None else [*spans, (since, episode.duration)]


def _contacts(episode: Episode) -> list[dict[str, Any]]:
    """Spans in which a hand touches an object, sorted by start: carried things and switched ones."""
    contacts: list[dict[str, Any]] = []
    grasped: dict[str, Event] = {}
    for event in episode.events:
        verb, hand = event.action.verb, event.action.hand
        if verb == "grasp":
            grasped[hand] = event
        elif verb in ("release", "crack"):
            contacts.append(_contact(grasped.pop(hand), event))
        elif verb in ("turn_on", "turn_off", "open", "peel"):
            contacts.append(_contact(event, event))
    return sorted(contacts, key=lambda contact: (contact["start"], contact["hand"]))


def _contact(first: Event, last: Event) -> dict[str, Any]:
    action = first.action
    return {"start": first.start, "stop": last.stop, "hand": action.hand, "object": action.first}

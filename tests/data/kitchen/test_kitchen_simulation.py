"""What happens in the kitchen is possible, varied, and always the same."""

import re
from collections import Counter, defaultdict

import pytest

from leaplan.data.kitchen.cast import cast
from leaplan.data.kitchen.evidence import annotation
from leaplan.data.kitchen.objects import FIXTURES, FOODS, HANDS, OBJECTS
from leaplan.data.kitchen.primitives import VERBS, sub_action
from leaplan.data.kitchen.recipes import RECIPES
from leaplan.data.kitchen.simulate import simulate
from leaplan.data.kitchen.steps import STEP_ID, STEPS, SYNONYMS
from leaplan.data.kitchen.world import PREDICATES, Condition, ImpossibleError, World
from leaplan.errors import DataError


@pytest.fixture(scope="module")
def episodes():
    return [simulate(role) for role in cast(7, 240)]


def test_every_condition_holds_when_replayed_by_an_independent_interpreter(episodes):
    for episode in episodes:
        facts = {str(Condition(fact)) for fact in episode.facts}
        for event in episode.events:
            for condition in map(str, event.action.before):
                negated = condition.startswith("not ")
                assert (condition.removeprefix("not ") in facts) is not negated, (episode.role.id, event)
            for condition in map(str, event.action.after):
                if condition.startswith("not "):
                    facts.discard(condition.removeprefix("not "))
                else:
                    facts.add(condition)
        assert {f"free({hand})" for hand in HANDS} <= facts, "nobody leaves with full hands"


def test_predicates_verbs_and_arguments_are_closed_sets(episodes):
    names = {*OBJECTS, *HANDS}
    for event in (event for episode in episodes for event in episode.events):
        assert event.action.verb in VERBS
        assert event.action.hand in (*HANDS, "none")
        assert {event.action.first, event.action.second} <= {*OBJECTS, "none"}
        for condition in (*event.action.before, *event.action.after):
            predicate, arguments = re.fullmatch(r"(?:not )?(\w+)\((.*)\)", str(condition)).groups()
            assert len(arguments.split(", ")) == PREDICATES[predicate]
            assert set(arguments.split(", ")) <= names


def test_no_hand_holds_two_things(episodes):
    for episode in episodes[:40]:
        world = World(episode.facts)
        for event in episode.events:
            world.apply(event.action)
            for hand in HANDS:
                held = [fact for fact in world.facts if fact[:2] == ("holding", hand)]
                assert len(held) + world.has("free", hand) == 1


def test_the_kitchen_has_the_promised_size(episodes):
    counts = Counter(episode.role.split for episode in episodes)
    assert counts == {"train": 168, "val": 32, "test": 40}
    assert len(RECIPES) >= 8
    assert len(STEPS) >= 30
    assert len({step.name for step in STEPS}) == len(STEPS)
    assert {step.verb for step in STEPS} == set(SYNONYMS)
    trained = {p.step for episode in episodes if episode.role.split == "train" for p in episode.performances}
    assert trained == set(range(len(STEPS)))


def test_videos_are_10_to_40_seconds_long_with_enough_steps(episodes):
    assert all(10 <= episode.duration <= 40 for episode in episodes)
    assert min(len(episode.performances) for episode in episodes) >= 6
    assert sum(len(episode.performances) >= 8 for episode in episodes) > 150


def test_segments_and_sub_actions_are_sorted_within_the_video_and_do_not_overlap(episodes):
    for episode in episodes:
        segments = annotation(episode)["segments"]
        times = [time for segment in segments for time in (segment["start"], segment["stop"])]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= episode.duration
        assert all(segment["start"] < segment["stop"] for segment in segments)
        moments = [time for event in episode.events for time in (event.start, event.stop)]
        assert moments == sorted(moments)


def test_no_person_is_in_two_splits_and_every_split_has_every_task(episodes):
    splits, tasks = defaultdict(set), defaultdict(set)
    for role in (episode.role for episode in episodes):
        splits[role.person.name].add(role.split)
        tasks[role.split].add(role.task)
    assert all(len(found) == 1 for found in splits.values())
    assert all(len(found) == len(RECIPES) for found in tasks.values())


def test_steps_are_shared_between_tasks_repeated_and_left_out(episodes):
    tasks, orders = defaultdict(set), defaultdict(set)
    repeated = 0
    for episode in episodes:
        steps = tuple(performance.step for performance in episode.performances)
        orders[episode.role.task].add(steps)
        repeated += len(set(steps)) < len(steps)
        for step in steps:
            tasks[step].add(episode.role.task)
    assert sum(len(found) > 1 for found in tasks.values()) >= 12
    assert all(len(found) >= 8 for found in orders.values())
    assert all(len({frozenset(steps) for steps in found}) >= 2 for found in orders.values())
    assert repeated >= 20


def test_the_same_set_of_steps_is_done_in_different_orders(episodes):
    orders = defaultdict(set)
    for episode in episodes:
        steps = tuple(performance.step for performance in episode.performances)
        orders[tuple(sorted(steps))].add(steps)
    assert sum(len(found) > 1 for found in orders.values()) >= 20


def test_every_step_of_a_recipe_is_a_step_class():
    for recipe in RECIPES:
        for use in recipe.uses:
            assert {use.step, *use.after} <= set(STEP_ID)


@pytest.mark.parametrize(
    ("verb", "first", "second"),
    [
        ("grasp", "knife", "none"),
        ("cut", "tomato", "knife"),
        ("pour", "bowl", "pan"),
        ("stir", "bowl", "spoon"),
    ],
)
def test_a_sub_action_whose_conditions_fail_is_refused(verb, first, second):
    world = World([("free", "right"), *(("on", food, FIXTURES[0]) for food in FOODS)])
    with pytest.raises(ImpossibleError):
        world.apply(sub_action(world, verb, first, second, "right"))


@pytest.mark.parametrize("videos", [3, 6, 7, 24, 61, 240, 500])
def test_a_kitchen_of_any_size_has_all_three_splits(videos):
    roles = cast(1, videos)
    assert len({role.id for role in roles}) == videos
    assert {role.split for role in roles} == {"train", "val", "test"}


def test_two_videos_are_too_few():
    with pytest.raises(DataError, match="2 videos"):
        cast(7, 2)


def test_another_seed_is_another_kitchen():
    first, second = (annotation(simulate(cast(seed, 6)[0])) for seed in (7, 8))
    assert first["segments"] != second["segments"]

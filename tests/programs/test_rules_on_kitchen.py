"""Rules for the synthetic kitchen against its true programs. They see narration and contacts, the score sees truth.

Contacts and narrations of the kitchen are without mistakes and its cooks have one routine per step, so these figures
show that rules, unrolling and scores fit together; they say nothing of films.
"""

import re

import pytest

from leaplan.data.kitchen.cast import cast
from leaplan.data.kitchen.evidence import evidence, vocabulary
from leaplan.data.kitchen.simulate import simulate
from leaplan.programs.check import check
from leaplan.programs.evidence import Clip, Contact
from leaplan.programs.kitchen import kitchen_language
from leaplan.programs.kitchen_rules import KitchenRules
from leaplan.programs.language import Condition, Program, SubAction
from leaplan.programs.rules import Unsupported
from leaplan.programs.scoring import score

MOST = 24


def condition(text: str) -> Condition:
    holds, predicate, arguments = re.fullmatch(r"(not )?(\w+)\((.*)\)", text).groups()
    return Condition(predicate, tuple(arguments.split(", ")), not holds)


def true_program(clip: Clip, segment: dict) -> Program:
    body = tuple(
        SubAction(each["verb"], each["first"], each["second"], each["hand"], *(
            tuple(map(condition, each[side])) for side in ("before", "after")
        ))
        for each in segment["sub_actions"]
    )  # fmt: skip
    return Program(clip.verb, (), (), (), body)


@pytest.fixture(scope="module")
def kitchen():
    """Clips, contacts and true programs of 60 videos that were never used while the rules were written."""
    clips, contacts, truths = [], [], []
    for role in cast(1234, 60):
        known = evidence(simulate(role), [])
        touched = tuple(
            Contact(each["hand"], each["object"], each["start"], each["stop"]) for each in known["contacts"]
        )
        for remark, segment in zip(known["narrations"], known["programs"], strict=True):
            start, stop = segment["sub_actions"][0]["start"], segment["sub_actions"][-1]["stop"]
            clip = Clip(remark["segment"], known["video"], start, stop, remark["text"], remark["verb"], remark["noun"])
            clips.append(clip)
            contacts.append(tuple(each for each in touched if each.start < stop and each.stop > start))
            truths.append(true_program(clip, segment))
    return clips, contacts, truths


def verb_blind(clip: Clip) -> Program:
    """What can be said without looking at the verb: the thing is taken and put somewhere."""
    words = re.split(r" (?:in|into|on|to|over) ", clip.narration)
    place = words[-1] if len(words) > 1 else "table"
    actions = (("reach", clip.noun), ("grasp", clip.noun), ("move", clip.noun, place), ("release", clip.noun, place))
    return Program(clip.verb, (), (), (), tuple(SubAction(*each, hand="right") for each in actions))


def test_rules_tell_most_of_what_truly_happens_and_far_more_than_a_verb_blind_guess(kitchen):
    clips, contacts, truths = kitchen
    rules = KitchenRules(kitchen_language(vocabulary()))
    ours = score([rules.program_for(*each) for each in zip(clips, contacts, strict=True)], truths, MOST)
    blind = score([verb_blind(clip) for clip in clips], truths, MOST)
    mute = score([rules.program_for(clip) for clip in clips], truths, MOST)
    for name, figures in (("rules", ours), ("no contacts", mute), ("verb-blind", blind)):
        print(name, {key: round(value, 3) for key, value in figures.summary().items()})
    assert ours.truncated == 0
    assert ours.sub_actions.f1 > 0.95
    assert ours.sub_actions.f1 > blind.sub_actions.f1 + 0.3
    assert ours.before.f1 > 0.9
    assert ours.after.f1 > 0.85
    assert ours.order > blind.order + 0.3
    assert blind.sub_actions.f1 + 0.2 < mute.sub_actions.f1 < ours.sub_actions.f1


def test_every_program_of_the_rules_passes_the_checker(kitchen):
    clips, contacts, _ = kitchen
    language = kitchen_language(vocabulary())
    rules = KitchenRules(language)
    programs = [rules.program_for(clip, seen) for clip, seen in zip(clips, contacts, strict=True)]
    assert [faults for program in programs if (faults := check(program, language))] == []


@pytest.mark.parametrize(
    ("verb", "noun", "narration", "reason"),
    [
        ("juggle", "egg", "juggle egg", 'no rule for the verb "juggle"'),
        ("pour", "milk", "pour milk", 'does not tell where to "pour"'),
        ("cut", "", "cut", 'nothing to "cut"'),
        ("", "", "", "no rule for the verb"),
    ],
)
def test_what_the_rules_cannot_do_is_told(verb, noun, narration, reason):
    with pytest.raises(Unsupported, match=re.escape(reason)):
        KitchenRules(kitchen_language(vocabulary())).program_for(Clip("v_00", "v", 0.0, 1.0, narration, verb, noun))

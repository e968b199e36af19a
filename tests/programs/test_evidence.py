"""Evidence is assembled in a fixed order, and its key depends on nothing but what a model would see."""

import hashlib
from dataclasses import replace

import pytest

from leaplan.programs.evidence import Assembler, Clip, Contact, Evidence, Section, listed, side, span

CLIP = Clip("P01_01_0", "P01_01", 10.0, 12.5, "open door", "open", "door", ("door",))


class Said:
    """A descriptor that says the same of every clip."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def describe(self, clip: Clip) -> str:
        return self.text


class Held(Said):
    def contacts(self, clip: Clip) -> tuple[Contact, ...]:
        return (Contact("right", "cup", 11.0, 12.0), Contact("left", self.text, 10.5, 12.0))


def test_sections_stand_in_the_fixed_order_whatever_the_order_of_descriptors():
    names = ("camera", "contact", "objects", "audio", "narration")
    evidence = Assembler([Said(name, f"about {name}") for name in names]).evidence(CLIP)
    assert [section.name for section in evidence.sections] == ["narration", "audio", "objects", "contact", "camera"]
    assert evidence.text() == (
        "Length of the clip: 2.5 s\n\nNarration:\nabout narration\n\nSounds:\nabout audio\n\n"
        "Objects seen:\nabout objects\n\nHands:\nabout contact\n\nCamera:\nabout camera"
    )


def test_sections_that_say_nothing_are_left_out_with_the_length_that_only_they_need():
    evidence = Assembler([Said("audio", ""), Said("narration", "said")]).evidence(CLIP)
    assert evidence.text() == "Narration:\nsaid"
    assert Assembler([Said("audio", "")]).evidence(CLIP).text() == ""
    assert Assembler([]).evidence(CLIP) == Evidence(CLIP, ())


def test_several_descriptors_of_a_section_stand_below_one_another():
    evidence = Assembler([Said("objects", "a"), Said("objects", ""), Said("objects", "b")]).evidence(CLIP)
    assert evidence.sections == (Section("objects", "a\nb"),)


def test_the_key_is_the_hash_of_the_text_and_does_not_see_ids_or_absolute_times():
    assembler = Assembler([Said("narration", "said"), Said("audio", "0.0-1.0 s: tap")])
    evidence = assembler.evidence(CLIP)
    assert evidence.key() == hashlib.sha256(evidence.text().encode()).hexdigest()
    moved = replace(CLIP, id="P09_02_7", video="P09_02", start=110.0, stop=112.5)
    assert assembler.evidence(moved).key() == evidence.key()
    assert assembler.evidence(replace(CLIP, stop=13.5)).key() != evidence.key()


def test_contacts_of_all_sources_come_sorted_and_once():
    assembler = Assembler([Held("contact", "pan"), Held("contact", "pan"), Said("contact", "x")])
    assert assembler.contacts(CLIP) == (Contact("left", "pan", 10.5, 12.0), Contact("right", "cup", 11.0, 12.0))


def test_a_descriptor_of_no_section_is_refused():
    with pytest.raises(ValueError, match="no section 'smell'"):
        Assembler([Said("smell", "")])


def test_times_are_cut_to_the_clip_and_counted_from_its_start():
    assert span(CLIP, 10.42, 11.2) == "0.4-1.2 s"
    assert span(CLIP, 3.0, 99.0) == "0.0-2.5 s"
    assert span(CLIP, 11.0, 11.01) == "1.0 s"


def test_the_picture_has_three_parts():
    assert [side(x) for x in (0.0, 0.3, 0.34, 0.66, 0.67, 1.0)] == [
        "left",
        "left",
        "middle",
        "middle",
        "right",
        "right",
    ]


def test_long_lists_are_cut_and_the_rest_counted():
    assert listed(["a", "b", "c"], 2, "sounds") == "a\nb\n... and 1 more sounds"
    assert listed(["a", "b"], 2, "sounds") == "a\nb"
    assert listed([], 2, "sounds") == ""

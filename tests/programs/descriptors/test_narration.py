"""What was said, with what was said around it."""

from dataclasses import replace

from leaplan.programs.descriptors.narration import Narration
from tests.programs.descriptors.made import CLIP

BEFORE = replace(CLIP, id="a", start=0.0, stop=2.5, narration="wash carrot")
SILENT = replace(CLIP, id="b", start=6.5, stop=8.0, narration="", verb="put", noun="knife")
LATE = replace(CLIP, id="c", start=40.0, stop=41.0, narration="eat")
OTHER = replace(CLIP, id="d", video="P02_01", narration="dance")


def test_words_classes_and_neighbours_are_told_in_seconds_of_the_clip():
    assert Narration([LATE, CLIP, OTHER, SILENT, BEFORE]).describe(CLIP) == (
        'said: "cut carrot"\nverb: cut\nnoun: carrot\nall nouns: carrot, knife\n'
        'before (from -2.0 to 0.5 s): "wash carrot"\nafter (from 4.5 to 6.0 s): put knife'
    )


def test_far_narrations_are_no_neighbours():
    text = Narration([LATE, SILENT], 3).describe(SILENT)
    assert text == "verb: put\nnoun: knife\nall nouns: carrot, knife"


def test_clips_at_the_same_time_are_neighbours_and_a_clip_is_not_its_own():
    twin = replace(CLIP, id="P01_01_1", narration="hold carrot")
    narration = Narration([CLIP, twin])
    assert 'after (from 0.0 to 4.0 s): "hold carrot"' in narration.describe(CLIP)
    assert 'before (from 0.0 to 4.0 s): "cut carrot"' in narration.describe(twin)


def test_without_neighbours_clips_narrated_alike_have_the_same_text():
    narration = Narration([BEFORE, CLIP, SILENT], 0)
    assert narration.describe(CLIP) == narration.describe(replace(CLIP, id="x", start=7.0, stop=9.0))


def test_a_clip_that_is_not_among_the_clips_has_neighbours_all_the_same():
    assert "wash carrot" in Narration([BEFORE]).describe(CLIP)


def test_a_clip_without_words_is_not_described():
    silent = replace(CLIP, narration="", verb="", noun="", nouns=())
    assert Narration([BEFORE, silent]).describe(silent) == ""

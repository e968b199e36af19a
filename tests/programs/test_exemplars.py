"""The exemplars that come with leaplan, and which of them are chosen for a clip."""

import csv
import gzip
from collections import Counter

import pytest

from leaplan.errors import DataError, ProblemList
from leaplan.programs.check import check
from leaplan.programs.evidence import HEADINGS, Clip
from leaplan.programs.exemplars import Exemplar, Library, read_exemplars
from leaplan.programs.language import LEAP, Program, sub_actions
from leaplan.programs.parse import parse
from leaplan.programs.render import to_text
from leaplan.programs.vocabulary import epic_language


def words(text: str) -> list[str]:
    return text.split()


OURS = read_exemplars()
#: EPIC-100's most frequent verb classes, training and validation together, counted in its annotations.
FREQUENT = words(
    "take put wash open close insert turn-on turn-off cut mix pour move remove throw dry shake adjust peel squeeze"
    " scoop empty press flip check turn fill apply scrub scrape fold"
)


def clip(verb: str = "", noun: str = "", narration: str = "") -> Clip:
    return Clip("v_0", "v", 0.0, 2.0, narration, verb, noun)


@pytest.mark.parametrize("exemplar", OURS, ids=lambda each: each.source)
def test_every_exemplar_is_a_program_without_faults(exemplar):
    assert check(exemplar.program, LEAP) == []
    assert parse(to_text(exemplar.program)) == exemplar.program


@pytest.mark.parametrize("exemplar", OURS, ids=lambda each: each.source)
def test_every_exemplar_has_evidence_in_the_form_of_a_real_clip(exemplar):
    headings = {f"{heading}:" for heading in HEADINGS.values()}
    lines = exemplar.evidence.splitlines()
    assert lines[0].startswith("Length of the clip: ")
    assert headings >= {line for line in lines if line.endswith(":")} >= {"Narration:", "Hands:"}


def test_there_are_sixty_pairs_and_no_two_programs_are_the_same_but_for_names():
    assert len({(each.verb, each.noun) for each in OURS}) >= 60
    shapes = Counter(tuple((one.verb, one.hand) for one in sub_actions(each.program.body)) for each in OURS)
    assert max(shapes.values()) <= len(OURS) // 10


def test_the_thirty_most_frequent_verbs_have_at_least_two_exemplars_each():
    counts = Counter(each.verb for each in OURS)
    assert len(FREQUENT) == 30
    assert {verb for verb in FREQUENT if counts[verb] < 2} == set()


def test_the_list_of_frequent_verbs_is_that_of_the_real_annotations(shared):
    folder = shared / "data" / "epic100"
    with (folder / "EPIC_100_verb_classes.csv").open(newline="", encoding="utf-8") as file:
        keys = {row["id"]: row["key"] for row in csv.DictReader(file)}
    counts = Counter[str]()
    for name in ("EPIC_100_train_reconstructed.csv.gz", "EPIC_100_validation.csv.gz"):
        with gzip.open(folder / name, "rt", newline="", encoding="utf-8") as file:
            counts.update(keys[row["verb_class"]] for row in csv.DictReader(file))
    assert {verb for verb, _ in counts.most_common(30)} == set(FREQUENT)


def test_exemplars_name_only_objects_of_epic(shared):
    folder = shared / "data" / "epic100"
    vocabulary = epic_language(folder / "EPIC_100_verb_classes.csv", folder / "EPIC_100_noun_classes.csv")
    assert {each.source: faults for each in OURS if (faults := check(each.program, vocabulary.language))} == {}


def test_the_same_verb_and_noun_come_first():
    library = Library.load()
    best = library.retrieve(clip("cut", "onion", "chop red onion"), k=4)
    assert (best[0].verb, best[0].noun) == ("cut", "onion")
    assert {each.verb for each in best[:3]} == {"cut"}


def test_an_unknown_noun_gets_exemplars_of_its_verb():
    best = Library.load().retrieve(clip("pour", "whiskey", "pour whiskey"), k=3)
    assert [each.verb for each in best] == ["pour"] * 3


def test_an_unknown_verb_gets_exemplars_of_its_noun_or_of_the_noun_category():
    library = Library.load(categories={"ladle": "tools", "spatula": "tools", "tongs": "tools", "spoon": "tools"})
    assert library.retrieve(clip("knead", "sponge"), k=1)[0].noun == "sponge"
    assert library.retrieve(clip("juggle", "ladle"), k=1)[0].noun == "spoon"


def test_evidence_decides_between_exemplars_of_the_same_verb():
    library = Library.load()
    near = library.retrieve(clip("wash", "cup"), evidence="sponge, scrubbing, plate", k=1)[0]
    far = library.retrieve(clip("wash", "cup"), evidence="rubbing with a cloth along the worktop", k=1)[0]
    assert (near.noun, far.noun) == ("plate", "top")


def test_of_equal_exemplars_a_different_one_is_chosen_second():
    twin = [Exemplar("Narration: take cup", Program("take", ("cup",)), name) for name in ("one", "two")]
    other = Exemplar("Narration: take bowl from shelf", Program("take", ("bowl",)), "three")
    chosen = Library([*twin, other]).retrieve(clip("take", "jug", "take cup"), k=2)
    assert [each.source for each in chosen] == ["one", "three"]


def test_retrieval_gives_k_different_exemplars_and_the_same_each_time():
    library = Library.load()
    for verb, noun in (("take", "plate"), ("", ""), ("wear", "glove")):
        first = library.retrieve(clip(verb, noun), k=5)
        assert len(set(map(id, first))) == 5
        assert first == Library.load().retrieve(clip(verb, noun), k=5)
    assert len(library.retrieve(clip(), k=1000)) == len(library)


def test_own_exemplars_are_read_and_faults_are_told_together(tmp_path):
    (tmp_path / "own.txt").write_text("# Narration:\n# wave\n\nprogram wave(hand) {\n  search(hand);\n}\n")
    assert [(each.verb, each.evidence) for each in read_exemplars(tmp_path)] == [("wave", "Narration:\nwave")]
    (tmp_path / "bad.txt").write_text("program a( {\n}\n\nprogram b(cup) {\n  fly(cup);\n}\n")
    with pytest.raises(ProblemList) as error:
        read_exemplars(tmp_path)
    assert [problem.split(": ")[0] for problem in error.value.problems] == ["bad.txt:1", "bad.txt:4"]


def test_a_folder_without_exemplars_is_told(tmp_path):
    with pytest.raises(DataError, match="no exemplars"):
        read_exemplars(tmp_path)

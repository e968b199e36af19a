"""Plans as text and tokens: one way to write them, and any way to read them."""

import itertools
import json
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from leaplan.errors import ConfigError, DataError
from leaplan.planning.captions import PlanCaptions, label_texts
from leaplan.records import Step, Vocabulary

LABELS = ["add", "add milk", 'say "when"', "back\\slash", "käse, [gerieben]", "stir"]
END = 0


class Words:
    """A made-up tokenizer: every word and every other character is a token."""

    def __init__(self):
        self.known = {"<end>": END}

    def tokens(self, text):
        return [self.known.setdefault(word, len(self.known)) for word in re.findall(r"\w+|\W", text)]

    def text(self, ids):
        spelled = {number: word for word, number in self.known.items()}
        return "".join(spelled[i] for i in ids if i != END)


@pytest.fixture
def words():
    return Words()


@pytest.fixture
def captions(words):
    return PlanCaptions(LABELS, words.tokens, END, words.text)


def all_plans(labels, horizon):
    return torch.tensor(list(itertools.product(range(labels), repeat=horizon)))


def test_labels_are_the_names_of_steps_told_apart_by_task_and_number():
    steps = (
        Step("1", " pour  milk ", task=0),
        Step("2", "stir", task=0),
        Step("3", "stir", task=1),
        Step("4", "stir", task=1),
        Step("5", "cut"),
        Step("6", "cut"),
        Step("7", "cut 2"),
    )
    texts = label_texts(Vocabulary(steps, tasks=("Make Latte", "Bake Cake")))
    assert texts[:4] == ["pour milk", "stir (Make Latte)", "stir (Bake Cake)", "stir (Bake Cake) 2"]
    assert texts[4] == "cut"
    assert len(set(texts)) == len(steps)


def test_a_step_without_a_name_is_refused_by_its_key():
    with pytest.raises(DataError, match="step '17' has no name"):
        label_texts(Vocabulary((Step("16", "stir"), Step("17", " \t"))))


@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_a_caption_is_its_pieces_one_after_another(captions, words, horizon):
    plans = all_plans(len(LABELS), horizon)
    ids, mask = captions.encode(plans)
    for plan, row, real in zip(plans.tolist(), ids, mask, strict=True):
        expected = words.tokens("[")
        for number, step in enumerate(plan):
            expected += (words.tokens(",") if number else []) + words.tokens(
                json.dumps(LABELS[step], ensure_ascii=False)
            )
        expected += [*words.tokens("]"), END]
        assert row[real].tolist() == expected
        assert words.text(expected) == captions.text(plan)


def test_captions_are_padded_on_the_right(captions):
    _, mask = captions.encode(all_plans(len(LABELS), 2))
    assert not (mask[:, 1:] & ~mask[:, :-1]).any()
    assert mask.all(1).any()
    assert mask[:, 0].all()


def test_a_caption_does_not_depend_on_the_batch(captions):
    ids, mask = captions.encode(all_plans(len(LABELS), 2))
    alone, seen = captions.encode(torch.tensor([[1, 5]]))
    row = 1 * len(LABELS) + 5
    assert seen.all()
    assert torch.equal(ids[row][mask[row]], alone[0])


def test_steps_begin_where_it_is_said(captions):
    plans = all_plans(len(LABELS), 3)
    ids, _ = captions.encode(plans)
    for plan, row, starts in zip(plans.tolist(), ids.tolist(), captions.starts(plans).tolist(), strict=True):
        for step, start in zip(plan, starts, strict=True):
            assert row[start : start + len(captions.pieces[step])] == captions.pieces[step]


@pytest.mark.parametrize("plans", [[[0, -1]], [[6, 0]], [[]], [0, 1]])
def test_plans_of_other_labels_are_refused(captions, plans):
    with pytest.raises(ValueError, match="ids of 6 labels"):
        captions.encode(torch.tensor(plans, dtype=torch.int64))


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_the_longest_caption_is_the_longest_of_all(captions, horizon):
    _, mask = captions.encode(torch.arange(len(LABELS))[:, None].expand(-1, horizon))
    assert captions.longest(horizon) == mask.sum(1).max()


def test_a_caption_longer_than_the_context_is_refused_and_never_cut(captions):
    needed = captions.longest(3)
    captions.refuse_longer_than(40 + needed, 40, 3)
    with pytest.raises(ConfigError) as refused:
        captions.refuse_longer_than(39 + needed, 40, 3)
    assert f"may need {needed} tokens" in refused.value.what
    assert "longest label is 'say \"when\"'" in refused.value.what
    assert refused.value.hint


@pytest.mark.parametrize("labels", [["stir", "stir"], ["stir", "stir", "add"]])
def test_equal_labels_are_refused(words, labels):
    with pytest.raises(DataError, match="'stir' and 'stir'"):
        PlanCaptions(labels, words.tokens, END)


@pytest.mark.parametrize("labels", [["stir", " "], [""], []])
def test_blank_labels_are_refused(words, labels):
    with pytest.raises(DataError, match="blank"):
        PlanCaptions(labels, words.tokens, END)


def test_labels_that_differ_only_in_spaces_are_refused(words):
    with pytest.raises(DataError, match="both read back as 'add milk'"):
        PlanCaptions(["add milk", "add  milk"], words.tokens, END)


def test_a_tokenizer_that_cannot_tell_labels_apart_is_refused():
    def ascii_only(text):
        return [ord(c) if c.isascii() else 1 for c in text]

    with pytest.raises(DataError, match="'naïve' and 'naève'"):
        PlanCaptions(["naïve", "naève"], ascii_only, END)
    with pytest.raises(DataError, match="'a' and 'a man'"):  # no quotes, so one label is the beginning of another
        PlanCaptions(["a man", "a"], lambda text: [ord(c) for c in text if c != '"'], END)


def test_what_a_tokenizer_does_to_spelling_is_undone(words):
    captions = PlanCaptions(["Add Milk", "Stir"], lambda text: words.tokens(text.lower()), END, words.text)
    ids, mask = captions.encode(torch.tensor([[1, 0]]))
    assert words.text(ids[0][mask[0]].tolist()) == '["stir","add milk"]'
    assert captions.parse('["stir","add milk"]') == ["Stir", "Add Milk"]


def test_a_tokenizer_that_loses_a_label_is_refused(words):
    with pytest.raises(DataError, match="label 'stir' is lost"):
        PlanCaptions(["stir"], words.tokens, END, lambda ids: "[]")


def test_a_caption_of_a_byte_tokenizer_reads_as_it_was_written():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<end>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(['["add milk","stir"]', '["add","pour milk"]'] * 5, trainer)
    captions = PlanCaptions(LABELS, lambda text: tokenizer.encode(text).ids, END, tokenizer.decode)
    ids, mask = captions.encode(all_plans(len(LABELS), 2))
    for plan, row, real in zip(all_plans(len(LABELS), 2).tolist(), ids, mask, strict=True):
        written = tokenizer.decode(row[real].tolist())
        assert written == captions.text(plan)
        assert captions.parse(written) == [LABELS[step] for step in plan]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["add milk","stir"]', ["add milk", "stir"]),
        (' [ "add  milk" , "stir" ]\n', ["add milk", "stir"]),
        ('Here is the plan: ["add milk","stir"] and so on, "quoted"', ["add milk", "stir"]),
        ('["add milk","sti', ["add milk", "sti"]),
        ('["add milk","', ["add milk"]),
        ('["add milk" "stir"', ["add milk", "stir"]),
        ('["say \\"when\\"","stir\\', ['say "when"', "stir"]),
        ('["add milk",3,null,"stir"]', ["add milk", "stir"]),
        ("1. add milk\n2) stir\n\n- pour", ["add milk", "stir", "pour"]),
        ("2 eggs", ["2 eggs"]),
        ("[]", []),
        ("", []),
        ("[" * 5000, []),
    ],
)
def test_generated_text_is_read_as_far_as_it_goes(captions, text, said):
    assert captions.parse(text) == said


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_no_text_breaks_the_reader(text):
    captions = PlanCaptions(["stir"], lambda text: [1 + ord(c) for c in text], END)
    for start in ("", "[", '["', '["stir","', "{"):
        said = captions.parse(start + text)
        assert all(isinstance(s, str) and s and s == " ".join(s.split()) for s in said)


distinct = st.lists(
    st.text(min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=5, unique_by=lambda s: " ".join(s.split())
)


@given(distinct, st.data())
@settings(max_examples=150, deadline=None)
def test_any_distinct_labels_come_back_from_their_caption(labels, data):
    captions = PlanCaptions(
        labels, lambda text: [1 + ord(c) for c in text], END, lambda ids: "".join(chr(i - 1) for i in ids if i != END)
    )
    plan = data.draw(st.lists(st.integers(0, len(labels) - 1), min_size=1, max_size=4))
    ids, mask = captions.encode(torch.tensor([plan]))
    written = "".join(chr(i - 1) for i in ids[0][mask[0]].tolist() if i != END)
    assert written == captions.text(plan)
    assert captions.parse(written) == [labels[step] for step in plan]
    assert captions.well_formed(written)


@pytest.mark.parametrize(
    ("text", "well"),
    [
        ('["stir"]', True),
        (' ["a", "b"]', True),
        ('["stir"', False),
        ("[]", False),
        ('["a", 1]', False),
        ('[" "]', False),
        ('{"a": "b"}', False),
        ('"stir"', False),
        ('["stir"] x', False),
        ("[" * 5000, False),
    ],
)
def test_only_a_list_of_strings_is_well_formed(captions, text, well):
    assert captions.well_formed(text) is well

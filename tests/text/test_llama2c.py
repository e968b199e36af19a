"""llama2.c checkpoints: the same numbers as a NumPy version, a story, and no silence about damaged files."""

import struct

import numpy as np
import pytest
import torch

from leaplan.errors import DataError
from leaplan.text.llama2c import read_llama2c, read_tokenizer
from leaplan.text.pretrained import PretrainedCausal
from tests.reference import llama2c as reference

TEXTS = [
    "Once upon a time",
    'She said: "Look!"\nTom ran.',
    '["add milk","stir"]',
    "naïve 🙂 soup",
    " two  spaces ",
    "a",
]


@pytest.fixture(scope="module")
def files(shared):
    folder = shared / "data" / "tiny_llama"
    return folder / "stories260K.bin", folder / "tok512.bin"


@pytest.fixture(scope="module")
def stories(files):
    return PretrainedCausal(str(files[0]), learns="frozen").build(list, None)


def test_logits_are_those_of_a_numpy_version(stories, files):
    tokens = stories.begin + stories.tokens("Once upon a time, there was a little girl named Lily.")
    with torch.no_grad():
        found = stories.logits(stories(stories.embed(torch.tensor([tokens]))).hidden)[0]
    np.testing.assert_allclose(found, reference.logits(files[0], tokens), atol=1e-4)


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_greedy_merging_and_lead_back_to_the_text(stories, files, text):
    assert stories.tokens(text) == reference.encode(files[1], text)
    assert stories.text(stories.tokens(text)) == text


def test_scores_decide_what_is_merged_not_the_order_of_the_pieces(tmp_path):
    pieces = [(0.0, p) for p in ("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *" abc")]
    pieces += [(-3.0, "ab"), (-1.0, "bc"), (-2.0, " a"), (-2.5, "abc")]
    content = b"".join(struct.pack("<fi", score, len(piece)) + piece.encode() for score, piece in pieces)
    path = tmp_path / "tok.bin"
    path.write_bytes(struct.pack("<i", 6) + content)
    tokenizer = read_tokenizer(path, len(pieces))
    for text in ("abc", "ab", "aabcab", "bcab c"):
        assert tokenizer.encode(text, add_special_tokens=False) == reference.encode(path, text)
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("abc", add_special_tokens=False)) == ["\u2581a", "bc"]


def test_it_tells_a_story(stories):
    prompt = stories.embed(torch.tensor([stories.begin + stories.tokens("Once upon a time")]))
    said = stories.text(stories.generate(prompt, new_tokens=50)[0].tolist())
    assert said.startswith(", there was a little girl named Lily. She loved to play outside in the park.")


def test_drawing_weights_that_are_thrown_away_leaves_the_random_state_alone(files):
    before = torch.get_rng_state()
    read_llama2c(files[0])
    assert torch.equal(before, torch.get_rng_state())


def test_other_weights_have_another_hash(files, stories, tmp_path):
    content = bytearray(files[0].read_bytes())
    content[5000] ^= 1
    (tmp_path / "other.bin").write_bytes(content)
    (tmp_path / "tok512.bin").write_bytes(files[1].read_bytes())
    (tmp_path / "same.bin").write_bytes(files[0].read_bytes())
    same, other = (read_llama2c(tmp_path / name)[2] for name in ("same.bin", "other.bin"))
    assert same == stories.identity["sha256"] != other
    half = PretrainedCausal(str(files[0]), learns="frozen", dtype="bfloat16").build(list, None)
    assert half.identity == stories.identity
    assert half.base.dtype == torch.bfloat16


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"\0" * 4, lambda raw: raw[:20]])
def test_a_file_of_another_size_than_its_header_says_is_refused(files, tmp_path, change):
    (tmp_path / "tok512.bin").write_bytes(files[1].read_bytes())
    damaged = tmp_path / "stories260K.bin"
    damaged.write_bytes(change(files[0].read_bytes()))
    with pytest.raises(DataError, match=r"stories260K.bin (has|is no)"):
        read_llama2c(damaged)


def test_a_damaged_or_missing_tokenizer_is_refused(files, tmp_path):
    model = tmp_path / "stories260K.bin"
    model.write_bytes(files[0].read_bytes())
    with pytest.raises(DataError, match="has no tokenizer"):
        read_llama2c(model)
    (tmp_path / "tok512.bin").write_bytes(files[1].read_bytes()[:-3])
    with pytest.raises(DataError, match="512 pieces"):
        read_llama2c(model)


def test_a_missing_file_and_a_file_of_another_kind_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nothing.bin cannot be read"):
        read_llama2c(tmp_path / "nothing.bin")
    (tmp_path / "other.bin").write_bytes(bytes(400))
    with pytest.raises(DataError, match=r"other.bin is no llama2.c checkpoint"):
        read_llama2c(tmp_path / "other.bin")

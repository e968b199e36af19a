"""Sentence encoders and step descriptions: deterministic, offline, and loud about what does not fit."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest

from leaplan.errors import DataError, UserError
from leaplan.records import Step, Vocabulary
from leaplan.text import descriptions as described
from leaplan.text.descriptions import DescribedSteps, NamedSteps, PrecomputedSteps, content_hash
from leaplan.text.encoder import ClipTextEncoder, NgramEncoder, encode_cached

TABLE = {
    "Make Tea": {
        "boil water": {"description": "", "before": ["a", "b", "c"], "after": ["d", "e", "f"]},
        "pour water": {"description": "", "before": ["g", "h", "i"], "after": ["j", "k", "l"]},
    }
}
VOCABULARY = Vocabulary((Step("1", "boil water", 0), Step("2", "Pour  Water", 0)), ("make tea",))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(described, "CACHE", tmp_path / "cache")


def test_ngrams_are_unit_vectors_and_words_shared_bring_sentences_close():
    a, b, c = NgramEncoder(512).encode(["pour the milk", "pour some milk", "screw the wheel on"])
    assert np.linalg.norm(a) == pytest.approx(1, abs=1e-5)
    assert a @ b > 0.5 > a @ c


def test_ngrams_are_the_same_in_another_process():
    code = (
        "from leaplan.text.encoder import NgramEncoder; import hashlib;"
        "print(hashlib.sha256(NgramEncoder().encode(['stir the soup', '']).tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(digests) == 1


def test_cached_embeddings_are_read_back_and_a_damaged_cache_is_made_again(tmp_path):
    encoder = NgramEncoder(16)
    first = encode_cached(encoder, ["cut"], tmp_path)
    (file,) = tmp_path.glob("*.npy")
    np.testing.assert_array_equal(encode_cached(encoder, ["cut"], tmp_path), first)
    file.write_bytes(b"damaged")
    np.testing.assert_array_equal(encode_cached(encoder, ["cut"], tmp_path), first)


def test_another_encoder_does_not_share_the_cache(tmp_path):
    encode_cached(NgramEncoder(16), ["cut"], tmp_path)
    assert encode_cached(NgramEncoder(32), ["cut"], tmp_path).shape == (1, 32)


def test_described_steps_are_found_by_task_and_name_whatever_the_case(tmp_path):
    path = tmp_path / "d.json.gz"
    path.write_bytes(gzip.compress(json.dumps(TABLE).encode()))
    y = DescribedSteps(str(path), NgramEncoder(64)).embed(VOCABULARY)
    assert y.shape == (2, 6, 64)
    np.testing.assert_array_equal(y[1, 3], NgramEncoder(64).encode(["after j"])[0])


def test_a_step_without_description_is_named(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps(TABLE))
    vocabulary = Vocabulary((*VOCABULARY.steps, Step("3", "drink", 0)), VOCABULARY.tasks)
    with pytest.raises(DataError, match="1 of 3 steps, such as 'drink'"):
        DescribedSteps(str(path)).embed(vocabulary)


@pytest.mark.parametrize("text", ["", "[1]", '{"a": {"b": {}}}', '{"a": 3}'])
def test_a_malformed_table_is_refused(tmp_path, text):
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(DataError, match="not a table of step descriptions"):
        DescribedSteps(str(path)).embed(VOCABULARY)


def test_precomputed_rows_must_be_as_many_as_steps(tmp_path):
    np.savez(tmp_path / "y.npz", good=np.ones((2, 6, 4), np.float16), bad=np.ones((3, 4)), nan=np.full((2, 4), np.nan))
    assert PrecomputedSteps(str(tmp_path / "y.npz"), "good").embed(VOCABULARY).shape == (2, 6, 4)
    for key in ("bad", "nan", "absent"):
        with pytest.raises(DataError, match=key):
            PrecomputedSteps(str(tmp_path / "y.npz"), key).embed(VOCABULARY)


def test_pickled_arrays_are_never_loaded(tmp_path):
    np.save(tmp_path / "y.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="that can be read"):
        PrecomputedSteps(str(tmp_path / "y.npy")).embed(VOCABULARY)


def test_named_steps_have_one_sentence_each():
    y = NamedSteps(NgramEncoder(32)).embed(VOCABULARY)
    assert y.shape == (2, 1, 32)
    assert content_hash(y) != content_hash(y[:, :, :16])


def test_an_unknown_clip_model_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="neither a folder nor reachable") as caught:
        ClipTextEncoder("no/such-model").encode(["cut"])
    assert "NgramEncoder" in caught.value.hint


def test_released_clip_features_fit_niv(shared):
    path = shared / "data" / "schema_text" / "schema_clip_vitl14_text_features.npz"
    vocabulary = Vocabulary(tuple(Step(str(i), str(i)) for i in range(48)))
    y = PrecomputedSteps(str(path), "niv_state").embed(vocabulary)
    assert y.shape == (48, 6, 768)
    assert np.linalg.norm(y, axis=-1).mean() == pytest.approx(17.4, abs=0.05)


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory):
    """A CLIP text tower of random weights with a tokenizer of a few words, as a folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast

    words = ["<start>", "<end>", "<pad>", "<other>", "cut", "the", "bread", "pour", "milk"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<other>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    folder = tmp_path_factory.mktemp("clip")
    names = {"bos_token": "<start>", "eos_token": "<end>", "pad_token": "<pad>", "unk_token": "<other>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=16, **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        projection_dim=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return str(folder)


def test_a_clip_folder_gives_one_vector_per_sentence_whatever_the_batch(small_clip):
    sentences = ["cut the bread", "pour milk", "cut"]
    together = ClipTextEncoder(small_clip).encode(sentences)
    assert together.shape == (3, 8)
    alone = np.concatenate([ClipTextEncoder(small_clip, batch_size=1).encode([s]) for s in sentences])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    unit = ClipTextEncoder(small_clip, normalise=True).encode(sentences)
    np.testing.assert_allclose(unit, together / np.linalg.norm(together, axis=1, keepdims=True), atol=1e-5)
    assert ClipTextEncoder(small_clip).identity != ClipTextEncoder(small_clip, normalise=True).identity

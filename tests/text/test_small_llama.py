"""The small Llama: it learns plans, is the same wherever it is made, and is kept whole or not at all."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from leaplan.errors import ConfigError, DataError
from leaplan.text import small_llama
from leaplan.text.pretrained import load_folder
from leaplan.text.small_llama import Line, SmallLlama, batches, line_losses, mean_loss, train_tokenizer

TINY = {"width": 32, "layers": 1, "heads": 2, "vocabulary": 320, "context": 64, "epochs": 1, "steps": 20}
LEARNED = {**TINY, "steps": 250, "learning_rate": 5e-3}
RECIPES = [
    ["boil water", "add tea", "pour milk", "stir", "serve"],
    ["wash rice", "boil rice", "add salt", "cover pot", "serve"],
    ["jack up", "loosen nut", "remove wheel", "put wheel on", "tighten nut"],
    ["dig hole", "take plant", "place plant", "cover root", "water plant"],
]


def plan(steps):
    return f"Plan of {len(steps)} steps: {json.dumps(steps, separators=(',', ':'))}"


@pytest.fixture(scope="module")
def lines():
    draw = random.Random(0)
    recipes = [[step for step in recipe if draw.random() < 0.8] for recipe in RECIPES * 25]
    singles = [[step] for recipe in recipes for step in recipe]
    return [plan(steps) for steps in recipes + singles if steps]


@pytest.fixture(scope="module")
def made(lines, tmp_path_factory):
    """A run folder, its cache, and the model that was just made there."""
    root = tmp_path_factory.mktemp("small")
    model = SmallLlama(**LEARNED, cache=str(root / "cache")).build(lambda: lines, root / "run" / "language_model")
    return root, model


def never():
    raise AssertionError("the corpus was asked for")


def weights(model):
    return {name: weight for name, weight in model.state_dict().items() if "lora" not in name}


def test_it_finds_real_plans_likelier_than_shuffled_ones(made):
    _, model = made
    draw, better = random.Random(1), 0
    for recipe in RECIPES:
        for _ in range(5):
            shuffled = draw.sample(recipe, len(recipe))
            rows = [
                Line(torch.tensor([*model.begin, *model.tokens(plan(p)), model.end]), 1) for p in (recipe, shuffled)
            ]
            real, other = line_losses(model.base, rows)[0]
            better += bool(real < other)
    assert better >= 18  # of 20, of which chance would win 10


def test_it_is_read_again_to_the_last_bit_without_asking_for_the_plans(made, tmp_path):
    root, model = made
    for learns in ("lora", "frozen"):
        source = SmallLlama(**LEARNED, learns=learns, cache=str(tmp_path))
        again = source.build(never, root / "run" / "language_model")
        torch.testing.assert_close([*weights(again).values()], [*weights(model).values()], rtol=0, atol=0)
        assert again.identity["sha256"] == model.identity["sha256"]


def test_equal_runs_share_it_and_get_a_copy_of_their_own(made, lines, monkeypatch):
    root, model = made
    monkeypatch.setattr(SmallLlama, "_train", never)
    for folder in (root / "other run" / "language_model", None):
        again = SmallLlama(**LEARNED, cache=str(root / "cache")).build(lambda: lines, folder)
        assert again.identity == model.identity
    assert (root / "other run" / "language_model" / "model.safetensors").is_file()
    assert [path.name for path in root.rglob(".*")] == []  # nothing half-made is left


def test_making_it_leaves_the_random_state_alone_but_for_the_adapters(lines, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    SmallLlama(**TINY, learns="frozen", cache=str(tmp_path)).build(lambda: lines, None)
    assert torch.equal(before, torch.get_rng_state())


def test_it_is_the_same_where_gradients_are_off_and_another_type_and_device_are_the_default(lines, tmp_path):
    model = SmallLlama(**TINY, cache=str(tmp_path / "one")).build(lambda: lines, None)
    try:
        torch.set_default_dtype(torch.bfloat16)
        with torch.inference_mode(), torch.device("meta"):
            SmallLlama(**TINY, cache=str(tmp_path))._train(lines, tmp_path / "two")
    finally:
        torch.set_default_dtype(torch.float32)
    assert load_folder(tmp_path / "two", "two")[2] == model.identity["sha256"]


def test_plain_transformers_reads_its_folder(made):
    root, model = made
    folder = root / "run" / "language_model"
    tokenizer, plain = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    text = plan(RECIPES[0])
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode(text) == model.tokens(text)
    ids = torch.tensor([model.tokens(text)])
    with torch.no_grad():
        torch.testing.assert_close(plain(ids).logits, model.eval().logits(model(model.embed(ids)).hidden))


def test_a_caption_has_the_tokens_of_its_parts(made):
    _, model = made
    parts = ["From ", " to ", " in 2 steps ", ":", "[", '"add milk"', ",", '"stir, or say \\"söß\\" 🙂"', "]"]
    assert model.tokens("".join(parts)) == [token for part in parts for token in model.tokens(part)]
    assert model.text(model.tokens("".join(parts))) == "".join(parts)


def test_another_folder_is_refused(made, tmp_path):
    root, _ = made
    with pytest.raises(DataError, match=r"holds a language model with seed = 7, but 8 is asked for"):
        SmallLlama(**LEARNED, seed=8, cache=str(tmp_path)).build(never, root / "run" / "language_model")
    (tmp_path / "language_model").mkdir()
    with pytest.raises(DataError, match="delete"):
        SmallLlama(**TINY, cache=str(tmp_path)).build(never, tmp_path / "language_model")


@pytest.mark.parametrize("corpus", [[], ["", "  "]])
def test_no_plans_are_refused(corpus, tmp_path):
    with pytest.raises(DataError, match="no training plans"):
        SmallLlama(**TINY, cache=str(tmp_path)).build(lambda: corpus, None)


def test_a_plan_longer_than_the_context_is_refused_and_leaves_nothing_behind(tmp_path):
    with pytest.raises(ConfigError, match="context of the small Llama is 64"):
        SmallLlama(**TINY, cache=str(tmp_path / "cache")).build(lambda: ["what " * 99], tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"vocabulary": 258}, {"width": 30, "heads": 4}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"a small Llama needs"):
        SmallLlama(**wrong)


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path):
    (tmp_path / "file").write_text("in the way")
    quick = {**TINY, "steps": 1}
    model = SmallLlama(**quick, cache=str(tmp_path / "file")).build(lambda: ["one plan"], tmp_path / "run")
    assert model.identity["name"] == "small Llama"
    assert (tmp_path / "run" / "config.json").is_file()


def test_one_in_ten_different_lines_is_held_out_with_all_its_repeats(lines):
    source = SmallLlama(**TINY)
    corpus = source._encode(train_tokenizer(lines, 320, 64), lines)
    train, held = ({tuple(line.ids.tolist()) for line in part} for part in corpus)
    assert not train & held
    assert len(held) == len(set(lines)) // 10
    assert sum(line.repeats for part in corpus for line in part) == len(lines)


def test_the_weights_kept_are_those_that_predict_held_out_lines_best():
    source = SmallLlama(**{**TINY, "epochs": 30, "learning_rate": 3e-2})
    draw = random.Random(2)
    words = [f"step {number}" for number in range(30)]
    lines = [plan(draw.sample(words, 3)) for _ in range(40)]  # nothing to learn but the words: it soon learns by heart
    torch.manual_seed(0)
    tokenizer = train_tokenizer(lines, 320, 64)
    model, corpus = source._new_model(tokenizer), source._encode(tokenizer, lines)
    learned = source._learn(model, corpus, float("inf"))
    assert learned.best_epoch < 30
    assert mean_loss(model, corpus.held_out, 8) == pytest.approx(learned.held_out_loss, rel=1e-5)


def test_every_line_is_in_one_batch_of_lines_about_as_long():
    torch.manual_seed(0)
    lines = [
        Line(torch.zeros(int(length), dtype=torch.int64), number)
        for number, length in enumerate(torch.randint(2, 40, (100,)))
    ]
    for shuffle in (False, True):
        parts = list(batches(lines, 8, shuffle))
        assert sorted(line.repeats for part in parts for line in part) == list(range(100))
        spread = sum(max(len(line.ids) for line in part) - min(len(line.ids) for line in part) for part in parts)
        assert spread / len(parts) < 5  # of 38 where they are not sorted


def test_training_ends_in_time(lines, tmp_path, capsys):
    SmallLlama(**{**TINY, "epochs": 1000}, seconds=0.2, cache=str(tmp_path)).build(lambda: lines, tmp_path / "run")
    said = capsys.readouterr().out
    assert said.startswith(f"language model: 0.02 M parameters, trained on {len(lines)} lines in ")
    assert json.loads((tmp_path / "run" / small_llama.SETTINGS).read_text())["best_epoch"] < 100


CODE = """
import json, sys, torch
from pathlib import Path
from leaplan.text.small_llama import SmallLlama
torch.set_num_threads(1)
lines, settings, folder, cache = json.loads(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
print(SmallLlama(**settings, cache=cache).build(lambda: lines, folder).identity["sha256"])
"""


@pytest.mark.slow
def test_two_processes_at_once_make_one_model_and_it_is_the_same_everywhere(made, lines, tmp_path):
    _, model = made
    arguments = [json.dumps(lines), json.dumps(LEARNED), str(tmp_path / "run"), str(tmp_path / "cache")]
    command = [sys.executable, "-c", CODE, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "3"}
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=Path(__file__).parents[2])
        for _ in range(2)
    ]
    said = [process.communicate()[0].splitlines()[-1] for process in both]
    assert said == [said[0], said[0]]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    if torch.get_num_threads() == 1:
        assert said[0] == model.identity["sha256"]

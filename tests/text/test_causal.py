"""Causal language models: the same numbers as plain transformers, honest adapters, and errors that say what to do."""

import copy
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import jsonargparse
import peft
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from leaplan.errors import ConfigError, DataError, UserError
from leaplan.text.causal import CausalLanguageModel, LanguageSource, Lora
from leaplan.text.pretrained import PretrainedCausal
from leaplan.text.small_llama import train_tokenizer

PLANS = [
    'Plan of 2 steps: ["add milk","stir"]',
    '["jack up the car","söß 🙂"]',
    "  two  spaces \n",
    "stop . do n't , he said",
]
LLAMA_LIKE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
TARGETS = {"llama": "q_proj", "qwen2": "q_proj", "gpt2": "c_attn", "opt": "q_proj"}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(PLANS[:2] * 4, 300, 64)


def make(kind, tokenizer, **settings):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer) + 5, "initializer_range": 0.3}
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **sizes, **settings))
    if kind == "opt":
        opt = {"ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64}
        sizes["init_std"] = sizes.pop("initializer_range")
        return OPTForCausalLM(OPTConfig(hidden_size=32, word_embed_proj_dim=32, **opt, **sizes, **settings))
    config, model = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}[kind]
    return model(config(**LLAMA_LIKE, **sizes, **settings))


def wrap(model, tokenizer, learns="lora", target="q_proj", dropout=0.0, **settings):
    lora = Lora(rank=4, alpha=8.0, dropout=dropout, targets=(target,))
    wrapped = CausalLanguageModel(model, tokenizer, "tiny", "0" * 64, learns, lora, **settings)
    torch.manual_seed(1)
    for name, weight in wrapped.named_parameters():
        if "lora_B" in name:  # born as zeros, which would hide the adapters
            weight.data.normal_(0, 0.3)
    return wrapped


def prompts(model, rows=3, length=6, seed=2):
    ids = torch.randint(3, 200, (rows, length), generator=torch.Generator().manual_seed(seed))
    return ids, model.embed(ids).detach()


@pytest.mark.parametrize("kind", TARGETS)
def test_logits_are_those_of_plain_transformers_also_with_a_cache(tokenizer, kind):
    plain = make(kind, tokenizer).eval()
    model = wrap(copy.deepcopy(plain), tokenizer, "frozen")
    ids, embeddings = prompts(model)
    with torch.no_grad():
        expected = plain(input_ids=ids).logits
        read = model(embeddings)
        torch.testing.assert_close(model.logits(read.hidden), expected, atol=1e-5, rtol=1e-5)
        assert read.hidden.shape == (3, 6, model.width)
        first = model(embeddings[:, :4], keep_cache=True)
        second = model(embeddings[:, 4:], cache=first.cache)
        torch.testing.assert_close(model.logits(second.hidden), expected[:, 4:], atol=1e-5, rtol=1e-5)
    assert read.cache is None
    assert model.context == 64


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_a_mask_of_either_form_hides_what_it_says(tokenizer, kind):
    model = wrap(make(kind, tokenizer), tokenizer, "frozen")
    _, embeddings = prompts(model)
    mask = torch.ones(3, 6, dtype=torch.int64)
    mask[1, 4:] = 0
    square = (torch.ones(6, 6).tril().bool() & mask.bool()[:, None, :])[:, None]  # (B, 1, L, K)
    short = model(embeddings[1:2, :4]).hidden
    with torch.no_grad():
        for form in (mask, square):
            torch.testing.assert_close(model(embeddings, form).hidden[1:2, :4], short, atol=1e-5, rtol=1e-5)
        hidden = square.clone()
        hidden[:, :, 5, 2] = False  # and a mask of four dimensions may be any
        changed = embeddings.clone()
        changed[:, 2] += 1
        alone = torch.eye(6, dtype=torch.bool)[None, None] | hidden & (torch.arange(6) == 5)[:, None]
        a, b = model(embeddings, alone).hidden, model(changed, alone).hidden
    torch.testing.assert_close(a[:, 5], b[:, 5])
    assert not torch.allclose(a[:, 2], b[:, 2])


@pytest.mark.parametrize("kind", TARGETS)
def test_greedy_generation_with_a_cache_is_a_loop_of_whole_passes(tokenizer, kind):
    model = wrap(make(kind, tokenizer), tokenizer, target=TARGETS[kind])
    _, embeddings = prompts(model)
    found = model.generate(embeddings, new_tokens=8)
    model.eval()
    for row, start in zip(found.tolist(), embeddings, strict=True):
        seen, said = start[None], []
        while len(said) < found.shape[1] and model.end not in said:
            with torch.no_grad():
                said.append(int(model.logits(model(seen).hidden[:, -1]).argmax(-1)))
            seen = torch.cat([seen, model.embed(torch.tensor([[said[-1]]]))], 1)
        assert row == said + [model.end] * (found.shape[1] - len(said))


def test_generation_stops_at_the_end_and_fills_up_with_it(tokenizer):
    model = wrap(make("llama", tokenizer), tokenizer, "full")
    _, embeddings = prompts(model, rows=2)
    first = model.generate(embeddings, new_tokens=6)
    model.end = int(first[0, 2])  # let what the first row says third end a text
    again = model.generate(embeddings, new_tokens=6)
    place = first[0].tolist().index(model.end)
    assert again[0].tolist() == first[0, : place + 1].tolist() + [model.end] * (again.shape[1] - place - 1)


def likelihood(model, embeddings, ids):
    """Return log p (B,) of continuations, up to the first end."""
    seen = torch.cat([embeddings, model.embed(ids)], 1)
    with torch.no_grad():
        logits = model.logits(model(seen).hidden[:, embeddings.shape[1] - 1 : -1])
    each = -cross_entropy(logits.transpose(1, 2), ids, reduction="none")
    before = (ids == model.end).long().cumsum(1) - (ids == model.end).long()
    return (each * (before == 0)).sum(1)


def test_beams_find_continuations_at_least_as_likely_as_greedy_ones(tokenizer):
    model = wrap(make("llama", tokenizer), tokenizer, "frozen")
    _, embeddings = prompts(model, rows=8)
    greedy = likelihood(model, embeddings, model.generate(embeddings, new_tokens=5))
    beams = likelihood(model, embeddings, model.generate(embeddings, new_tokens=5, beams=20))
    assert (beams >= greedy - 1e-4).all()
    assert (beams > greedy + 1e-4).any()


def test_many_beams_find_the_likeliest_of_all_continuations_short_or_long(tokenizer):
    model = wrap(make("llama", tokenizer), tokenizer, "frozen")
    _, embeddings = prompts(model, rows=4)
    model.end = int(model.generate(embeddings, new_tokens=1)[0])  # likely enough to end some of them at once
    words = torch.arange(model.base.config.vocab_size)
    found = model.generate(embeddings, new_tokens=2, beams=100)
    for start, ids in zip(embeddings[:, None], found, strict=True):
        one = likelihood(model, start.expand(len(words), -1, -1), words[:, None])  # (V,)
        best = one[model.end]
        for first in one.topk(10).indices:
            two = torch.stack([first.expand(len(words)), words], 1)  # (V, 2)
            best = torch.maximum(best, likelihood(model, start.expand(len(words), -1, -1), two).max())
        torch.testing.assert_close(likelihood(model, start, ids[None])[0], best, atol=1e-4, rtol=1e-4)


def test_samples_repeat_with_their_seed_and_leave_the_random_state_and_the_mode_alone(tokenizer):
    model = wrap(make("llama", tokenizer), tokenizer, dropout=0.5).train()
    _, embeddings = prompts(model)
    state = torch.get_rng_state()
    a, b, c = (model.generate(embeddings, new_tokens=8, sample=True, temperature=2.0, seed=s) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert model.model.training
    nucleus = model.generate(embeddings, new_tokens=8, sample=True, top_p=1e-6, seed=1)
    assert torch.equal(nucleus, model.generate(embeddings, new_tokens=8))


def test_settings_for_decoding_that_come_with_a_model_change_nothing(tokenizer):
    plain, hinted = make("llama", tokenizer), make("llama", tokenizer)
    hinted.generation_config.repetition_penalty = 5.0
    hinted.generation_config.do_sample = True
    results = []
    for each in (plain, hinted):
        model = wrap(each, tokenizer, "frozen")
        results.append(model.generate(prompts(model)[1], new_tokens=8))
    assert torch.equal(*results)


def test_more_tokens_than_the_context_are_refused(tokenizer):
    model = wrap(make("llama", tokenizer), tokenizer, "frozen")
    with pytest.raises(ConfigError, match="6 prompt tokens and 59 new ones do not fit into the 64"):
        model.generate(prompts(model)[1], new_tokens=59)


@pytest.mark.parametrize("text", PLANS)
def test_text_of_tokens_is_the_text(tokenizer, text):
    model = wrap(make("llama", tokenizer), tokenizer, "frozen")
    assert model.text(model.tokens(text)) == text
    assert model.text([*model.begin, *model.tokens(text), model.end]) == text


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_frozen_model_drops_nothing_out_and_learns_nothing_but_passes_gradients_on(tokenizer, kind, checkpointing):
    noisy = {"opt": {"dropout": 0.5}, "gpt2": {"resid_pdrop": 0.5}}.get(kind, {"attention_dropout": 0.5})
    model = wrap(make(kind, tokenizer, **noisy), tokenizer, "frozen", gradient_checkpointing=checkpointing)
    _, embeddings = prompts(model)
    still = model.eval()(embeddings).hidden
    whole = torch.nn.Sequential(model).train()  # as a module that trains around it would
    torch.testing.assert_close(whole(embeddings).hidden, still)
    embeddings.requires_grad_()
    model(embeddings).hidden.sum().backward()
    assert embeddings.grad.abs().sum() > 0
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("kind", TARGETS)
def test_only_adapters_learn_with_lora_and_all_with_full(tokenizer, kind):
    model = wrap(make(kind, tokenizer), tokenizer, target=TARGETS[kind])
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(learning) == 2 * 2  # A and B in two layers
    assert all("lora_" in name for name in learning)
    assert all(p.requires_grad for p in wrap(make(kind, tokenizer), tokenizer, "full").parameters())


@pytest.mark.parametrize("learns", ["frozen", "lora", "full"])
def test_gradient_checkpointing_changes_memory_but_no_gradient(tokenizer, learns):
    gradients, saved = [], []
    for checkpointing in (False, True):
        model = wrap(make("llama", tokenizer), tokenizer, learns, dropout=0.3, gradient_checkpointing=checkpointing)
        model.train()
        _, embeddings = prompts(model)
        embeddings.requires_grad_(learns == "frozen")  # adapters must learn also behind embeddings that do not ask
        count = []
        torch.manual_seed(3)  # of the adapters' dropout
        with torch.autograd.graph.saved_tensors_hooks(lambda t, count=count: (count.append(t), t)[1], lambda t: t):
            loss = model(embeddings).hidden.square().mean()
        loss.backward()
        saved.append(len(count))
        learning = [*model.parameters(), embeddings]
        gradients.append([each.grad for each in learning if each.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert len(gradients[0]) == {"frozen": 1, "lora": 4, "full": 19}[learns]
    assert saved[1] < saved[0] / 2


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")
def test_adapters_load_in_plain_peft_with_equal_logits(tokenizer, tmp_path):
    base = make("llama", tokenizer).eval()
    model = wrap(copy.deepcopy(base), tokenizer).eval()
    model.save_adapter(tmp_path / "adapter")
    ids, embeddings = prompts(model)
    with torch.no_grad():
        before = base(input_ids=ids).logits
        expected = model.logits(model(embeddings).hidden)
        found = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()(input_ids=ids).logits
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, before, atol=1e-2)
    with pytest.raises(ConfigError, match="no adapters"):
        wrap(make("llama", tokenizer), tokenizer, "frozen").save_adapter(tmp_path)


def test_adapters_of_a_bfloat16_model_are_float32(tokenizer):
    model = wrap(make("llama", tokenizer).bfloat16(), tokenizer)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    read = model(prompts(model)[1].float())
    assert read.hidden.dtype == torch.bfloat16
    assert model.logits(read.hidden).dtype == torch.float32


@pytest.mark.parametrize(("kind", "known"), [("llama", "down_proj, gate_proj, k_proj"), ("gpt2", "c_attn, c_fc")])
def test_a_lora_target_that_is_no_layer_is_answered_with_those_that_are(tokenizer, kind, known):
    lora = Lora(targets=(TARGETS[kind], "query"))
    with pytest.raises(ConfigError, match=f"target 'query' is no linear layer of tiny, which has {known}"):
        CausalLanguageModel(make(kind, tokenizer), tokenizer, "tiny", "", "lora", lora)


def test_a_tokenizer_of_another_model_or_without_an_end_is_refused(tokenizer):
    small = LlamaForCausalLM(LlamaConfig(**LLAMA_LIKE, vocab_size=100))
    with pytest.raises(ConfigError, match=f"ids up to {len(tokenizer) - 1}, but the model embeds 100"):
        wrap(small, tokenizer, "frozen")
    endless = copy.deepcopy(tokenizer)
    endless.eos_token = None
    with pytest.raises(ConfigError, match="no token that ends"):
        wrap(make("llama", tokenizer), endless, "frozen")


def test_an_architecture_that_changes_its_logits_is_refused(tokenizer):
    sizes = {**LLAMA_LIKE, "vocab_size": 400, "head_dim": 8}
    with pytest.raises(ConfigError, match="final_logit_softcapping = 30"):
        wrap(Gemma2ForCausalLM(Gemma2Config(**sizes)), tokenizer, "frozen")


def test_identity_names_adapters_and_can_be_written(tokenizer):
    identity = wrap(make("llama", tokenizer), tokenizer).identity
    assert json.loads(json.dumps(identity)) == identity
    assert identity["lora"] == "rank 4, alpha 8, q_proj"
    assert "lora" not in wrap(make("llama", tokenizer), tokenizer, "frozen").identity


# --- loading ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, tokenizer):
    path = tmp_path / "tiny-llama"
    make("llama", tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_a_folder_is_loaded_and_known_by_its_last_name_and_the_hash_of_its_weights(folder):
    model = PretrainedCausal(str(folder), learns="frozen").build(list, None)
    weights = (folder / "model.safetensors").read_bytes()
    assert model.identity == {"name": "tiny-llama", "sha256": hashlib.sha256(weights).hexdigest(), "learns": "frozen"}
    ids, embeddings = prompts(model)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(model.logits(model(embeddings).hidden), plain(input_ids=ids).logits)
    PretrainedCausal(str(folder)).build(list, None).save_adapter(folder / "adapter")
    settings = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "tiny-llama"
    half = PretrainedCausal(str(folder), learns="frozen", dtype="bfloat16").build(list, None)
    assert half.embed(ids).dtype == torch.bfloat16
    assert half.identity == model.identity


def damage(folder, what):
    weights = folder / "model.safetensors"
    if what == "no tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    elif what == "pickled":
        weights.rename(folder / "pytorch_model.bin")
    elif what == "adapters":
        (folder / "adapter_config.json").write_text("{}")
    elif what == "no weights":
        weights.unlink()
    elif what == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif what == "lacking":
        from safetensors.torch import load_file, save_file

        state = load_file(weights)
        state.pop("model.layers.0.mlp.up_proj.weight")
        save_file(state, weights, {"format": "pt"})
    elif what == "code":
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "homemade", "auto_map": dict.fromkeys(["AutoConfig", "AutoModelForCausalLM"], "own.X")}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "own.py").write_text("raise SystemExit('the code of the model was run')")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no tokenizer", "has no tokenizer"),
        ("pickled", "pytorch_model.bin is pickled"),
        ("no weights", "has no weights in"),
        ("adapters", "holds adapters"),
        ("cut", "cannot be read"),
        ("lacking", r"lacks weights: model.layers.0.mlp.up_proj.weight"),
        ("code", "cannot be read"),
    ],
)
def test_a_damaged_folder_is_refused(folder, what, message):
    damage(folder, what)
    with pytest.raises(DataError, match=message):
        PretrainedCausal(str(folder)).build(list, None)


def test_a_model_that_is_not_there_is_told_so_at_once(tmp_path):
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"'nobody/nothing' is neither .* \(HF_HUB_OFFLINE is set\)\n.*hf download"):
        PretrainedCausal("nobody/nothing").build(list, None)
    with pytest.raises(UserError, match="does not exist"):
        PretrainedCausal(str(tmp_path / "absent")).build(list, None)
    assert time.monotonic() - begin < 5


def test_four_bits_are_refused_where_they_cannot_be_had(folder):
    with pytest.raises(ConfigError, match=r"bitsandbytes|CUDA|learns=full"):
        PretrainedCausal(str(folder), learns="full", four_bit=True).build(list, None)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"leaplan\[four-bit\]|CUDA"):
            PretrainedCausal(str(folder), four_bit=True).build(list, None)


def test_the_command_line_can_configure_it():
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--language", type=LanguageSource)
    settings = {"model": "x/y", "learns": "full", "dtype": "bfloat16", "lora": {"rank": 8, "targets": ["q_proj"]}}
    given = {"class_path": "leaplan.text.pretrained.PretrainedCausal", "init_args": settings}
    source = parser.instantiate(parser.parse_object({"language": given})).language
    assert (source.name, source.learns, source.dtype) == ("x/y", "full", "bfloat16")
    assert source.lora == Lora(rank=8, targets=("q_proj",))
    given = {"class_path": "leaplan.text.small_llama.SmallLlama", "init_args": {"width": 64, "lora": None}}
    small = parser.instantiate(parser.parse_object({"language": given})).language
    assert (small.name, small.width, small.lora) == ("small Llama", 64, None)


@pytest.mark.slow
def test_importing_it_loads_no_model_library():
    code = "import sys, leaplan.text.small_llama; assert not {'transformers', 'peft'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])

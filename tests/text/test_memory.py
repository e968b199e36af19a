"""The memory plan against real tensors, and against arithmetic on the shape of Vicuna-7B."""

import copy

import pytest
import torch
from safetensors.torch import save_file
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM, Qwen2Config

from leaplan.text.causal import Lora, _checkpoint_layers, add_lora
from leaplan.text.memory import SEVEN_B, memory_plan

LORA = Lora(rank=4, dropout=0.1)
SMALL = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
LLAMA = LlamaConfig(**SMALL, **HEADS, tie_word_embeddings=False)


def plan(config=LLAMA, learns="lora", batch=4, tokens=32, **settings):
    return memory_plan(config, lora=LORA, learns=learns, batch=batch, tokens=tokens, **settings)


def measured(learns, checkpointing, dtype=torch.float32):
    """Return the bytes that a real forward pass keeps: each stretch of memory once, without weights."""
    torch.manual_seed(0)
    model = LlamaForCausalLM._from_config(copy.deepcopy(LLAMA), dtype=dtype, attn_implementation="sdpa").train()
    if checkpointing:
        _checkpoint_layers(model, frozen=False)
    model = add_lora(model, LORA, "tiny").get_base_model() if learns == "lora" else model.requires_grad_(False)
    weights = {w.untyped_storage().data_ptr() for w in [*model.parameters(), *model.buffers()]}
    kept, inputs = {}, []

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    for layer in model.model.layers:
        layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    embeddings = torch.randn(4, 32, 64, dtype=dtype, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model(inputs_embeds=embeddings, use_cache=False)
    for tensor in inputs if checkpointing else []:
        kept[tensor.untyped_storage().data_ptr()] = tensor
    return sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in weights)


@pytest.mark.parametrize("learns", ["lora", "frozen"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_are_those_that_a_real_model_keeps(learns, dtype):
    found = plan(learns=learns, dtype=dtype).activations
    assert found == pytest.approx(measured(learns, False, getattr(torch, dtype)), rel=0.1)


def test_checkpointed_activations_are_the_inputs_of_all_layers_and_what_one_layer_keeps():
    found = plan(learns="frozen")
    one = (found.activations - measured("frozen", True)) / LLAMA.num_hidden_layers
    assert found.activations_checkpointed == pytest.approx(measured("frozen", True) + one, rel=0.25)
    assert found.activations_checkpointed < 0.6 * found.activations


@pytest.mark.parametrize("learns", ["lora", "full", "frozen"])
def test_weights_gradients_and_checkpoint_are_those_of_a_real_model(learns, tmp_path):
    model = LlamaForCausalLM(copy.deepcopy(LLAMA)).requires_grad_(learns == "full")
    size = 4 * sum(p.numel() for p in model.parameters())
    model = add_lora(model, LORA, "tiny") if learns == "lora" else model
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    (tmp_path / "x").write_bytes(b"") if not learning else save_file(learning, tmp_path / "x")
    optimizer = torch.optim.AdamW(learning.values(), fused=False) if learning else None
    for parameter in learning.values():
        parameter.grad = torch.ones_like(parameter)
    if optimizer:
        optimizer.step()
    moments = [v for state in optimizer.state.values() for v in state.values() if v.ndim] if optimizer else []
    found = plan(learns=learns)
    assert found.base_weights == size
    assert found.base_weights + found.adapter_weights == 4 * sum(p.numel() for p in model.parameters())
    assert found.gradients == found.checkpoint == sum(p.nbytes for p in learning.values())
    assert found.optimizer_state == sum(v.nbytes for v in moments)
    assert found.checkpoint <= (tmp_path / "x").stat().st_size <= found.checkpoint + 5000


def test_the_cache_is_that_of_a_real_model():
    with torch.no_grad():
        cache = LlamaForCausalLM(copy.deepcopy(LLAMA)).eval()(torch.ones(1, 32, dtype=torch.int64)).past_key_values
    assert plan().cache_per_sample == sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def test_seven_billion_weights_fit_where_they_should_and_nothing_is_allocated():
    low = memory_plan(SEVEN_B, lora=Lora(), learns="lora", batch=8, tokens=128, dtype="bfloat16")
    assert low.base_weights == 2 * 6_738_415_616
    assert low.adapter_weights == 4 * 32 * 2 * 16 * (4096 + 4096)
    assert low.checkpoint < 100e6
    assert 32 * 1024 * 20 * 4096 < low.activations < 32 * 1024 * 80 * 4096  # 10 to 40 widths per token and layer
    few = memory_plan(SEVEN_B, lora=Lora(), learns="lora", batch=8, tokens=128, dtype="bfloat16", four_bit=True)
    assert 3.5e9 < few.base_weights < 4e9
    assert few.adapter_weights == low.adapter_weights


def test_activations_grow_with_the_batch_and_attention_does_not_keep_its_probabilities():
    small, wide, long = plan(batch=2), plan(batch=8), plan(batch=2, tokens=128)
    assert wide.activations / small.activations == pytest.approx(4, rel=0.02)
    assert long.activations / small.activations == pytest.approx(4, rel=0.02)
    assert wide.logits == 4 * small.logits


def test_the_total_counts_the_activations_that_are_kept():
    whole, again = plan(), plan(gradient_checkpointing=True)
    assert whole.training - again.training == whole.activations - whole.activations_checkpointed
    assert dict(whole.rows())["training step in all"] == whole.training


@pytest.mark.parametrize(
    ("config", "target"),
    [(Qwen2Config(**SMALL, **HEADS), "q_proj"), (GPT2Config(n_embd=64, n_layer=3, n_head=4), "c_attn")],
)
def test_other_architectures_have_a_plan_too(config, target):
    found = memory_plan(config, lora=Lora(targets=(target,)), learns="lora", batch=2, tokens=16)
    assert 0 < found.activations_checkpointed < found.activations
    assert found.cache_per_sample == 2 * 3 * 64 * (config.num_key_value_heads / 4 if target == "q_proj" else 1) * 16 * 4


def test_the_configuration_is_left_alone():
    before = SEVEN_B.to_dict()
    memory_plan(SEVEN_B, lora=None, learns="frozen", batch=1, tokens=8, dtype="bfloat16")
    assert SEVEN_B.to_dict() == before

"""Step queries: what may reach them, and that BLIP-2's weights compute what they did in BLIP-2."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from leaplan.errors import ConfigError, UserError
from leaplan.planning.qformer import StepQueries

B, T, C, E, Y = 4, 3, 2, 20, 7


def made(**settings):
    torch.manual_seed(0)
    queries = StepQueries(T, E, Y, **{"width": 16, "heads": 2, **settings}).eval()
    for parameter in queries.parameters():  # away from the small initial weights
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return queries


@pytest.fixture
def states():
    return torch.randn(B, C, E, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def text():
    return torch.randn(B, T, Y, generator=torch.Generator().manual_seed(2))


def test_queries_read_the_states_of_their_own_window_alone(states):
    queries = made()
    with torch.no_grad():
        whole, changed = queries(states), states.clone()
        changed[1] = changed[1].flip(-1)
        other = queries(changed)
    assert whole.shape == (B, T, queries.width)
    assert torch.equal(other[[0, 2, 3]], whole[[0, 2, 3]])
    assert (other[1] - whole[1]).abs().amax(-1).min() > 1e-2  # each query looks
    assert (whole[0, 0] - whole[0, 1]).abs().max() > 1e-2


def test_text_never_enters_the_pass_that_plans_are_read_from(states, text):
    queries = made()
    before = queries(states)
    before.sum().backward()
    told = {name: weight for name, weight in queries.named_parameters() if weight.grad is None}
    assert {name.split(".")[0] for name in told} == {"tell", "places", "judge", "qformer"}
    assert all(".intermediate." in name or ".output." in name for name in told if name.startswith("qformer"))
    queries.match(states, text).sum().backward()
    assert all(weight.grad is not None for weight in queries.parameters())
    for weight in told.values():
        weight.data.normal_()
    with torch.no_grad():
        queries.match(states, 10 * text)
        assert torch.equal(queries(states), before)


def test_a_match_depends_on_states_on_text_and_on_its_order(states, text):
    queries = made()
    with torch.no_grad():
        own = queries.match(states, text)
        assert own.shape == (B,)
        for other in (queries.match(states.roll(1, 0), text), queries.match(states, text.roll(1, 0))):
            assert (own - other).abs().min() > 1e-4
        assert (own - queries.match(states, text.flip(1))).abs().min() > 1e-4
        torch.testing.assert_close(queries.match(states.flip(0), text.flip(0)), own.flip(0))


@pytest.mark.parametrize(("layers", "hears"), [(1, False), (2, True)])
def test_text_hears_of_the_states_only_through_the_queries(states, text, layers, hears):
    queries = made(layers=layers)
    queries.judge.weight.data[:, : queries.width] = 0  # the head sees text alone
    with torch.no_grad():
        change = (queries.match(states, text) - queries.match(states.flip(-1), text)).abs()
    assert change.min() > 1e-4 if hears else change.max() == 0


@pytest.mark.parametrize("cross_every", [1, 2, 3])
def test_queries_look_at_the_states_in_every_so_many_layers(cross_every):
    layers = made(layers=4, cross_every=cross_every).qformer.encoder.layer
    looks = [any("crossattention" in name for name, _ in layer.named_parameters()) for layer in layers]
    assert looks == [number % cross_every == 0 for number in range(4)]


def test_dropout_acts_in_training_only(states):
    queries = made(dropout=0.5)
    with torch.no_grad():
        assert torch.equal(queries(states), queries(states))
        queries.train()
        assert not torch.equal(queries(states), queries(states))
        queries = made(dropout=0.0).train()
        assert torch.equal(queries(states), queries(states))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="width 10 cannot be shared among 4 heads"):
        StepQueries(T, E, Y, width=10, heads=4)


def saved_blip(folder, kind, text_feed_forward):
    """A tiny BLIP-2 model in `folder`, with five query tokens."""
    import transformers

    torch.manual_seed(3)
    small = {"num_hidden_layers": 1, "num_attention_heads": 2}
    qformer = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    config = transformers.Blip2Config(
        vision_config={"hidden_size": 24, "intermediate_size": 32, "image_size": 28, **small},
        qformer_config={**qformer, "vocab_size": 50, "use_qformer_text_input": text_feed_forward},
        text_config={"model_type": "opt", "hidden_size": 16, "ffn_dim": 16, "vocab_size": 50, **small},
        num_query_tokens=5,
    )
    model = getattr(transformers, kind)(config).eval()
    for parameter in [*model.qformer.parameters(), model.query_tokens]:
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def test_pretrained_queries_compute_what_blip_does(tmp_path, states, text):
    model = saved_blip(tmp_path, "Blip2ForImageTextRetrieval", True)
    queries = StepQueries(T, E, Y, width=128, dropout=0.3, pretrained=str(tmp_path))
    assert queries.width == 32
    assert all(part.training for part in queries.modules())
    assert {part.p for part in queries.modules() if isinstance(part, torch.nn.Dropout)} == {0.3}
    queries.eval()
    seen = queries.show(states)
    tokens = model.query_tokens[:, :T].expand(B, -1, -1)
    expected = model.qformer(query_embeds=tokens, encoder_hidden_states=seen).last_hidden_state
    torch.testing.assert_close(queries(states), expected)

    told = torch.cat([tokens, queries.tell(text) + queries.places], 1)
    both = model.qformer(query_embeds=told, query_length=T, encoder_hidden_states=seen).last_hidden_state
    judged = queries.judge(torch.cat([both[:, :T].mean(1), both[:, T:].mean(1)], -1))[:, 0]
    torch.testing.assert_close(queries.match(states, text), judged)


def test_a_model_without_a_feed_forward_for_text_lends_it_that_of_the_queries(tmp_path, states):
    model = saved_blip(tmp_path, "Blip2ForConditionalGeneration", False)
    queries = StepQueries(T, E, Y, pretrained=str(tmp_path)).eval()
    tokens = model.query_tokens[:, :T].expand(B, -1, -1)
    expected = model.qformer(query_embeds=tokens, encoder_hidden_states=queries.show(states)).last_hidden_state
    torch.testing.assert_close(queries(states), expected)
    for layer in queries.qformer.encoder.layer:
        assert torch.equal(layer.intermediate.dense.weight, layer.intermediate_query.dense.weight)
        assert torch.equal(layer.output.LayerNorm.weight, layer.output_query.LayerNorm.weight)
        assert layer.output.dense.weight is not layer.output_query.dense.weight  # each learns on its own


def test_a_saved_qformer_alone_serves_as_well(tmp_path, states):
    model = saved_blip(tmp_path / "whole", "Blip2ForImageTextRetrieval", True)
    model.qformer.save_pretrained(tmp_path / "part")
    queries = StepQueries(T, E, Y, pretrained=str(tmp_path / "part")).eval()
    tokens = queries.queries.expand(B, -1, -1)
    expected = model.qformer(query_embeds=tokens, encoder_hidden_states=queries.show(states)).last_hidden_state
    torch.testing.assert_close(queries(states), expected)


def test_more_steps_than_query_tokens_leave_the_rest_at_random(tmp_path):
    model = saved_blip(tmp_path, "Blip2ForImageTextRetrieval", True)
    queries = StepQueries(7, E, Y, pretrained=str(tmp_path)).queries
    assert torch.equal(queries[:5], model.query_tokens[0])
    assert 0 < queries[5:].abs().max() < 0.2


def broken(folder, how):
    """A folder that holds no Q-Former, for one reason or another."""
    if how == "missing":
        return folder / "nowhere"
    saved_blip(folder, "Blip2ForImageTextRetrieval", True)
    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "no weights":
        weights.unlink()
    elif how == "pickled":
        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()
    elif how == "cut off":
        weights.write_bytes(weights.read_bytes()[:2000])
    elif how == "a layer short":
        kept = {name: weight for name, weight in load_file(weights).items() if "encoder.layer.2." not in name}
        save_file(kept, weights, metadata={"format": "pt"})
    elif how == "another model":
        config.write_text(json.dumps({"model_type": "bert"}))
    return folder


@pytest.mark.parametrize("how", ["missing", "no weights", "pickled", "cut off", "a layer short", "another model"])
def test_a_folder_without_a_qformer_is_answered_in_two_lines(tmp_path, how):
    folder = broken(tmp_path, how)
    with pytest.raises(UserError) as raised:
        StepQueries(T, E, Y, pretrained=str(folder))
    assert str(folder) in str(raised.value)
    assert "leave `pretrained` out" in raised.value.hint
    assert len(str(raised.value).splitlines()) == 2

"""Classifiers and the program head: shapes, what they depend on, and what they do not."""

import pytest
import torch
from torch.nn import functional as F

from leaplan.recognition.heads import ClassHeads
from leaplan.recognition.losses import condition_loss, program_loss
from leaplan.recognition.network import ProgramLogits
from leaplan.recognition.program_head import ProgramHead, lengths

WIDTH, SLOTS, VERBS, OBJECTS, CONDITIONS = 12, 5, 4, 6, 3


def head(**options):
    torch.manual_seed(0)
    sizes = {"slots": SLOTS, "verbs": VERBS, "objects": OBJECTS, "conditions": CONDITIONS}
    return ProgramHead(WIDTH, **sizes, **{"inner": 16, "dropout": 0.0, **options})


def test_a_kind_of_class_that_is_left_out_has_no_logits_and_no_weights():
    heads = ClassHeads(WIDTH, 5, 0, 7)
    verb, noun, action = heads(torch.randn(3, WIDTH))
    assert (verb.shape, noun, action.shape) == ((3, 5), None, (3, 7))
    assert not [name for name, _ in heads.named_parameters() if "noun" in name]
    with pytest.raises(ValueError, match="needs classes"):
        ClassHeads(WIDTH, 0, 0, 0)


def test_class_heads_are_layer_norm_then_linear():
    heads = ClassHeads(WIDTH, 5, 3, 0).eval()
    seen = torch.randn(4, WIDTH)
    normed = F.layer_norm(seen, (WIDTH,), heads.norm.weight, heads.norm.bias)
    verb, noun, _ = heads(seen)
    torch.testing.assert_close(verb, normed @ heads.verb.weight.T + heads.verb.bias)
    torch.testing.assert_close(noun, normed @ heads.noun.weight.T + heads.noun.bias)


@pytest.mark.parametrize("lead", [(2,), (2, 3), (1, 1)])
def test_program_logits_have_one_row_per_slot(lead):
    logits = head()(torch.randn(*lead, 9, WIDTH))
    assert [each.shape for each in logits] == [
        (*lead, SLOTS, size) for size in (VERBS, OBJECTS, OBJECTS, CONDITIONS, CONDITIONS)
    ]


def test_the_order_of_tokens_does_not_matter_but_their_content_does():
    network, tokens = head().eval(), torch.randn(2, 9, WIDTH)
    logits, turned = network(tokens), network(tokens[:, torch.randperm(9)])
    other = network(tokens + torch.randn(2, 9, WIDTH))
    for ours, theirs, changed in zip(logits, turned, other, strict=True):
        torch.testing.assert_close(ours, theirs)
        assert (ours - changed).abs().max() > 1e-3


def test_clips_are_decoded_one_by_one():
    network, tokens = head().eval(), torch.randn(4, 9, WIDTH)
    together, alone = network(tokens), network(tokens[2:3])
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours[2:3], theirs)


def test_slots_are_told_apart_and_permuting_the_queries_permutes_the_program():
    network, tokens = head().eval(), torch.randn(2, 9, WIDTH)
    logits = network(tokens)
    assert (logits.verb[:, 0] - logits.verb[:, 1]).abs().max() > 1e-3
    order = torch.randperm(SLOTS)
    network.slots.data = network.slots[order].clone()
    for ours, theirs in zip(network(tokens), logits, strict=True):
        torch.testing.assert_close(ours, theirs[:, order])


def test_no_two_decoder_layers_start_alike():
    one, two = head().decode.layers
    assert not torch.equal(one.linear1.weight, two.linear1.weight)
    assert not torch.equal(one.multihead_attn.in_proj_weight, two.multihead_attn.in_proj_weight)


def test_the_head_learns_programs_that_its_tokens_tell():
    """Each of four clips has a token pattern and a program of its own."""
    network, generator = head(inner=32), torch.Generator().manual_seed(0)
    tokens = torch.randn(4, 1, 6, WIDTH, generator=generator)
    length = torch.tensor([5, 1, 3, 2])[:, None, None]
    mask = torch.arange(SLOTS) < length
    program = {
        "verb": torch.randint(1, VERBS, mask.shape, generator=generator) * mask,
        "first": torch.randint(OBJECTS, mask.shape, generator=generator) * mask,
        "second": torch.randint(OBJECTS, mask.shape, generator=generator) * mask,
        "before": torch.randint(2, (*mask.shape, CONDITIONS), generator=generator) * mask[..., None],
        "after": torch.randint(2, (*mask.shape, CONDITIONS), generator=generator) * mask[..., None],
        "mask": mask,
    }
    valid = torch.ones(4, 1, dtype=torch.bool)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(100):
        logits = network(tokens)
        loss = program_loss(logits, program, valid).value + condition_loss(logits, program, valid).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    verb = network(tokens).verb.argmax(-1)
    assert torch.equal(lengths(verb), length[:, :, 0])
    assert torch.equal(verb * mask, program["verb"])


def test_a_program_ends_before_its_first_stop():
    verb = torch.tensor([[1, 2, 0, 3], [0, 1, 1, 1], [1, 1, 1, 1]])
    assert lengths(verb).tolist() == [2, 0, 4]


def test_the_names_of_the_parts_are_those_of_the_contract():
    assert ProgramLogits._fields == ("verb", "first", "second", "before", "after")

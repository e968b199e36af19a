"""The frozen path: shapes, scale, and that it learns what rows tell."""

import pytest
import torch
from torch.nn import functional as F

from leaplan.recognition.features import FeatureEncoder
from leaplan.recognition.network import Recogniser

N, S, D, C = 6, 4, 10, 16


def encoder(layers=1, **options):
    torch.manual_seed(0)
    return FeatureEncoder(D, S, C, layers, **{"heads": 4, "dropout": 0.0, **options})


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_clip_becomes_one_vector_and_a_token_per_row(layers):
    network = encoder(layers)
    seen = network(torch.randn(N, S, D))
    assert (seen.pooled.shape, seen.tokens.shape, network.width) == ((N, C), (N, S, C), C)
    assert network(torch.randn(0, S, D)).pooled.shape == (0, C)


@pytest.mark.parametrize("layers", [0, 1])
def test_clips_are_seen_one_by_one_and_the_order_of_rows_matters(layers):
    network, clips = encoder(layers).eval(), torch.randn(N, S, D)
    seen = network(clips)
    torch.testing.assert_close(network(clips[2:3]).pooled, seen.pooled[2:3])
    assert (network(clips.flip(1)).pooled - seen.pooled).abs().max() > 1e-4


@pytest.mark.parametrize("layers", [0, 1])
def test_after_fitting_the_scale_and_place_of_channels_do_not_matter(layers):
    clips, scale, place = torch.randn(40, S, D), 10 ** torch.randn(D), 5 * torch.randn(D)
    network, other = encoder(layers), encoder(layers)
    network.fit(clips)
    other.fit(clips * scale + place)
    found = other(clips * scale + place).pooled
    torch.testing.assert_close(found, network(clips).pooled, rtol=1e-3, atol=1e-3)


def test_only_clips_in_the_mask_are_measured_and_the_measure_is_saved():
    windows, mask = torch.randn(9, 2, S, D), torch.rand(9, 2) < 0.5
    network, other = encoder(), encoder()
    network.fit(windows, mask)
    windows[~mask] = float("nan")
    other.fit(windows, mask)
    assert torch.equal(network.mean, other.mean)
    assert torch.equal(network.scale, other.scale)
    fresh = encoder()
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh.mean, network.mean)


def test_a_channel_that_never_changes_is_no_danger():
    network, clips = encoder(), torch.randn(N, S, D)
    clips[..., 3] = 7.0
    network.fit(clips)
    assert network(clips).pooled.isfinite().all()


def test_rows_of_another_shape_are_refused():
    for shape in ((N, S + 1, D), (N, S, D + 1), (N, D)):
        with pytest.raises(ValueError, match=rf"\(N, {S}, {D}\) is expected"):
            encoder()(torch.randn(shape))


@pytest.mark.parametrize(("layers", "share"), [(0, 0.5), (1, 0.85)])
def test_it_learns_a_class_that_only_one_of_the_rows_tells(layers, share):
    """Which row it is differs from clip to clip: an MLP on all rows side by side finds that harder."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(5, D, generator=generator)

    def draw(count):
        label = torch.randint(5, (count,), generator=generator)
        clips = torch.randn(count, S, D, generator=generator)
        clips[torch.arange(count), torch.randint(S, (count,), generator=generator)] += 3 * patterns[label]
        return clips[:, None], label

    model = Recogniser(encoder(layers), 0, 0, 5, dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    visible = torch.ones(64, 1, dtype=torch.bool)
    for _ in range(120):
        clips, label = draw(64)
        loss = F.cross_entropy(model(clips, visible).action, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    clips, label = draw(400)
    with torch.no_grad():
        found = model.eval()(clips, torch.ones(400, 1, dtype=torch.bool)).action.argmax(-1)
    assert float((found == label).float().mean()) > share

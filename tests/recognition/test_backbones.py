"""Backbones as settings: each refuses data that it cannot look at, and begins with what clips have in common."""

import pytest
import torch

from leaplan.errors import ConfigError
from leaplan.recognition.backbones import FeatureProbe, UniFormerV2
from leaplan.recognition.encoder import normalised
from leaplan.records import RecognitionProblem, Vocabulary

SMALL = {"size": "tiny", "kind": "ssv2", "resolution": (16, 24), "width": 16, "heads": 2, "depth": 2, "blocks": 1}


def problem(rows: int, width: int) -> RecognitionProblem:
    return RecognitionProblem(Vocabulary(()), 1, rows, width)


def test_each_backbone_refuses_the_other_kind_of_data():
    with pytest.raises(ConfigError, match="features of width 5"):
        UniFormerV2(**SMALL).build(problem(4, 5))
    with pytest.raises(ConfigError, match="the data give frames"):
        FeatureProbe().build(problem(4, 0))


def test_a_network_without_weights_begins_with_what_differs_between_clips():
    torch.manual_seed(0)
    encoder = UniFormerV2(**SMALL).build(problem(4, 0))
    background = torch.randint(0, 255, (1, 3, 1, 16, 24)).float()
    clips = (background + 5 * torch.randn(40, 3, 4, 16, 24)).clamp(0, 255).to(torch.uint8)
    begun = encoder.network.positions.detach().clone()
    encoder.fit(clips)
    patches = encoder.network.stem(normalised(clips))[0].flatten(0, 1)  # (N T, hw, C)
    centred = patches + (encoder.network.positions - begun)[1:]
    assert centred.mean(0).abs().max() < 1e-3
    assert torch.allclose(patches.sub(patches.mean(0)).std((0, 1)), torch.ones(16), atol=1e-3)

"""UniFormerV2 as an encoder of seconds."""

import pytest
import torch

from leaplan.errors import ConfigError
from leaplan.recognition.encoder import UniFormerV2Encoder
from leaplan.recognition.seconds import UniFormerV2Seconds
from leaplan.video.seconds import SecondsEncoder


def test_rows_are_what_the_network_pools():
    encoder: SecondsEncoder = UniFormerV2Seconds(
        model="tiny", kind="ssv2", frames=4, size=32, short_side=36, allow_random=True
    )
    clips = torch.randint(0, 256, (3, 4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = encoder.encode(clips)
    assert rows.shape == (3, encoder.width)
    network: UniFormerV2Encoder = encoder.network
    with torch.no_grad():
        single = torch.cat([network(clip.transpose(0, 1)[None]).pooled for clip in clips])
    assert torch.allclose(rows, single, atol=1e-5)
    settings = encoder.settings()
    assert (settings["kind"], settings["frames"], len(settings["weights_sha256"])) == ("ssv2", 4, 64)


def test_random_weights_are_the_same_each_time_and_must_be_asked_for():
    sizes = {"model": "tiny", "frames": 2, "size": 16, "short_side": 16}
    one, two = (UniFormerV2Seconds(**sizes, allow_random=True) for _ in range(2))
    assert one.settings() == two.settings()
    with pytest.raises(ConfigError, match="needs weights"):
        UniFormerV2Seconds(**sizes)

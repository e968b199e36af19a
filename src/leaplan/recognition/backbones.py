"""Which backbone looks at clips, as a setting: it is built once the data tell how large a clip is."""

from typing import Any, Protocol

from torch import nn

from leaplan.errors import ConfigError
from leaplan.recognition.encoder import UniFormerV2Encoder
from leaplan.recognition.features import FeatureEncoder
from leaplan.records import RecognitionProblem


class BackboneSource(Protocol):
    """Builds a backbone for a problem."""

    def build(self, problem: RecognitionProblem) -> nn.Module:
        """Return a `network.Backbone`."""


class UniFormerV2:
    """UniFormerV2 on decoded frames.

    Args:
        settings: Of `encoder.UniFormerV2Encoder`, but `frames`, which the data tell.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def build(self, problem: RecognitionProblem) -> nn.Module:
        """Return the encoder for clips of T frames.

        Raises:
            ConfigError: The data give features.
        """
        if problem.width:
            raise ConfigError(
                f"UniFormerV2 looks at frames, but the data give features of width {problem.width}",
                "Use leaplan.data.frames.Frames as --data.source, or leaplan.recognition.backbones.FeatureProbe",
            )
        return UniFormerV2Encoder(frames=problem.rows, **self.settings)


class FeatureProbe:
    """A probe on features that were computed before; settings as of `features.FeatureEncoder`.

    Args:
        width: C.
        layers: Transformer layers; 0 takes an MLP over all rows, which is better on small data.
        heads: Attention heads.
        dropout: On rows, and in the transformer or MLP.
    """

    def __init__(self, width: int = 512, layers: int = 1, heads: int = 8, dropout: float = 0.3) -> None:
        self.settings = {"width": width, "layers": layers, "heads": heads, "dropout": dropout}

    def build(self, problem: RecognitionProblem) -> nn.Module:
        """Return the encoder for clips of S rows.

        Raises:
            ConfigError: The data give frames.
        """
        if not problem.width:
            raise ConfigError(
                "FeatureProbe looks at features, but the data give frames",
                "Use leaplan.data.sources.Features as --data.source, or leaplan.recognition.backbones.UniFormerV2",
            )
        return FeatureEncoder(problem.width, problem.rows, **self.settings)  # type: ignore[arg-type]

"""What bounds a training run: the network, or decoding for it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """Rates of a training run, each as measured alone: cores that decode do nothing else.

    Args:
        model_clips_per_second: Of training steps.
        core_clips_per_second: Decoded and transformed by one core.
        workers: Cores that decode.
    """

    model_clips_per_second: float
    core_clips_per_second: float
    workers: int

    @property
    def by(self) -> str:
        """ "model" or "decoding", whichever is slower."""
        return "model" if self.model_clips_per_second <= self.core_clips_per_second * self.workers else "decoding"

    @property
    def sentence(self) -> str:
        """The bound in words."""
        model, core = self.model_clips_per_second, self.core_clips_per_second
        decoded = f"{core * self.workers:.3g} clips/s decoded by {_cores(self.workers)}"
        if self.by == "decoding":
            need = _cores(math.ceil(model / core))
            return f"decoding bounds: {decoded} against {model:.3g} of the model; it needs {need} of decoding"
        enough = (
            f"one core of decoding feeds {_share(core / model)} such models"
            if core >= model
            else f"it needs {_cores(math.ceil(model / core))} of decoding"
        )
        return f"the model bounds: {model:.3g} clips/s against {decoded}; {enough}"


def _share(models: float) -> str:
    return f"{models:.0f}" if models >= 10 else f"{models:.1f}"


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"

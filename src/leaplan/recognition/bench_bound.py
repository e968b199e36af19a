"""What bounds a training run: the network, or decoding for it."""

import math
import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """Rates of a training run, each as measured alone: cores that decode do nothing else.

    Args:
        kind, frames: Of the network.
        film: What is decoded.
        model_clips_per_second: Of training steps.
        core_clips_per_second: Decoded and transformed by one core.
        workers: Cores that decode.
    """

    kind: str
    frames: int
    film: str
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

    def figures(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return {
            "kind": self.kind,
            "frames": self.frames,
            "film": self.film,
            "bound_by": self.by,
            "model_clips_per_second": self.model_clips_per_second,
            "decoded_clips_per_second_per_core": self.core_clips_per_second,
            "workers": self.workers,
            "workers_needed": self.model_clips_per_second / self.core_clips_per_second,
        }


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(models: float) -> str:
    return f"{models:.0f}" if models >= 10 else f"{models:.1f}"


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"

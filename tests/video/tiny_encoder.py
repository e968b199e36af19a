"""An encoder without weights for tests of extraction: a row is what its frames show, so that times can be read off."""

import os
import signal
import time
from pathlib import Path

import torch


class TinyEncoder:
    """Rows hold the mean brightness of the ten fields of a made video's frames, of the first, the middle and the last.

    Args:
        frames, rate, size, short_side: As of any encoder.
        pause: Seconds that each row takes.
        scale: Multiplies the rows; it stands for weights.
        die_after: The process kills itself, as if from outside, instead of encoding its N-th batch; 0 never does.
        marks: A folder; the process that dies leaves a mark there and does not die again where one is.
    """

    name = "tiny"
    width = 30

    def __init__(
        self,
        frames: int = 1,
        rate: float = 10.0,
        size: int = 0,
        short_side: int = 0,
        pause: float = 0.0,
        scale: float = 1.0,
        die_after: int = 0,
        marks: str = "",
    ) -> None:
        self.frames, self.rate, self.size, self.short_side = frames, rate, size, short_side
        self.pause, self.scale, self.die_after, self.marks = pause, scale, die_after, marks
        self.batches = 0

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        """Return rows float32 (N, 30) of clips uint8 (N, T, 3, S, S)."""
        assert clips.dtype == torch.uint8
        assert clips.shape[1:3] == (self.frames, 3), clips.shape
        self.batches += 1
        if self.batches == self.die_after and not list(Path(self.marks).glob("died-*")):
            (Path(self.marks) / f"died-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.pause * len(clips))
        looks = clips[:, [0, self.frames // 2, self.frames - 1], 0].float()  # (N, 3, S, S)
        side_rows, side_columns = looks.shape[2], looks.shape[3]
        fields = [
            looks[..., self._middle(row, 2, side_rows), self._middle(column, 5, side_columns)].mean(dim=(2, 3))
            for row in range(2)
            for column in range(5)
        ]
        return torch.stack(fields, dim=2).flatten(1) * self.scale  # (N, 3 x 10)

    def settings(self) -> dict[str, object]:
        """Return what decides the numbers."""
        return {"scale": self.scale}

    @staticmethod
    def _middle(place: int, count: int, length: int) -> slice:
        centre, half = (2 * place + 1) * length // (2 * count), max(1, length // 20)
        return slice(centre - half, centre + half)


def numbers_in(row) -> list[int]:
    """Return the frame numbers that the first, the middle and the last frame of a row (30,) showed."""
    return [sum(1 << bit for bit, value in enumerate(look) if value > 120) for look in row.reshape(3, 10)]

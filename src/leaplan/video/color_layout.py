"""A small frozen visual feature: where in the frame which colours are, and which way edges run there.

It needs no weights and no network, and tells two stages of the same dish apart. The synthetic kitchen
is observed through it; for real video use a learned backbone.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from leaplan.errors import DataError

Frames = NDArray[np.uint8]


class ColorLayout:
    """Mean colours on a fine grid and edge energies in four directions on a coarse one.

    Args:
        color_grid: Rows and columns of the grid of mean colours (R, G, B).
        edge_grid: Rows and columns of the grid of edge energies (|, -, \\, /).
    """

    def __init__(self, color_grid: tuple[int, int] = (9, 12), edge_grid: tuple[int, int] = (6, 8)) -> None:
        self.color_grid = color_grid
        self.edge_grid = edge_grid

    @property
    def width(self) -> int:
        """D, the length of a descriptor."""
        return 3 * self.color_grid[0] * self.color_grid[1] + 4 * self.edge_grid[0] * self.edge_grid[1]

    def __call__(self, frames: Frames) -> NDArray[np.float32]:
        """Return descriptors (n, D), float32 about 0 to 1, of `frames`, uint8 (n, H, W, 3) in RGB.

        Raises:
            DataError: Frames of another type or shape, or smaller than a grid.
        """
        self._check(frames)
        return np.stack([self._describe(frame) for frame in frames])

    def per_second(self, path: Path) -> NDArray[np.float32]:
        """Return descriptors (S, D) of a video file: row r is the mean over the frames of second r.

        A last second that has begun counts, so S is the duration rounded up. A second without a frame
        repeats the row before it.

        Raises:
            DataError: The file is missing, broken, or has no frames.
        """
        rows: list[NDArray[np.float32]] = []
        for second, frames in _seconds(path):
            while rows and len(rows) < second:
                rows.append(rows[-1])
            rows.append(self(np.stack(frames)).mean(axis=0, dtype=np.float32))
        if not rows:
            raise DataError(f"{path} has no video frames")
        return np.stack(rows)

    def _describe(self, frame: Frames) -> NDArray[np.float32]:
        """Return the descriptor (D,) of one frame (H, W, 3): a frame at a time stays in the cache."""
        picture = frame.astype(np.float32)
        colors = _cell_means(picture, self.color_grid) / 255.0
        edges = np.sqrt(_cell_means(_edge_energies(picture), self.edge_grid)) / 64.0
        return np.concatenate([colors.ravel(), edges.ravel()])

    def _check(self, frames: Frames) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise DataError(f"frames are {frames.dtype} {frames.shape}, but uint8 (n, H, W, 3) is expected")
        rows, columns = np.maximum(self.color_grid, self.edge_grid)
        if frames.shape[1] < rows + 1 or frames.shape[2] < columns + 1:
            size = f"{frames.shape[2]} x {frames.shape[1]}"
            raise DataError(f"frames are {size} pixels, too small for a grid of {columns} x {rows} cells")


def _seconds(path: Path) -> Iterator[tuple[int, list[Frames]]]:
    """Yield (second, its frames) in order, counted from the first frame."""
    current, first = 0, None
    frames: list[Frames] = []
    for time, frame in _decode(path):
        first = time if first is None else first
        second = int(time - first + 1e-6)
        if second > current and frames:
            yield current, frames
            frames = []
        current = max(current, second)
        frames.append(frame)
    if frames:
        yield current, frames


def _decode(path: Path) -> Iterator[tuple[float, Frames]]:
    """Yield (time in seconds, frame) of all frames in order, on one thread."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise DataError(f"{path} has no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for frame in container.decode(stream):
                yield float(frame.time or 0.0), frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path} cannot be decoded: {error}") from error


def _cell_means(image: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Mean of an image (H, W, C) over the cells of `grid` (rows, columns): (rows, columns, C)."""
    height, width = image.shape[:2]
    tops = np.arange(grid[0]) * height // grid[0]
    lefts = np.arange(grid[1]) * width // grid[1]
    sums = np.add.reduceat(np.add.reduceat(image, tops, axis=0), lefts, axis=1)
    sizes = np.outer(np.diff([*tops, height]), np.diff([*lefts, width]))
    means: NDArray[np.float32] = (sums / sizes[:, :, None]).astype(np.float32)
    return means


def _edge_energies(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared differences to the right, down, and along both diagonals: (H - 1, W - 1, 4)."""
    gray = picture @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    corner, right, below, across = gray[:-1, :-1], gray[:-1, 1:], gray[1:, :-1], gray[1:, 1:]
    energies = np.stack([right - corner, below - corner, across - corner, right - below], axis=-1)
    squares: NDArray[np.float32] = np.square(energies, out=energies)
    return squares

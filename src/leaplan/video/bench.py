"""How many clips a core decodes and cuts in a second, and how many frames it decodes for those it shows."""

import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

from leaplan.measuring import Figure, rates
from leaplan.video.pyav_reader import PyAVFrames
from leaplan.video.sampling import frame_times, sparse
from leaplan.video.transforms import Size, random_crop

RATE = 30
SEGMENT = 2.0  # seconds; the median of EPIC-KITCHENS-100 is 1.96


@dataclass(frozen=True, slots=True)
class Film:
    """A film to be made and read.

    Args:
        name: What it stands for.
        width, height: Pixels.
        group: Frames from one key frame to the next.
        seconds: Length.
    """

    name: str
    width: int
    height: int
    group: int
    seconds: float


FILMS = (
    Film("320p, cut in chunks", 568, 320, 8, 15.0),
    Film("1080p, from a camera", 1920, 1080, 30, 4.0),
)


def decode_bench(
    seconds: float = 5.0, films: tuple[Film, ...] = FILMS, frames: int = 8, size: Size = 224
) -> list[dict[str, Any]]:
    """Return for each film what clips of `frames` frames cost on one core.

    Every clip opens its video, as in shuffled training, takes frames spread over two seconds at a random place, and
    a random crop. Times are CPU seconds of the process, so that others at work on the machine do not count.

    Returns:
        Dictionaries of `film`, `clips_per_second` (of a core), `rates` (the same of up to five parts of the
        measurement), `decode_seconds` and `transform_seconds` (of a clip), `frames_used`, `frames_decoded` (of all
        clips), `frames_in_reach`, which lie between wanted frames and the key frames before them, and `clips`. Nearly
        all in reach have to be decoded, and at the end of a clip up to as many more as the codec reorders.

    Args:
        seconds: CPU seconds to measure each film for; making it takes about as long again.
        films: What to read.
        frames: T.
        size: Side of the crops, or their height and width.
    """
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        rows = []
        for number, film in enumerate(films):
            path = Path(folder) / f"{number}.mp4"
            write_film(path, film)
            rows.append(_measure(path, film, seconds, frames, size))
        return rows


def decode_figures(row: dict[str, Any], name: str) -> list[Figure]:
    """Return what `decode_bench` measured of a film as figures, whose names begin with `name`."""
    counts = {"used": "frames_used", "decoded": "frames_decoded", "from key frames on": "frames_in_reach"}
    return [
        Figure(f"{name}: opened, decoded and cropped", row["rates"], "clips/CPU s", "higher"),
        Figure(f"{name}: decoding", (1e3 * row["decode_seconds"],), "CPU ms/clip", "lower"),
        Figure(f"{name}: cropping", (1e3 * row["transform_seconds"],), "CPU ms/clip", "lower"),
        *(Figure(f"{name}: frames {what}", (row[key] / row["clips"],), "a clip") for what, key in counts.items()),
    ]


def write_film(path: Path, film: Film) -> None:
    """Write moving texture as H.264 with key frames at fixed places."""
    options = {"preset": "veryfast", "g": str(film.group), "keyint_min": str(film.group), "sc_threshold": "0"}
    texture = _texture(film)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = film.width, film.height, "yuv420p"
        for i in range(round(film.seconds * RATE)):
            moved = np.ascontiguousarray(texture[i % 64 :, 2 * i % 128 :][: film.height, : film.width])
            output.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        output.mux(stream.encode())


def _texture(film: Film) -> NDArray[np.uint8]:
    """Return blocks of colour with a little noise, 64 and 128 pixels larger than the film."""
    rng = np.random.default_rng(0)
    height, width = film.height + 64, film.width + 128
    blocks = rng.integers(30, 220, (height // 16 + 1, width // 16 + 1, 3))
    picture = blocks.repeat(16, axis=0).repeat(16, axis=1)[:height, :width] + rng.integers(-6, 7, (height, width, 1))
    return picture.astype(np.uint8)


def _measure(path: Path, film: Film, seconds: float, frames: int, size: Size) -> dict[str, Any]:
    count, length = round(film.seconds * RATE), round(SEGMENT * RATE)
    generator = torch.Generator().manual_seed(0)
    clips = used = decoded = reach = 0
    decoding = cutting = 0.0
    costs: list[float] = []
    _clip(path, np.arange(frames), generator, size)  # the first call loads and allocates
    while clips == 0 or decoding + cutting < seconds:
        first = int(torch.randint(count - length + 1, (), generator=generator))
        numbers = first + sparse(length, frames, generator)
        decode_seconds, cut_seconds, came_out = _clip(path, numbers, generator, size)
        decoding, cutting, decoded = decoding + decode_seconds, cutting + cut_seconds, decoded + came_out
        used, reach = used + len(set(numbers.tolist())), reach + _in_reach(numbers, film.group)
        clips += 1
        costs.append(decode_seconds + cut_seconds)
    return {
        "film": f"{film.name}, key frame every {film.group}",
        "clips_per_second": clips / (decoding + cutting),
        "decode_seconds": decoding / clips,
        "transform_seconds": cutting / clips,
        "frames_used": used,
        "frames_decoded": decoded,
        "frames_in_reach": reach,
        "clips": clips,
        "rates": rates(costs),
    }


def _clip(path: Path, numbers: NDArray[np.int64], generator: torch.Generator, size: Size) -> tuple[float, float, int]:
    """Return CPU seconds of decoding and of cutting one clip, and how many frames came out of the decoder."""
    began = time.process_time()
    reader = _Counting(path)
    frames = reader.read(frame_times(numbers, RATE).tolist())
    reader.close()
    decoded = time.process_time()
    random_crop(torch.from_numpy(frames), size, generator)
    return decoded - began, time.process_time() - decoded, reader.came_out


def _in_reach(numbers: NDArray[np.int64], group: int) -> int:
    """Return how many frames lie between the wanted ones and the key frames before them, both included."""
    return len({frame for k in numbers.tolist() for frame in range(k - k % group, k + 1)})


class _Counting(PyAVFrames):
    """The reader that `open_video` takes by itself, counting what comes out of its decoder."""

    came_out = 0

    def _keep(self, decoded: Iterable[Any], wanted: set[int], frames: dict[int, NDArray[np.uint8]]) -> None:
        super()._keep(self._counted(decoded), wanted, frames)

    def _counted(self, decoded: Iterable[Any]) -> Iterator[Any]:
        for frame in decoded:
            self.came_out += 1
            yield frame


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

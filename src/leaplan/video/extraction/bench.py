"""How fast videos become features, and which of decoding and network keeps the other waiting."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leaplan.measuring import BUSY
from leaplan.video.bench import Film, write_film
from leaplan.video.extraction.decoding import Reading
from leaplan.video.extraction.folder import FeatureFolder
from leaplan.video.extraction.manifest import VideoFile
from leaplan.video.extraction.worker import extract, settings_of

if TYPE_CHECKING:
    from leaplan.video.seconds import SecondsEncoder

FILMS = {
    "320p": Film("320p, key frame every 30", 568, 320, 30, 20.0),
    "1080p": Film("1080p, key frame every 30", 1920, 1080, 30, 20.0),
}


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one extraction took.

    Args:
        wall, cpu: Seconds, and CPU seconds of the process.
        decoding, encoding: Seconds that decoding (the mean over its threads) and the network were at work.
        video_seconds, rows: Length of all videos, and their rows.
        broken: How many videos could not be used.
    """

    wall: float
    cpu: float
    decoding: float
    encoding: float
    video_seconds: float
    rows: int
    broken: int

    @property
    def hours_per_hour(self) -> float:
        """Hours of video in an hour."""
        return self.video_seconds / self.wall

    @property
    def bound(self) -> str:
        """ "decoding" or "network", whichever is busier; "host" where neither is at work nine tenths of the time."""
        by, busy = max(("decoding", self.decoding), ("network", self.encoding), key=lambda part: part[1])
        return by if busy >= BUSY * self.wall else "host"


def extract_bench(encoder: "SecondsEncoder", videos: Sequence[Path], reading: Reading) -> Extraction:
    """Return what extraction of `videos` takes, by the worker that `leaplan extract-features` runs.

    Args:
        encoder: To measure.
        videos: To extract; one may be there many times.
        reading: Batch, and how many videos are decoded at the same time.
    """
    files = [VideoFile(f"{number:04d}", path) for number, path in enumerate(videos)]
    with tempfile.TemporaryDirectory() as temporary:
        features = FeatureFolder(Path(temporary), settings_of(encoder, "float32", reading.reader))
        features.open(files, overwrite=False)
        cpu = time.process_time()
        tally = extract(files, features, encoder, "float32", reading)
        cpu = time.process_time() - cpu
    broken = len(tally.broken)
    return Extraction(tally.wall, cpu, tally.decoding, tally.encoding, tally.video_seconds, tally.rows, broken)


def made_films(folder: Path, count: int, film: Film) -> list[Path]:
    """Make one film in `folder`, moving texture, and return its path `count` times."""
    path = folder / "0.mp4"
    write_film(path, film)
    return [path] * count

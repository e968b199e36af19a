"""How fast videos become features, and which of decoding and network keeps the other waiting."""

import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaplan.video.bench import Film, write_film
from leaplan.video.extraction.decoding import Reading
from leaplan.video.extraction.folder import FeatureFolder
from leaplan.video.extraction.manifest import VideoFile
from leaplan.video.extraction.worker import batch_of, extract, settings_of

if TYPE_CHECKING:
    from leaplan.video.seconds import SecondsEncoder

FILM = Film("320p, key frame every 30", 568, 320, 30, 20.0)


def extract_bench(
    encoder: "SecondsEncoder",
    videos: Sequence[Path] = (),
    batch: int | None = None,
    threads: int = 1,
    films: int = 4,
    film: Film = FILM,
) -> dict[str, Any]:
    """Return what extraction with `encoder` takes, by the worker that `leaplan extract-features` runs.

    Returns:
        `video_hours_per_hour`; `decode_busy` and `model_busy`, shares of the time from 0 to 1 (the mean over decoding
        threads); `bound`, which of them is the slower one, "decode" or "model"; `rows`, `videos`, `seconds`,
        `video_seconds`, `batch`, `threads`; `peak_memory_mb`, of the process since it began.

    Args:
        encoder: To measure.
        videos: To extract; none makes `films` copies of `film`, moving texture.
        batch: Rows encoded at once; None takes that of `extract-features`.
        threads: Videos decoded at the same time.
        films, film: What to make; encoding them takes a few seconds, which do not count.
    """
    reading = Reading(batch=batch or batch_of(encoder), threads=threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = list(videos) or _films(folder, films, film)
        files = [VideoFile(f"{number:04d}", path) for number, path in enumerate(found)]
        features = FeatureFolder(folder / "features", settings_of(encoder, "float32", reading.reader))
        features.open(files, overwrite=False)
        tally = extract(files, features, encoder, "float32", reading)
    shares = {"decode": tally.decoding / tally.wall, "model": tally.encoding / tally.wall}
    return {
        "video_hours_per_hour": tally.video_seconds / tally.wall,
        "decode_busy": shares["decode"],
        "model_busy": shares["model"],
        "bound": max(shares, key=lambda part: shares[part]),
        "rows": tally.rows,
        "videos": tally.extracted,
        "broken": len(tally.broken),
        "seconds": tally.wall,
        "video_seconds": tally.video_seconds,
        "batch": reading.batch,
        "threads": threads,
        "peak_memory_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> float:
    """Return the most memory that this process has had so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _films(folder: Path, count: int, film: Film) -> list[Path]:
    """Make one film, and give it `count` names."""
    first = folder / "0.mp4"
    write_film(first, film)
    return [first] * count

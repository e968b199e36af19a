"""The worker that all launchers run: videos in, arrays out, decoding and network at work at the same time."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.errors import ConfigError, DataError, UserError
from leaplan.video.extraction.decoding import Clips, Decoders, Ended, Reading
from leaplan.video.extraction.folder import FeatureFolder
from leaplan.video.extraction.manifest import VideoFile
from leaplan.video.extraction.outcomes import Outcome, Tally
from leaplan.video.extraction.windows import RULE

if TYPE_CHECKING:
    from leaplan.video.seconds import SecondsEncoder

Stored = Literal["float16", "float32"]
FRAMES_OF_A_BATCH, ROWS_OF_A_BATCH = 64, 4


def settings_of(encoder: "SecondsEncoder", dtype: Stored, reader: str) -> dict[str, object]:
    """Return all that decides the numbers, as it stands in `features.json`.

    Args:
        encoder: Of the rows.
        dtype: Of the arrays on disk.
        reader: See `open_video`.
    """
    clip = {"frames": encoder.frames, "rate": encoder.rate, "size": encoder.size, "short_side": encoder.short_side}
    network = {"name": encoder.name, "width": encoder.width, **clip, **encoder.settings()}
    exact = "exact" if reader in ("auto", "pyav") else reader
    return {
        "encoder": network,
        "dtype": dtype,
        "frames_by": exact,
        "rows_per_second": 1,
        "rows": RULE,
    }


def batch_of(encoder: "SecondsEncoder") -> int:
    """Return how many rows are encoded at once if nobody says: as many as 64 frames, and 4 at least."""
    return max(ROWS_OF_A_BATCH, FRAMES_OF_A_BATCH // encoder.frames)


def sort_out(videos: Sequence[VideoFile], folder: FeatureFolder, retry: bool) -> tuple[list[VideoFile], list[Outcome]]:
    """Return the videos to extract, and what is known of the others.

    Args:
        videos: Of this shard.
        folder: Where their features are.
        retry: Videos in quarantine are to be extracted, too.
    """
    wanted, known = [], []
    for video in videos:
        state = folder.state(video)
        if state == "broken" and retry:
            folder.forgive(video)
            state = "wanted"
        if state == "wanted":
            wanted.append(video)
        else:
            known.append(Outcome(video.id, folder.reason(video) if state == "broken" else "", fresh=False))
    return wanted, known


def extract(
    videos: Sequence[VideoFile],
    folder: FeatureFolder,
    encoder: "SecondsEncoder",
    dtype: Stored,
    reading: Reading,
    told: Callable[[Outcome], object] = lambda _: None,
    tally: Tally | None = None,
) -> Tally:
    """Extract `videos` and return what was done; finished videos are kept whenever this is interrupted.

    A batch never holds rows of two videos, so that the numbers of a video depend on nothing but itself.

    Args:
        videos: To extract, such as `sort_out` gives.
        folder: Where to.
        encoder, dtype, reading: How; see `settings_of` and `Reading`.
        told: Called with the outcome of each video.
        tally: Counted on, so that it is known also after an interruption.

    Raises:
        UserError: What concerns all videos, such as a reader that is not installed. What concerns one video only
            puts it in quarantine.
    """
    tally = Tally() if tally is None else tally
    rows: dict[str, list[NDArray[np.floating]]] = {}
    began = time.perf_counter()
    decoders = Decoders(videos, encoder, reading, lambda video: folder.state(video) == "wanted")
    try:
        with decoders:
            for message in decoders:
                if isinstance(message, Clips):
                    with _timed(tally):
                        encoded = encode(encoder, message.clips, dtype)
                    rows.setdefault(message.video.id, []).append(encoded)
                    continue
                outcome = _finish(folder, message, rows.pop(message.video.id, []), dtype, reading)
                tally.add(outcome)
                told(outcome)
    finally:
        tally.wall += time.perf_counter() - began
        tally.decoding += decoders.busy
    return tally


def encode(encoder: "SecondsEncoder", clips: Tensor, dtype: Stored) -> NDArray[np.floating]:
    """Return the rows (n, D) of clips (n, T, 3, S, S) as they are written.

    Raises:
        ConfigError: So many rows at once do not fit the memory.
    """
    encoded = _encoded(encoder, clips)
    with np.errstate(over="ignore"):  # beyond float16 is infinity, and told as such
        rows: NDArray[np.floating] = encoded.float().cpu().numpy().astype(dtype)
    return rows


def _encoded(encoder: "SecondsEncoder", clips: Tensor) -> Tensor:
    try:
        with torch.inference_mode():
            return encoder.encode(clips)
    except torch.OutOfMemoryError as error:
        raise ConfigError(f"{len(clips)} rows at once do not fit the memory", "Fewer at once:  --batch") from error


@contextmanager
def _timed(tally: Tally) -> Iterator[None]:
    began = time.perf_counter()
    yield
    tally.encoding += time.perf_counter() - began


def _finish(
    folder: FeatureFolder, ended: Ended, rows: list[NDArray[np.floating]], dtype: Stored, reading: Reading
) -> Outcome:
    """Write the array of a video that has ended, or put it in quarantine."""
    video, size = ended.video, ended.video.size
    if ended.error is None and not rows:  # somebody else has done it meanwhile
        return Outcome(video.id, fresh=False)
    reason = _fault(ended) or _unusable(video, rows, dtype)
    if reason:
        folder.quarantine(video, reason)
        return Outcome(video.id, reason, size=size)
    told = {"seconds": round(ended.seconds, 6), "batch": reading.batch}
    array = np.concatenate(rows)
    folder.save(video, array, told)
    return Outcome(video.id, "", ended.seconds, len(array), size)


def _fault(ended: Ended) -> str:
    """Return why a video could not be decoded, "" if it could; what concerns all videos is raised."""
    error = ended.error
    if error is None:
        return ""
    if isinstance(error, DataError):
        return error.what
    if isinstance(error, UserError):
        raise error
    return f"unexpected {type(error).__name__}: {error}"


def _unusable(video: VideoFile, rows: Sequence[NDArray[np.floating]], dtype: Stored) -> str:
    finite = np.concatenate([np.isfinite(part).all(axis=1) for part in rows])  # (S,)
    if finite.all():
        return ""
    cause = "" if dtype == "float32" else "; --dtype float32 may mend that"
    return f"{video.path}: the features of second {int(np.argmin(finite))} are NaN or infinite{cause}"

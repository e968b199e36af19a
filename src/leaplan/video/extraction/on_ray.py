"""Workers on a Ray cluster, or a local Ray: the videos go through Ray Data, which hands them to actors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import ConfigError
from leaplan.video.extraction.decoding import Reading
from leaplan.video.extraction.folder import FeatureFolder
from leaplan.video.extraction.manifest import VideoFile
from leaplan.video.extraction.outcomes import Outcome
from leaplan.video.extraction.worker import Stored, extract, settings_of

if TYPE_CHECKING:
    from leaplan.video.seconds import SecondsEncoder

BLOCK = 4  # videos that an actor gets at a time; the next one is decoded while the last one is encoded


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker on another machine must know; all of it can be pickled.

    Args:
        build: Makes the encoder, on the machine where it runs.
        out: The folder of features, on a disk that all machines have.
        dtype: Of the arrays on disk.
        reading: How videos are read.
    """

    build: "Callable[[], SecondsEncoder]"
    out: Path
    dtype: Stored
    reading: Reading


class Actor:
    """A worker that keeps its encoder from block to block."""

    def __init__(self, job: Job, videos: Sequence[VideoFile]) -> None:
        self._job, self._videos = job, videos
        self._encoder = job.build()
        self._folder = FeatureFolder(job.out, settings_of(self._encoder, job.dtype, job.reading.reader))

    def __call__(self, block: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
        """Extract the videos whose places `block` holds, and yield what became of each."""
        videos = [self._videos[place] for place in block["place"].tolist()]
        outcomes: list[Outcome] = []
        extract(videos, self._folder, self._encoder, self._job.dtype, self._job.reading, outcomes.append)
        for outcome in outcomes:
            yield {key: np.array([value]) for key, value in asdict(outcome).items()}


def run_on_ray(
    job: Job, videos: Sequence[VideoFile], workers: int, gpus: float, told: Callable[[Outcome], object]
) -> None:
    """Extract `videos` with `workers` actors of the cluster that RAY_ADDRESS names, or of a Ray of this machine.

    An actor that dies is started again by Ray, and what is finished is not done again.

    Args:
        job: What to do.
        videos: With paths that all machines have.
        workers: Actors.
        gpus: Of each actor, 0 for none.
        told: Called with the outcome of each video.

    Raises:
        ConfigError: Ray is not installed.
    """
    try:
        ray, data = import_module("ray"), import_module("ray.data")
    except ImportError as error:
        raise ConfigError("Ray is not installed", "pip install 'leaplan[ray]'  or  --launcher local") from error
    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="warning")
    try:
        data.DataContext.get_current().enable_progress_bars = False
        blocks = max(1, min(len(videos), max(workers, len(videos) // BLOCK)))
        places = data.from_items([{"place": place} for place in range(len(videos))], override_num_blocks=blocks)
        done = places.map_batches(
            Actor,
            fn_constructor_args=(job, list(videos)),
            batch_size=None,
            batch_format="numpy",
            concurrency=min(workers, blocks),
            num_cpus=1,
            num_gpus=gpus or None,
        )
        for row in done.iter_rows():
            told(Outcome(**{key: value.item() if hasattr(value, "item") else value for key, value in row.items()}))
    finally:
        if started:
            ray.shutdown()

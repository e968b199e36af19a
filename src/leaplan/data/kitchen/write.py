"""The whole kitchen into a folder, once: several processes make videos, the marker comes last."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import leaplan
from leaplan.data.kitchen.cast import Role, cast
from leaplan.data.kitchen.files import (
    ANNOTATIONS,
    MARKER,
    PARTIAL,
    VERSION,
    digests,
    folder_of,
    has_video,
    write_compact_json,
)
from leaplan.errors import DataError
from leaplan.measuring import usable_cores
from leaplan.writing import alone

Progress = Callable[[int, int], None]


def ensure_kitchen(
    root: Path,
    *,
    seed: int = 7,
    videos: int = 240,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of the synthetic kitchen below `root`, made first where it is not complete.

    The folder holds `annotations.json`, and per video `videos/<id>.mp4`, `features/<id>.npy` (float32,
    seconds x 516) and `evidence/<id>.json`. The same seed and number give the same bytes of
    annotations and evidence. Made in part and interrupted, it is continued; two processes at once share
    the work of one.

    Args:
        root: Any folder; it is created.
        seed: Of everything.
        videos: How many, at least 3. The default has 168 for training, 32 for validation, 40 for test.
        workers: Processes; by default one per core this process may use. With 1 no other is started.
        progress: Called as `progress(done, videos)` after each video, first with those already there.

    Raises:
        DataError: Fewer than 3 videos, or the folder cannot be written.
    """
    roles = cast(seed, videos)
    folder = folder_of(Path(root).expanduser(), seed, videos)
    try:
        if not _is_complete(folder, roles):
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder / ".lock"):
                _make(folder, seed, roles, workers, progress)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return folder


def _make(folder: Path, seed: int, roles: list[Role], workers: int | None, progress: Progress | None) -> None:
    if _is_complete(folder, roles):  # another process was faster
        return
    _clear(folder, roles)
    done = sum(has_video(folder, role) for role in roles)
    if progress:
        progress(done, len(roles))
    for done_now, _ in enumerate(_videos(folder, seed, roles, workers), start=done + 1):
        if progress:
            progress(done_now, len(roles))
    _write_annotations(folder, seed, roles)
    write_compact_json(folder / MARKER, {"seed": seed, "videos": len(roles), "sha256": digests(folder, roles)})


def _is_complete(folder: Path, roles: list[Role]) -> bool:
    """The marker is there, and all files that it tells of are there and unchanged."""
    told = _told(folder)
    return bool(told) and told == digests(folder, roles) and all(has_video(folder, role) for role in roles)


def _told(folder: Path) -> dict[str, str]:
    try:
        sums: dict[str, str] = json.loads((folder / MARKER).read_text())["sha256"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}
    return sums


def _clear(folder: Path, roles: list[Role]) -> None:
    """Remove half-written files, and annotation files that have changed since the marker was written."""
    for partial in folder.rglob(f"*{PARTIAL}"):
        partial.unlink(missing_ok=True)
    told, found = _told(folder), digests(folder, roles)
    (folder / MARKER).unlink(missing_ok=True)
    for name in found:
        if told and told.get(name) != found[name]:
            (folder / name).unlink()


def _write_annotations(folder: Path, seed: int, roles: list[Role]) -> None:
    # Imported here, as below: a kitchen that is there already is found without loading a renderer.
    from leaplan.data.kitchen.evidence import annotation, vocabulary
    from leaplan.data.kitchen.simulate import simulate

    told = [annotation(simulate(role)) for role in roles]
    content = {
        "dataset": "kitchen",
        "version": VERSION,
        "seed": seed,
        "vocabulary": vocabulary(),
        "videos": told,
    }
    write_compact_json(folder / ANNOTATIONS, content)


def _videos(folder: Path, seed: int, roles: list[Role], workers: int | None) -> Iterator[str]:
    """Make the videos that are not there; yield the id of each as it is done."""
    workers = min(workers or usable_cores(), sum(not has_video(folder, role) for role in roles))
    if workers > 1:
        yield from _from_processes(folder, seed, len(roles), workers)
    else:
        from leaplan.data.kitchen.worker import make_videos

        yield from (role.id for role in make_videos(folder, roles))


def _from_processes(folder: Path, seed: int, videos: int, workers: int) -> Iterator[str]:
    command = [sys.executable, "-m", "leaplan.data.kitchen.worker", str(folder), str(seed), str(videos)]
    reader, writer = os.pipe()
    processes = [
        subprocess.Popen([*command, str(share), str(workers)], stdout=writer, stderr=writer, env=_environment())
        for share in range(workers)
    ]
    os.close(writer)
    said = []
    try:
        with os.fdopen(reader) as lines:
            for line in lines:
                if line.startswith("made "):
                    yield line.split()[1]
                else:
                    said.append(line.rstrip())
        if any(process.wait() for process in processes):
            raise _worker_failed(folder, said)
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _environment() -> dict[str, str]:
    """This package on the path, one thread per process, and memory of large arrays kept for the next."""
    source = str(Path(leaplan.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    memory = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(1 << 28))
    return {**os.environ, **threads, **memory, "PILLOW_BLOCKS_MAX": "8", "PYTHONPATH": os.pathsep.join(paths)}


def _worker_failed(folder: Path, said: list[str]) -> Exception:
    told = [line.removeprefix("failed ") for line in said if line.startswith("failed ")]
    if told:
        return _cannot_write(folder, told[0])
    return RuntimeError("a process that makes videos has failed:\n" + "\n".join(said[-20:]))


def _cannot_write(folder: Path, error: object) -> DataError:
    return DataError(
        f"the synthetic kitchen cannot be written to {folder}: {error}",
        "Free 80 MB there or choose another folder; what has been made so far is kept",
    )

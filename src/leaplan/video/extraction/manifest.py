"""Which videos are extracted: a folder, files, patterns, or a list in a file; each with an id of its own."""

import csv
import glob
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leaplan.errors import DataError, ProblemList
from leaplan.video.stills import PICTURES

VIDEOS = (
    ".3gp",
    ".avi",
    ".flv",
    ".gif",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".ogv",
    ".ts",
    ".webm",
    ".wmv",
)
LISTS = (".txt", ".csv", ".tsv")
HEADER = ("id", "path")


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video to extract.

    Args:
        id: Unique in the manifest; names what is written of it.
        path: A video file, or a folder or `.tar` of pictures.
        frame_rate: Of pictures, frames per second; None for video files, which know their own.
    """

    id: str
    path: Path
    frame_rate: float | None = None

    @property
    def size(self) -> int:
        """Bytes of the file, of which remaining time is estimated; 0 where that cannot be told at once."""
        try:
            return 0 if self.path.is_dir() else self.path.stat().st_size
        except OSError:
            return 0


def read_manifest(sources: Sequence[str], frame_rate: float | None = None) -> list[VideoFile]:
    """Return the videos that `sources` name, in the order of their ids.

    A source is a video file, a folder (all videos in it and below), a pattern such as "videos/*.mp4", or a list: a
    `.txt` file with a path a line, or a `.csv` or `.tsv` file with the columns id and path, and frame_rate for
    pictures. Paths in a list are relative to it. Where no id is given, it is the file's name without its ending.

    Args:
        sources: As given on the command line.
        frame_rate: Of folders and tars of pictures. Without it they are not looked for in a folder.

    Raises:
        DataError: Nothing found; a list that cannot be read.
        ProblemList: Files that are missing, ids that two videos have, or that cannot name a file.
    """
    found = [video for source in sources for video in _from_source(source, frame_rate)]
    if not found:
        raise DataError(
            f"no videos in {', '.join(sources)}",
            f"Give files, a folder, or a list; endings looked for: {' '.join(VIDEOS)}",
        )
    unique = list({(video.id, video.path): video for video in found}.values())
    problems = _problems(unique)
    if problems:
        raise ProblemList("videos to extract", problems, "A CSV file with the columns id,path names each as you like")
    return sorted(unique, key=lambda video: video.id)


def _problems(videos: Sequence[VideoFile]) -> list[str]:
    paths: dict[str, list[Path]] = defaultdict(list)
    for video in videos:
        paths[video.id].append(video.path)
    missing = [f"{video.path} does not exist" for video in videos if not video.path.exists()]
    twice = [f"id {name} has {' and '.join(map(str, several))}" for name, several in paths.items() if len(several) > 1]
    odd = [f"id {name!r} cannot name a file" for name in paths if not _can_name_a_file(name)]
    return missing + twice + odd


def _can_name_a_file(name: str) -> bool:
    fits = 0 < len(name.encode("utf-8")) <= 200
    return fits and name.isprintable() and not name.startswith(".") and "/" not in name and "\\" not in name


def _from_source(source: str, frame_rate: float | None) -> Iterator[VideoFile]:
    path = Path(source).expanduser()
    if path.is_dir():
        yield from _in_folder(path, frame_rate)
    elif path.suffix.lower() in LISTS:
        yield from _in_list(path, frame_rate)
    elif path.exists() or not glob.has_magic(source):
        yield _video(path, frame_rate)
    else:
        for name in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 (Path.glob takes no whole paths)
            yield _video(Path(name), frame_rate)


def _in_folder(folder: Path, frame_rate: float | None) -> Iterator[VideoFile]:
    """Yield the videos below `folder`; folders of pictures, itself included, are videos if a frame rate is given."""
    if frame_rate is not None and _holds_pictures(folder):
        yield _video(folder, frame_rate)
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _in_folder(path, frame_rate)
        elif path.suffix.lower() in VIDEOS or (path.suffix == ".tar" and frame_rate is not None):
            yield _video(path, frame_rate)


def _holds_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in PICTURES for path in folder.iterdir())


def _video(path: Path, frame_rate: float | None) -> VideoFile:
    pictures = path.is_dir() or path.suffix == ".tar"
    return VideoFile(path.name if path.is_dir() else path.stem, path, frame_rate if pictures else None)


def _in_list(path: Path, frame_rate: float | None) -> Iterator[VideoFile]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of videos: {error}") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if path.suffix.lower() == ".txt":
        for line in lines:
            yield _video(_beside(path, line.strip()), frame_rate)
        return
    rows = csv.DictReader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    if not set(HEADER) <= set(rows.fieldnames or ()):
        raise DataError(f"{path} has the columns {rows.fieldnames}", f"Its first line must be {','.join(HEADER)}")
    for number, row in enumerate(rows, 2):
        yield _from_row(path, number, row, frame_rate)


def _from_row(path: Path, number: int, row: Mapping[str, str | None], frame_rate: float | None) -> VideoFile:
    name, where = (row["id"] or "").strip(), (row["path"] or "").strip()
    if not name or not where:
        raise DataError(f"{path}, row {number}: id {name!r} and path {where!r}; both must be given")
    video = _video(_beside(path, where), frame_rate)
    given = (row.get("frame_rate") or "").strip()
    try:
        return VideoFile(name, video.path, float(given) if given else video.frame_rate)
    except ValueError as error:
        raise DataError(f"{path}, row {number}: frame rate {given!r} is not a number") from error


def _beside(path: Path, name: str) -> Path:
    return path.parent / Path(name).expanduser()

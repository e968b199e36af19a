"""Features on disk, held against the annotations: widths, lengths, gaps, values that are not numbers."""

import math
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from leaplan.data.arrays import SUFFIXES, index_arrays, read_archive, read_array
from leaplan.data.check_report import FeatureCheck, Finding
from leaplan.data.sources import SegmentFeatures
from leaplan.data.splits import measure
from leaplan.errors import DataError, UserError
from leaplan.records import Annotations, Video

SLACK = 2.0  # seconds by which an array of one row per second may be longer or shorter than its video
ARCHIVE_KEYS = ("feats", "video_id", "step_id", "start")
ARCHIVES = {  # rows and videos of the archives whose results are published
    "pe_core_step_windows.npz": (1478, 114),
    "egovlp_step_embeddings.npz": (5404, 383),
    "omnivore_step_windows_recipe1.npz": (200, 18),
}
EXTRACT = "Extract them again, one row per second of video"
Checked = tuple[FeatureCheck | None, list[Finding]]


def find_features(folder: Path, annotations: Annotations) -> list[Path]:
    """Return the archives in `folder`, and its folders that hold an array of an annotated video."""
    archives = [path for path in sorted(folder.glob("*.npz")) if _is_archive(path)]
    videos = [video.id for video in annotations.videos]
    folders = [path for path in sorted(folder.iterdir()) if path.is_dir() and _has_arrays(path)]
    return archives + [path for path in folders if index_arrays(path, videos)]


def _has_arrays(folder: Path) -> bool:
    return any(path.suffix in SUFFIXES for path in folder.iterdir())


def _is_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "feats.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return True  # let the check say what is wrong with it


def check_features(path: Path, annotations: Annotations, key: str | None, asked: bool) -> Checked:
    """Check a folder or an archive.

    Args:
        path: Folder with one array per video, or an archive with one row per segment.
        annotations: What the features must fit.
        key: Name of the array inside each file of a folder.
        asked: The user named these features: videos without any are then an error, not a note.
    """
    try:
        if path.is_dir():
            return _check_folder(path, annotations, key, asked)
        return _check_archive(path, annotations)
    except UserError as error:
        return None, [Finding("error", path.name, error.what, error.hint)]


def _check_archive(path: Path, annotations: Annotations) -> Checked:
    archive = read_archive(path, ARCHIVE_KEYS)
    restricted = SegmentFeatures(str(path.resolve())).restrict(annotations, path.parent)
    matched = sum(len(video.segments) for video in restricted.videos)
    rows, videos = len(archive["feats"]), len(restricted.videos)
    findings = []
    if matched != rows:
        what = f"{rows - matched} of {rows} rows belong to no annotated segment (video, step and start)"
        findings.append(Finding("error", path.name, what, "Get the file and the annotations again"))
    expected = ARCHIVES.get(path.name, (rows, videos))
    if (rows, videos) != expected:
        what = f"{rows} rows of {videos} videos, expected {expected[0]} of {expected[1]}"
        findings.append(Finding("error", path.name, what, "Get the file again"))
    kind = f"{rows:,} rows, one per segment"
    width = int(archive["feats"].shape[-1])
    windows = measure(restricted)
    return FeatureCheck(path.name, kind, videos, len(annotations.videos), width, windows), findings


def _check_folder(folder: Path, annotations: Annotations, key: str | None, asked: bool) -> Checked:
    videos = {video.id: video for video in annotations.videos}
    files = index_arrays(folder, videos)
    if not files:
        what = f"no file is named by one of the {len(videos):,} videos, such as {next(iter(videos))}.npy"
        return None, [Finding("error", folder.name, what, "Name the files by their videos' ids")]
    lengths, widths, broken = _read_all(files, key)
    width = Counter(widths.values()).most_common(1)[0][0] if widths else 0
    odd = [f"{files[video].name}: {w} columns" for video, w in widths.items() if w != width]
    absent = [video.id for video in annotations.videos if video.split and video.id not in files]
    findings = _grouped(
        folder.name,
        [
            ("cannot be used", broken, "Get these files again, or extract them again"),
            (f"are not {width} wide, as most are", odd, "Extract these videos again with the same network"),
            ("do not have one row per second", _odd_lengths(lengths, videos), EXTRACT),
        ],
    )
    findings += _short(folder.name, lengths, videos) + _absent(folder.name, absent, asked)
    check = FeatureCheck(f"{folder.name}/", "one array per video", len(files), len(videos), width)
    return check, findings


def _read_all(files: Mapping[str, Path], key: str | None) -> tuple[dict[str, int], dict[str, int], list[str]]:
    """Return for each video its rows and columns, and the files that cannot be used."""
    from rich.console import Console
    from rich.progress import track

    lengths, widths, broken = {}, {}, []
    console = Console(stderr=True)
    quiet = not console.is_terminal or len(files) < 100
    for video, path in track(files.items(), "reading features", console=console, transient=True, disable=quiet):
        try:
            array = read_array(path, key, ndim=2)
        except DataError as error:
            broken.append(error.what)
            continue
        lengths[video], widths[video] = array.shape
    return lengths, widths, broken


def _odd_lengths(lengths: Mapping[str, int], videos: Mapping[str, Video]) -> list[str]:
    known = ((video, rows, videos[video].duration) for video, rows in lengths.items())
    return [
        f"{video}: {rows} rows, but the video lasts {duration:.1f} s"
        for video, rows, duration in known
        if duration is not None and abs(rows - duration) > SLACK
    ]


def _short(where: str, lengths: Mapping[str, int], videos: Mapping[str, Video]) -> list[Finding]:
    """Find arrays that end before the last step; needed where no duration is known."""
    ends = {video: max((s.stop for s in videos[video].segments), default=0.0) for video in lengths}
    short = [
        f"{video}: {rows} rows, but a step stops at {ends[video]:.1f} s"
        for video, rows in lengths.items()
        if videos[video].duration is None and math.floor(ends[video]) >= rows
    ]
    if 2 * len(short) > len(lengths):
        return [Finding("error", where, f"{len(short)} files end before the last step", EXTRACT, tuple(short))]
    what = f"{len(short)} of {len(lengths)} files end before the last step: its windows are dropped"
    return [Finding("note", where, what, "", tuple(short))] if short else []


def _absent(where: str, absent: Sequence[str], asked: bool) -> list[Finding]:
    if not absent:
        return []
    what = f"{len(absent):,} videos have no features"
    if not asked:
        return [Finding("note", where, what)]
    mend = "Extract them, or leave them out:  --data.source.missing skip"
    return [Finding("error", where, what, mend, tuple(absent))]


def _grouped(where: str, groups: Sequence[tuple[str, Sequence[str], str]]) -> list[Finding]:
    return [
        Finding(
            "error",
            where,
            f"{len(lines)} {'file' if len(lines) == 1 else 'files'} {what}",
            mend,
            tuple(lines),
        )
        for what, lines, mend in groups
        if lines
    ]

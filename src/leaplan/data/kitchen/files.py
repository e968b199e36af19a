"""The kitchen's folder: where each file is, and how it is written whole or not at all."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leaplan.data.kitchen.cast import Role
from leaplan.writing import write_text

VERSION = 1  # of what is made; a change of any byte needs another
ANNOTATIONS = "annotations.json"
MARKER = "complete.json"
PARTIAL = ".partial"


def folder_of(root: Path, seed: int, videos: int) -> Path:
    """Return the folder of a kitchen below `root`. Its name says everything that its content depends on."""
    return root / f"kitchen-v{VERSION}-seed{seed}-{videos}"


def film_of(folder: Path, video: str) -> Path:
    """Return the MP4 file of `video`."""
    return folder / "videos" / f"{video}.mp4"


def evidence_of(folder: Path, video: str) -> Path:
    """Return the file of what is known of `video` besides its annotation."""
    return folder / "evidence" / f"{video}.json"


def features_of(folder: Path, video: str) -> Path:
    """Return the file of the features of `video`, float32 (seconds, D)."""
    return folder / "features" / f"{video}.npy"


def has_video(folder: Path, role: Role) -> bool:
    """Tell whether all three files of the video are there."""
    return all(place(folder, role.id).is_file() for place in (film_of, evidence_of, features_of))


def write_compact_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` so that equal content gives equal bytes."""
    write_text(path, json.dumps(content, separators=(",", ":"), ensure_ascii=True) + "\n")


def digests(folder: Path, roles: Iterable[Role]) -> dict[str, str]:
    """Return the SHA-256 of each annotation file that is there, by its path in `folder`."""
    paths = [folder / ANNOTATIONS, *(evidence_of(folder, role.id) for role in roles)]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }

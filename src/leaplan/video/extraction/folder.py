"""A folder of features: one array per video, where each comes from, and which videos are broken.

    features.json            what decides the numbers: the same for all arrays
    <id>.npy                 (rows, D), a row per second
    provenance/<id>.json     which video, by content; written last: an array without it is not finished
    broken/<id>.json         a video that cannot be used, and why

No two processes write the same file, unless both extract the same video: then they write the same.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import ConfigError, DataError, ProblemList
from leaplan.video.extraction.content import Stamp, content_hash, stamp
from leaplan.video.extraction.manifest import VideoFile
from leaplan.writing import write_json, write_whole

State = Literal["done", "broken", "wanted"]
SETTINGS_FILE = "features.json"
ABANDONED = 3600.0  # seconds after which a file that is being written is no longer
AFRESH = "Write to another --out, or replace them:  --overwrite"


class FeatureFolder:
    """The features of many videos, extracted with the same settings.

    Args:
        root: The folder; made if absent.
        settings: What decides the numbers, as JSON; `sha256` of them marks every array.
    """

    def __init__(self, root: Path, settings: Mapping[str, Any]) -> None:
        self.root = root
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))  # tuples become lists, as they are read back
        text = json.dumps(self.settings, sort_keys=True, allow_nan=False)
        self.sha256 = hashlib.sha256(text.encode("utf-8")).hexdigest()

    def open(self, videos: Sequence[VideoFile], overwrite: bool) -> None:
        """Make the folder, or see that it holds features of the same settings.

        Args:
            videos: All that are to be in it, those of other shards included.
            overwrite: Features with other settings may be replaced, if `videos` are all there are.

        Raises:
            ConfigError: Features with other settings, or of unknown origin, are there.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self._sweep()
        before = self._settings_there()
        if before is None and not self._foreign():
            before = self._write_settings_first()
        if before is not None and before.get("sha256") == self.sha256:
            return
        if not overwrite:
            raise self._refusal(before)
        self._refuse_others(videos)
        write_json(self.root / SETTINGS_FILE, self._content())

    def state(self, video: VideoFile) -> State:
        """Say whether `video` is extracted, known to be broken, or wanted."""
        record = _read(self._provenance(video.id))
        if record is not None and record.get("settings") == self.sha256 and self._array_fits(video.id, record):
            return "done" if _is_of(record, video) else "wanted"
        broken = _read(self._broken(video.id))
        return "broken" if broken is not None and _is_of(broken, video) else "wanted"

    def save(self, video: VideoFile, rows: NDArray[np.floating], told: Mapping[str, Any]) -> None:
        """Write the rows (S, D) of `video` and then where they come from; `told` is added to that.

        `told` must not hold what differs from run to run, such as times: the same work gives the same files.
        """
        path = self.array(video.id)
        write_whole(path, lambda partial: _write_array(partial, rows))
        shape = {"rows": rows.shape[0], "width": rows.shape[1], "dtype": str(rows.dtype)}
        array = {"array_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        record = {"schema": 1, "settings": self.sha256, **_identity(video), **told, **shape, **array}
        write_json(self._provenance(video.id), record)
        self._broken(video.id).unlink(missing_ok=True)

    def quarantine(self, video: VideoFile, reason: str) -> None:
        """Remember that `video` cannot be used; it is not tried again while its content is the same."""
        try:
            identity = _identity(video)
        except DataError:  # that it cannot be read may be all there is to tell
            identity = {"id": video.id, "file": video.path.name}
        write_json(self._broken(video.id), {**identity, "reason": reason})

    def reason(self, video: VideoFile) -> str:
        """Return why a video is in quarantine."""
        return str((_read(self._broken(video.id)) or {}).get("reason", "unknown"))

    def forgive(self, video: VideoFile) -> None:
        """Take a video out of quarantine."""
        self._broken(video.id).unlink(missing_ok=True)

    def array(self, name: str) -> Path:
        """Return where the array of the video with id `name` is."""
        return self.root / f"{name}.npy"

    # --- Settings

    def _content(self) -> dict[str, Any]:
        return {"schema": 1, "sha256": self.sha256, "settings": self.settings}

    def _settings_there(self) -> dict[str, Any] | None:
        path = self.root / SETTINGS_FILE
        if not path.exists():
            return None
        return _read(path) or {}

    def _write_settings_first(self) -> dict[str, Any] | None:
        """Write the settings unless another process was faster; return those that are there."""
        partial = self.root / f".{SETTINGS_FILE}.{os.getpid()}.first"
        write_json(partial, self._content())
        try:
            os.link(partial, self.root / SETTINGS_FILE)  # unlike a rename, it fails where the name is taken
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            write_json(self.root / SETTINGS_FILE, self._content())
        finally:
            partial.unlink()
        return self._settings_there()

    def _sweep(self) -> None:
        """Remove what processes that were killed had begun to write."""
        for folder in (self.root, self.root / "provenance", self.root / "broken"):
            for path in folder.glob(".*.partial"):
                with suppress(OSError):  # another shard sweeps, too
                    if time.time() - path.stat().st_mtime > ABANDONED:
                        path.unlink()

    def _foreign(self) -> bool:
        return any(self.root.glob("*.npy"))

    def _refusal(self, before: Mapping[str, Any] | None) -> ConfigError:
        if before is None:
            return ConfigError(f"{self.root} holds arrays, but no {SETTINGS_FILE} that tells their origin", AFRESH)
        lines = differences(before.get("settings") or {}, self.settings)
        what = f"{self.root} holds features that were extracted with other settings"
        return ConfigError("\n".join([f"{what}:", *(f"  - {line}" for line in lines)]), AFRESH)

    def _refuse_others(self, videos: Sequence[VideoFile]) -> None:
        """Check that no array would stay that has other settings."""
        named = {video.id for video in videos}
        others = [path.stem for path in sorted(self.root.glob("*.npy")) if path.stem not in named]
        stale = [name for name in others if (_read(self._provenance(name)) or {}).get("settings") != self.sha256]
        if stale:
            raise ProblemList(
                f"{self.root} would hold features of two settings",
                [f"{name}.npy is of other settings, and its video is not among those to extract" for name in stale],
                "Write to another --out, or name all videos",
            )

    # --- Records

    def _provenance(self, name: str) -> Path:
        return self.root / "provenance" / f"{name}.json"

    def _broken(self, name: str) -> Path:
        return self.root / "broken" / f"{name}.json"

    def _array_fits(self, name: str, record: Mapping[str, Any]) -> bool:
        """Say whether the array is there and has the shape that was written; its values are not read."""
        try:
            array = np.load(self.array(name), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return False
        return array.shape == (record.get("rows"), record.get("width")) and str(array.dtype) == record.get("dtype")


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return one line for each setting that is not the same, such as "rate: 10.0 there, 5.0 asked for"."""
    lines = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            lines.append(f"{prefix}{key}: {old} there, {new} asked for")
    return lines


def _identity(video: VideoFile) -> dict[str, Any]:
    """Return what a video is recognised by. The name of its folder is left out: data may be moved."""
    seen = stamp(video.path)
    known = {"id": video.id, "file": video.path.name, "size": seen.size, "changed": seen.changed}
    return {**known, "sha256": content_hash(video.path), "frame_rate": video.frame_rate}


def _is_of(record: Mapping[str, Any], video: VideoFile) -> bool:
    """Say whether `record` is of the video as it is now: unchanged since, or else of the same content."""
    try:
        seen = stamp(video.path)
        if record.get("frame_rate") != video.frame_rate:
            return False
        if seen == Stamp(int(record.get("size", -1)), int(record.get("changed", -1))):
            return True
        return record.get("size") == seen.size and record.get("sha256") == content_hash(video.path)
    except DataError:
        return "size" not in record  # it could not be read before either


def _read(path: Path) -> dict[str, Any] | None:
    """Return a record, None if there is none that can be read."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return None


def _write_array(path: Path, rows: NDArray[np.floating]) -> None:
    with path.open("wb") as file:  # np.save adds an ending to a bare path
        np.save(file, rows, allow_pickle=False)

"""Small files in the formats that descriptors read."""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leaplan.programs.evidence import Clip
from leaplan.programs.protobuf import Detections, encode

CLIP = Clip("P01_01_0", "P01_01", 2.0, 6.0, "cut carrot", "cut", "carrot", ("carrot", "knife"))


def write_detections(path: Path, rows: Sequence[Sequence[float]], **more: Any) -> Path:
    """Write rows of frame, class, x1, y1, x2, y2, score."""
    table = np.array(rows, np.float32).reshape(-1, 7)
    np.savez(path, detections=table[:, 1:], frame=table[:, 0].astype(np.int32), **more)
    return path


def write_hand_objects(path: Path, frames: Sequence[Detections], protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps([encode(frame) for frame in frames], protocol))
    return path


def annotation(identity: str, name: str, kind: int, box: Sequence[float] | None = None, **more: str) -> dict[str, Any]:
    left, top, right, bottom = box or (0, 0, 10, 10)
    polygons = [[[left, top], [right, top], [right, bottom]]]
    return {"id": identity, "name": name, "class_id": kind, "exhaustive": "y", "segments": polygons, **more}


def write_visor(path: Path, frames: Mapping[int, Sequence[dict[str, Any]]], video: str = "P01_01") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, annotations in frames.items():
        image = {"name": f"{video}_frame_{number:010d}.jpg", "video": video}
        entries.append({"image": image, "annotations": list(annotations)})
    path.write_text(json.dumps({"info": {}, "video_annotations": entries}))
    return path

"""Camera poses of EPIC Fields: lengths in scene depths, turns in degrees, places that are returned to."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leaplan.errors import DataError, ProblemList
from leaplan.programs.descriptors.camera import Camera, read_path
from tests.programs.descriptors.made import CLIP

Pose = tuple[float, float, float, float]  # x, y, z of the centre, degrees turned about the vertical axis


def pose(center: np.ndarray, degrees: float) -> list[float]:
    """Return a COLMAP pose of a camera at `center` that is turned about y."""
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return [np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0, *(-rotation @ center).tolist()]


def write(path: Path, way: Callable[[float], Pose], frames: range, depth: float = 4.0, **more: object) -> Path:
    """Write a camera that is at `way(seconds)`; scene points lie on a ring, `depth` before a camera at the origin."""
    images = {}
    for number in frames:
        x, y, z, degrees = way(number / 60)
        images[f"frame_{number:010d}.jpg"] = pose(np.array([x, y, z]), degrees)
    around = np.radians(np.arange(0, 360, 5))
    points = [[depth * np.sin(a), 0.0, depth * np.cos(a), 1, 2, 3] for a in around]
    path.write_text(json.dumps({"camera": {"id": 1}, "images": images, "points": points, **more}))
    return path


def test_a_still_camera_goes_nowhere(tmp_path: Path):
    path = write(tmp_path / "P01_01.json", lambda t: (1.0, 2.0, 0.5, 30.0), range(0, 600))
    assert Camera({"P01_01": path}).describe(CLIP) == (
        "path 0.0 times the usual scene depth, 0.0 from start to end\nturns 0 degrees in all, 0 from start to end\n"
        "100% of the time where it was just before"
    )


def test_path_lengths_do_not_depend_on_the_videos_length_unit(tmp_path: Path):
    texts = []
    for scale in (1.0, 1000.0):

        def way(t: float, scale: float = scale) -> Pose:
            return (scale * 0.5 * abs(4 - t), 0.0, 0.0, 0.0)  # there and back

        path = write(tmp_path / f"{scale}.json", way, range(0, 600, 6), depth=4.0 * scale)
        texts.append(Camera({"P01_01": path}).describe(CLIP))
    assert texts[0] == texts[1]
    path = read_path(tmp_path / "1.0.json", "P01_01")
    inside = (path.seconds >= 2) & (path.seconds < 6)
    steps = np.linalg.norm(np.diff(path.center[inside], axis=0), axis=1).sum()
    assert f"path {steps:.1f} times" in texts[0]
    assert steps > 4 * np.linalg.norm(path.center[inside][-1] - path.center[inside][0])


def test_centres_are_those_of_the_cameras_not_the_translations(tmp_path: Path):
    path = read_path(write(tmp_path / "a.json", lambda t: (t, 0.0, -t, 40 * t), range(0, 120, 12)), "P01_01")
    unit = np.linalg.norm(path.center[-1] - path.center[0]) / np.linalg.norm([1.8, 0, 1.8])
    assert np.allclose(path.center / unit, [[t, 0, -t] for t in path.seconds], atol=1e-9)


def test_turns_are_told_in_degrees(tmp_path: Path):
    path = write(tmp_path / "P01_01.json", lambda t: (0, 0, 0, 30 * min(t, 8 - t)), range(0, 600, 6))
    assert "turns 114 degrees in all, 6 from start to end" in Camera({"P01_01": path}).describe(CLIP)


def test_where_the_camera_dwells_is_told_by_when_it_was_there_before(tmp_path: Path):
    def way(t: float) -> Pose:
        return (0.0, 0, 0, 0) if t < 1 or t >= 5 else (50.0, 0, 0, 0) if t < 3 else (0.0, 0, 0, 120.0)

    path = write(tmp_path / "P01_01.json", way, range(0, 600, 6))
    assert Camera({"P01_01": path}).describe(CLIP).splitlines()[2:] == [
        "50% of the time at a place and facing a way that are new",
        "25% of the time where it was 1 s before",
        "25% of the time where it was just before",
    ]


def test_frames_that_were_not_registered_are_said_so(tmp_path: Path):
    frames = [*range(0, 180), *range(600, 900)]
    path = write(tmp_path / "P01_01.json", lambda t: (0, 0, 0, 0), frames)  # type: ignore[arg-type]
    camera = Camera({"P01_01": path})
    assert camera.describe(CLIP).startswith("position known in 25% of the frames only\npath 0.0")
    gone = camera.describe(replace(CLIP, start=4.0))
    assert gone == "position not known: none of its frames could be registered"
    sparse = write(tmp_path / "P01_02.json", lambda t: (0, 0, 0, 0), range(0, 600, 6))
    assert "position" not in Camera({"P01_01": sparse}).describe(CLIP)


def test_a_video_without_poses_is_not_described_and_one_is_read_once(tmp_path: Path):
    path = write(tmp_path / "P01_01.json", lambda t: (0, 0, 0, 0), range(600))
    camera = Camera({"P01_01": path})
    text = camera.describe(CLIP)
    path.unlink()
    assert camera.describe(CLIP) == text
    assert camera.describe(replace(CLIP, video="P02_01")) == ""


def test_without_scene_points_the_cameras_own_spread_is_the_unit(tmp_path: Path):
    path = write(tmp_path / "P01_01.json", lambda t: (t, 0, 0, 0), range(0, 600), points=None)
    assert np.isfinite(read_path(path, "P01_01").center).all()
    still = write(tmp_path / "b.json", lambda t: (3, 3, 3, 0), range(0, 60), points=[["x"]])
    assert np.isfinite(read_path(still, "P01_01").center).all()


def test_malformed_poses_are_all_told(tmp_path: Path):
    path = tmp_path / "P01_01.json"
    images = {
        "first.jpg": [1, 0, 0, 0, 0, 0, 0],
        "frame_01.jpg": [1, 0, 0],
        "frame_02.jpg": [0.0] * 7,
        "frame_03.jpg": "x",
    }
    path.write_text(json.dumps({"images": images}))
    with pytest.raises(ProblemList) as caught:
        read_path(path, "P01_01")
    assert len(caught.value.problems) == 4
    for content, fault in (("", "not JSON"), ("[1, 2]", "holds a list, not an object"), ("{}", "no camera poses")):
        path.write_text(content)
        with pytest.raises(DataError, match=fault):
            read_path(path, "P01_01")

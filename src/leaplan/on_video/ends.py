"""Where a plan begins and what it is to reach, as people give it: times of a video, pictures, or features."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from leaplan.errors import ConfigError
from leaplan.on_video.readable import as_seconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from leaplan.on_video.observing import Images, Moments, Observed

    Given: TypeAlias = float | str | Path | Image | NDArray[np.generic] | Tensor
    """A time of a video (seconds or "m:ss"); or an image: a file, of Pillow, uint8 (H, W, 3); or features (S, D)."""


def ends_of(
    start: "Given",
    goal: "Given",
    video: str | Path | None = None,
    frame_rate: float | None = None,
    timeout: float = 60.0,
) -> "Moments | Images | Observed":
    """Return start and goal, ready to be looked at. Nothing is read yet.

    Args:
        start, goal: Times of `video`; without one two images, or two tensors or float arrays of features.
        video: A file, or a folder or tar of pictures.
        frame_rate: Of pictures.
        timeout: Seconds that a run of frames may take.

    Raises:
        ConfigError: They are no times, or in the wrong order, or no images.
    """
    if video is not None:
        times = as_seconds(start, "start"), as_seconds(goal, "goal")
        if times[0] >= times[1]:
            raise ConfigError(f"start {start} is not before goal {goal}", "Give the earlier one first")
        from leaplan.on_video.observing import Moments

        return Moments(Path(video).expanduser(), *times, frame_rate, timeout)
    start, goal = _file(start, "start"), _file(goal, "goal")
    from leaplan.on_video.observing import Images, Observed

    features = [_features(each) for each in (start, goal)]
    if None not in features:
        return Observed(*features)
    if any(each is not None for each in features):
        raise ConfigError("one of start and goal is features, the other is not", "Give both as images, or as features")
    return Images(start, goal)


def _file(given: Any, name: str) -> Any:
    """Return a file as a path, all else as it is."""
    if isinstance(given, int | float):
        raise ConfigError(f"{name} {given} is a time, but there is no video", "Give the video as well, or two images")
    if not isinstance(given, str | Path):
        return given
    path = Path(given).expanduser()
    if not path.is_file():
        what = f"{name} {path} is no image: there is no such file"
        raise ConfigError(
            what, "Give two images, or a video and two of its times:  leaplan plan VIDEO --start 0:12 ..."
        )
    return path


def _features(given: Any) -> "Tensor | None":
    """Return features as a tensor; None where they are a picture."""
    import numpy as np
    import torch

    if isinstance(given, np.ndarray) and given.dtype.kind == "f":
        return torch.from_numpy(given)
    return given if isinstance(given, torch.Tensor) else None

"""Annotations to samples: which windows of which videos, without touching a pixel or a feature."""

from dataclasses import dataclass

from leaplan.errors import DataError
from leaplan.records import Annotations, Segment, Video


@dataclass(frozen=True, slots=True)
class PlanningWindow:
    """`T` consecutive segments of a video: see its start and its goal, plan its steps.

    Args:
        sample_id: "<video>:<first>+<T>"; stable across runs and processes.
        video: Video id.
        segments: Ids of the T segments; the first gives the start, the last the goal.
        start_time: Start of the first segment, seconds.
        goal_time: Stop of the last segment, seconds.
        steps: T step ids.
        task: Task id, or -1.
    """

    sample_id: str
    video: str
    segments: tuple[str, ...]
    start_time: float
    goal_time: float
    steps: tuple[int, ...]
    task: int


@dataclass(frozen=True, slots=True)
class ActionClip:
    """One segment of a video, to be recognised.

    Args:
        sample_id: The segment's id.
        video: Video id.
        start_time, stop_time: Seconds.
        step: Step id.
    """

    sample_id: str
    video: str
    start_time: float
    stop_time: float
    step: int


class PlanningWindows:
    """Every `horizon` consecutive segments in annotation order, stride 1, repeats kept.

    Args:
        horizon: Number of steps to plan, 1 to 32 (the field uses 3 and 4).
    """

    def __init__(self, horizon: int = 3) -> None:
        if not 1 <= horizon <= 32:
            raise DataError(f"horizon is {horizon}, but a plan has 1 to 32 steps", "Set --horizon")
        self.horizon = horizon

    def __call__(self, annotations: Annotations, split: str) -> list[PlanningWindow]:
        """Return the windows of `split`.

        Raises:
            DataError: The protocol lists windows of another horizon.
        """
        if annotations.windows is not None:
            return self._listed(annotations, split)
        return [
            _window(video, first, self.horizon)
            for video in annotations.of_split(split)
            for first in range(len(video.segments) - self.horizon + 1)
        ]

    def _listed(self, annotations: Annotations, split: str) -> list[PlanningWindow]:
        assert annotations.windows is not None
        videos = {video.id: video for video in annotations.videos}
        windows = []
        for reference in annotations.windows.get(split, ()):
            if reference.horizon != self.horizon:
                raise DataError(
                    f"protocol '{annotations.protocol}' of {annotations.dataset} lists windows of "
                    f"{reference.horizon} steps, but the horizon is {self.horizon}",
                    f"Set --horizon {reference.horizon} or choose another --data.protocol",
                )
            windows.append(_window(videos[reference.video], reference.first, self.horizon))
        return windows


class ActionClips:
    """One clip per segment."""

    def __call__(self, annotations: Annotations, split: str) -> list[ActionClip]:
        """Return the clips of `split` in annotation order."""
        return [
            ActionClip(segment.id, video.id, segment.start, segment.stop, segment.step)
            for video in annotations.of_split(split)
            for segment in video.segments
        ]


def _window(video: Video, first: int, horizon: int) -> PlanningWindow:
    segments: tuple[Segment, ...] = video.segments[first : first + horizon]
    return PlanningWindow(
        sample_id=f"{video.id}:{first}+{horizon}",
        video=video.id,
        segments=tuple(segment.id for segment in segments),
        start_time=segments[0].start,
        goal_time=segments[-1].stop,
        steps=tuple(segment.step for segment in segments),
        task=-1 if video.task is None else video.task,
    )

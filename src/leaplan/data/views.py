"""Annotations to samples: which windows of which videos, without touching a pixel or a feature."""

from dataclasses import dataclass

from leaplan.errors import DataError
from leaplan.records import Annotations, Segment, Video
from leaplan.video.sampling import last_frame_before


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
class Window:
    """A part of a video that may be seen.

    Args:
        start, stop: Seconds.
        first, last: Frame numbers on the clip's grid where the view fixes them: frame k covers [k/F, (k+1)/F).
        segment: Id of the segment that fills most of it, whose program tells what is done there; "" if none does.
    """

    start: float
    stop: float
    first: int | None = None
    last: int | None = None
    segment: str = ""


@dataclass(frozen=True, slots=True)
class Clip:
    """A segment of a video to be recognised from itself, or to be anticipated from what comes before it.

    Args:
        sample_id: The segment's id.
        video: Video id.
        step: Step id.
        frame_rate: F of the grid that frames are counted on; None takes the file's own.
        windows: W windows, the oldest first; None where nothing of the video may be seen.
        latest: Nothing shown at this second or later may be decoded; None sets no bound.
    """

    sample_id: str
    video: str
    step: int
    frame_rate: float | None
    windows: tuple[Window | None, ...]
    latest: float | None = None


class PlanningWindows:
    """Every `horizon` consecutive segments in annotation order, stride 1, repeats kept.

    Args:
        horizon: Number of steps to plan, 1 to 32 (the field uses 3 and 4).

    Raises:
        DataError: `horizon` is not 1 to 32.
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
    """One clip per segment: what happens in it is to be recognised."""

    windows = 1
    gap: float | None = None

    def __call__(self, annotations: Annotations, split: str) -> list[Clip]:
        """Return the clips of `split` in annotation order."""
        return [
            Clip(s.id, video.id, s.step, video.frame_rate, (Window(s.start, s.stop, segment=s.id),))
            for video in annotations.of_split(split)
            for s in video.segments
        ]


class AnticipationClips:
    """What may be seen before a segment: W windows that end `gap` seconds before its start (LEAP, anticipation).

    The last window ends with the last frame that begins before start - gap. On EPIC-KITCHENS' grid that is frame
    int((start - gap) F), or the one before where that frame begins exactly then.

    Args:
        gap: Seconds before the segment that nothing may be seen of (EPIC-KITCHENS: 1).
        context: W, number of windows, one before the other.
        window_frames: Frames of a window on the video's own grid (LEAP: 256).
        frame_rate: F where the annotations do not tell it.
        align: Seconds; windows then end on a grid of this many seconds, never later than without it, so that
            segments share windows. 0 leaves them where they are.

    Raises:
        DataError: A number is negative, or 0 where it must be positive.
    """

    def __init__(
        self,
        gap: float = 1.0,
        context: int = 3,
        window_frames: int = 256,
        frame_rate: float = 30.0,
        align: float = 0.0,
    ) -> None:
        if gap < 0 or context < 1 or window_frames < 1 or frame_rate <= 0 or align < 0:
            raise DataError(
                f"gap {gap}, context {context}, window_frames {window_frames}, frame_rate {frame_rate}, align {align}: "
                "gap and align are 0 or more, the others positive",
                "Mend the settings under --data.view",
            )
        self.gap, self.windows, self.window_frames = gap, context, window_frames
        self.frame_rate, self.align = frame_rate, align

    def __call__(self, annotations: Annotations, split: str) -> list[Clip]:
        """Return the clips of `split` in annotation order."""
        return [self._clip(video, segment) for video in annotations.of_split(split) for segment in video.segments]

    def _clip(self, video: Video, segment: Segment) -> Clip:
        rate = video.frame_rate or self.frame_rate
        latest = segment.start - self.gap
        last = last_frame_before(latest, rate, self.align)
        windows = tuple(self._before(video, last - q * self.window_frames, rate) for q in range(self.windows))
        return Clip(segment.id, video.id, segment.step, rate, windows[::-1], latest)

    def _before(self, video: Video, last: int, rate: float) -> Window | None:
        """Return the window of frames up to `last`, cut at the video's beginning; None where nothing is left."""
        if last < 0:
            return None
        first = max(0, last - self.window_frames + 1)
        start, stop = first / rate, (last + 1) / rate
        return Window(start, stop, first, last, _filling(video, start, stop))


def _filling(video: Video, start: float, stop: float) -> str:
    """Return the id of the segment that overlaps [start, stop) the longest, "" if none does."""
    overlap, name = 0.0, ""
    for segment in video.segments:
        common = min(stop, segment.stop) - max(start, segment.start)
        if common > overlap:
            overlap, name = common, segment.id
    return name


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

"""What became of each video, and of all of them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a video.

    Args:
        id: Of the video.
        reason: Why it is broken, "" if it is not.
        seconds, rows: It lasts, and has.
        size: Bytes of its file, of which the remaining time is estimated.
        fresh: It was extracted, or found broken, just now.
    """

    id: str
    reason: str = ""
    seconds: float = 0.0
    rows: int = 0
    size: int = 0
    fresh: bool = True


@dataclass
class Tally:
    """What a run has done so far.

    Args:
        extracted, there: Videos extracted, and those that were before.
        broken: Reasons by id.
        video_seconds, rows: Length of what was extracted, and rows of it.
        wall, decoding, encoding: Seconds in all, of the decoding threads (mean) and of the network.
    """

    extracted: int = 0
    there: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    video_seconds: float = 0.0
    rows: int = 0
    wall: float = 0.0
    decoding: float = 0.0
    encoding: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count a video."""
        if outcome.reason:
            self.broken[outcome.id] = outcome.reason
        elif outcome.fresh:
            self.extracted += 1
            self.video_seconds += outcome.seconds
            self.rows += outcome.rows
        else:
            self.there += 1

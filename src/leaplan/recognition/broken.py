"""Videos that could not be read while training went on: counted, and listed in the run folder."""

from collections.abc import Iterable
from pathlib import Path

from leaplan.writing import write_text


class BrokenVideos:
    """The videos whose clips were replaced by others.

    Args:
        path: Their list, a line for each, with the reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0  # clips replaced in this epoch
        self._epoch = -1
        self._reasons: dict[str, str] = {}

    def add(self, found: Iterable[tuple[str, str]], epoch: int) -> None:
        """Count the clips of `found`, (video, reason), and list videos that are new."""
        if epoch != self._epoch:
            self._epoch, self.count = epoch, 0
        new = False
        for video, reason in found:
            self.count += 1
            new |= video not in self._reasons
            self._reasons.setdefault(video, reason)
        if new:
            print(f"{len(self._reasons)} broken videos so far, listed in {self.path}", flush=True)
            lines = [f"{video}\t{' '.join(reason.split())}\n" for video, reason in sorted(self._reasons.items())]
            write_text(self.path, "".join(lines))

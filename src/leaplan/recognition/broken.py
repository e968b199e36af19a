"""Videos that could not be read while training went on: counted, and listed in the run folder."""

import fcntl
from collections.abc import Iterable, Mapping
from pathlib import Path


class BrokenVideos:
    """The videos whose clips were replaced by others.

    Args:
        path: Their list, a line for each, with the reason. All processes of a run share it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0  # clips replaced in this epoch
        self._epoch = -1
        self._known: set[str] = set()  # videos that this process has listed

    def add(self, found: Iterable[tuple[str, str]], epoch: int) -> None:
        """Count the clips of `found`, (video, reason), and list videos that are new."""
        if epoch != self._epoch:
            self._epoch, self.count = epoch, 0
        new = {}
        for video, reason in found:
            self.count += 1
            if video not in self._known:
                new[video] = " ".join(reason.split())
        if new:
            self._known |= new.keys()
            listed = self._list(new)
            print(f"{listed} broken videos so far, listed in {self.path}", flush=True)

    def _list(self, reasons: Mapping[str, str]) -> int:
        """Add what other processes, or an earlier start of the run, have not listed, and return the list's length."""
        with self.path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
            file.seek(0)
            listed = {line.partition("\t")[0] for line in file}
            file.writelines(f"{video}\t{reason}\n" for video, reason in reasons.items() if video not in listed)
        return len(listed | reasons.keys())

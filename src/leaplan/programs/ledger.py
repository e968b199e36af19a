"""How far a job is: clips, their evidence, and what was answered to it, in one SQLite file that survives any end.

Answers belong to evidence, not to clips: clips of equal evidence share one. A clip whose evidence has no answer yet
is "pending".
"""

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from leaplan.errors import DataError
from leaplan.programs.rows import NOWHERE, Provenance, Reason

FILE = "job.sqlite"
LOCK = "job.lock"
SCHEMA = 1
TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clips (position INTEGER PRIMARY KEY, clip TEXT NOT NULL UNIQUE, evidence TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    evidence TEXT NOT NULL, backend TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('ok', 'invalid', 'failed')),
    program TEXT NOT NULL, text TEXT NOT NULL, faults TEXT NOT NULL, provenance TEXT NOT NULL,
    PRIMARY KEY (evidence, backend)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS again (evidence TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS states AS
    SELECT position, clip, clips.evidence, COALESCE(backend, '') AS backend, COALESCE(state, 'pending') AS state
    FROM clips LEFT JOIN answers ON answers.evidence = clips.evidence;
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has come of asking one backend about one piece of evidence. See `rows.Row` for the fields."""

    state: str
    program: str = ""
    text: str = ""
    faults: tuple[Reason, ...] = ()
    provenance: Provenance = NOWHERE


class Ledger:
    """The clips of a job and what was answered, in `folder`. What was committed is never lost; those who write commit.

    Args:
        folder: The output folder; it is made.

    Raises:
        DataError: The file is no job of this version, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=60)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.executescript(TABLES)
        except (sqlite3.Error, OSError) as error:
            raise DataError(f"{self.path} cannot be opened ({error})", "Give another folder with --out") from error
        found = self.about("schema")
        if found not in (None, SCHEMA):
            raise DataError(
                f"{self.path} is a job of version {found}; this leaplan continues version {SCHEMA}",
                "Give another folder with --out",
            )
        self.tell("schema", SCHEMA)
        self.commit()

    def close(self) -> None:
        """Commit and close the file."""
        self.commit()
        self._base.close()

    def commit(self) -> None:
        """Make everything so far last."""
        self._base.commit()

    def about(self, name: str) -> Any:
        """Return what was told of the job under `name`, or None."""
        row = self._base.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def tell(self, name: str, value: Any) -> None:
        """Keep `value`, plain JSON, under `name`."""
        self._base.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, json.dumps(value)))

    def set_clips(self, clips: Iterable[tuple[str, str]]) -> None:
        """Replace the clips by (id, key of evidence) in their order."""
        self._base.execute("DELETE FROM clips")
        rows = ((position, clip, evidence) for position, (clip, evidence) in enumerate(clips))
        self._base.executemany("INSERT INTO clips VALUES (?, ?, ?)", rows)

    def answered(self, backend: str) -> set[str]:
        """Return the keys of all evidence that `backend` has answered."""
        return {key for (key,) in self._base.execute("SELECT evidence FROM answers WHERE backend = ?", (backend,))}

    def record(self, evidence: str, backend: str, outcome: Outcome) -> None:
        """Keep the `outcome` of `backend` for `evidence`."""
        faults = json.dumps([asdict(fault) for fault in outcome.faults], ensure_ascii=False)
        provenance = json.dumps(asdict(outcome.provenance), ensure_ascii=False)
        values = (evidence, backend, outcome.state, outcome.program, outcome.text, faults, provenance)
        self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def forget(self, backend: str, states: Collection[str]) -> list[str]:
        """Make what `backend` has answered with one of `states` pending again; return its keys."""
        marks = ",".join("?" * len(states))
        where = f"backend = ? AND state IN ({marks})"
        keys = [key for (key,) in self._base.execute(f"SELECT evidence FROM answers WHERE {where}", (backend, *states))]
        self._base.execute(f"DELETE FROM answers WHERE {where}", (backend, *states))
        return keys

    def ask_again(self, evidence: Iterable[str]) -> None:
        """Count that each key of `evidence` is to be asked anew: the answer in the cache was no use."""
        query = "INSERT INTO again VALUES (?, 1) ON CONFLICT (evidence) DO UPDATE SET times = times + 1"
        self._base.executemany(query, ((key,) for key in evidence))

    def asked_again(self) -> dict[str, int]:
        """Return how often each key was to be asked anew, of those that ever were."""
        return dict(self._base.execute("SELECT evidence, times FROM again"))

    def outcomes(self, backend: str) -> Iterator[tuple[str, str, Outcome | None]]:
        """Yield (clip, key of evidence, outcome of `backend` or None) in the order of the clips."""
        query = (
            "SELECT clip, clips.evidence, state, program, text, faults, provenance FROM clips LEFT JOIN answers"
            " ON answers.evidence = clips.evidence AND backend = ? ORDER BY position"
        )
        with closing(self._base.execute(query, (backend,))) as rows:
            for clip, evidence, *values in rows:
                yield clip, evidence, None if values[0] is None else _outcome(*values)

    def shares(self) -> Mapping[str, int]:
        """Return how many clips have each key of evidence."""
        return dict(self._base.execute("SELECT evidence, COUNT(*) FROM clips GROUP BY evidence"))


def _outcome(state: str, program: str, text: str, faults: str, provenance: str) -> Outcome:
    found = tuple(Reason(**fault) for fault in json.loads(faults)) if faults != "[]" else ()
    return Outcome(state, program, text, found, Provenance(**json.loads(provenance)))


class Alone:
    """Holds a folder for one process. The lock goes with the process, however it ends.

    Raises:
        DataError: Another process works there.
    """

    def __init__(self, folder: Path) -> None:
        import fcntl

        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / LOCK).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise DataError(
                f"another leaplan (process {holder}) works in {folder}",
                "Wait for it, end it, or give another folder with --out",
            ) from error
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

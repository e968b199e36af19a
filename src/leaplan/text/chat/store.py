"""One SQLite file of answers and of what they cost. Many processes may share it; kill -9 loses nothing that is in it.

Spending is a ledger. Before a request is sent, its highest possible price is written down; when its answer is stored,
in the same transaction, that becomes the price paid. What is left open by a killed process stays counted at the highest
price, since a server may have billed it: the total is an upper bound at any moment.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from leaplan.errors import DataError
from leaplan.text.chat.messages import Answer, Usage
from leaplan.text.chat.prices import NANO

VERSION = 1
TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    hash TEXT PRIMARY KEY, text TEXT, finish_reason TEXT, prompt INTEGER, cached INTEGER, completion INTEGER,
    nano INTEGER, model TEXT, fingerprint TEXT, told TEXT DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open_requests (
    id INTEGER PRIMARY KEY, hash TEXT, nano INTEGER, sent TEXT DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS total (one INTEGER PRIMARY KEY CHECK (one = 1), paid INTEGER, reserved INTEGER);
INSERT OR IGNORE INTO total VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS batches (
    token TEXT PRIMARY KEY, id TEXT, hashes TEXT, nano INTEGER, state TEXT, made TEXT DEFAULT CURRENT_TIMESTAMP
);
"""  # fmt: skip


class Store:
    """The file, opened.

    Args:
        path: It is made where it is not there.

    Raises:
        DataError: It cannot be opened, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self.database.execute("PRAGMA journal_mode=WAL")
            self.database.execute("PRAGMA synchronous=NORMAL")
            (version,) = self.database.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise DataError(f"{self.path} is of version {version}, not {VERSION}", "Choose another file or folder")
            self.database.executescript(TABLES)
            self.database.execute(f"PRAGMA user_version={VERSION}")
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"{self.path} cannot be used as a store of answers: {error}", "Choose another file or folder"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def answer(self, key: str) -> Answer | None:
        """Return the stored answer to the request of this hash, marked as cached."""
        row = self.database.execute("SELECT * FROM answers WHERE hash = ?", (key,)).fetchone()
        if row is None:
            return None
        _, text, reason, prompt, cached, completion, nano, model, fingerprint, _ = row
        return Answer(text, reason, Usage(prompt, cached, completion), nano / NANO, model, fingerprint, True, key)

    def reserve(self, key: str, nano: int, limit: int | None) -> int | None:
        """Write down a request that is about to be sent; return its entry, or None where `limit` leaves no room."""
        with self._transaction():
            paid, reserved = self.spending()
            if limit is not None and paid + reserved + nano > limit:
                return None
            self.database.execute("UPDATE total SET reserved = reserved + ?", (nano,))
            row = self.database.execute("INSERT INTO open_requests (hash, nano) VALUES (?, ?)", (key, nano))
            return row.lastrowid

    def cancel(self, entry: int) -> None:
        """Cross out a request that was certainly not billed."""
        with self._transaction():
            self._settle(entry, 0)

    def keep(self, answer: Answer, nano: int, entry: int | None = None) -> Answer:
        """Store an answer that cost `nano`, and settle its entry. The first of two answers to one request stays."""
        use = answer.usage
        with self._transaction():
            self.database.execute(
                "INSERT OR IGNORE INTO answers (hash, text, finish_reason, prompt, cached, completion, nano, model, "
                "fingerprint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (answer.request_hash, answer.text, answer.finish_reason, use.prompt, use.cached, use.completion, nano,
                 answer.model, answer.fingerprint),
            )  # fmt: skip
            if entry is not None:
                self._settle(entry, nano)
        return replace(answer, usd=nano / NANO)

    def spending(self) -> tuple[int, int]:
        """Return nano-dollars paid, and those that requests under way or lost may cost at most."""
        paid, reserved = self.database.execute("SELECT paid, reserved FROM total").fetchone()
        return paid, reserved

    def add_batch(self, token: str, hashes: list[str], nano: int, limit: int | None) -> bool:
        """Write down a batch that is about to be made; return False where `limit` leaves no room."""
        with self._transaction():
            paid, reserved = self.spending()
            if limit is not None and paid + reserved + nano > limit:
                return False
            self.database.execute("UPDATE total SET reserved = reserved + ?", (nano,))
            self.database.execute(
                "INSERT INTO batches (token, id, hashes, nano, state) VALUES (?, '', ?, ?, 'new')",
                (token, "\n".join(hashes), nano),
            )
        return True

    def name_batch(self, token: str, batch: str) -> None:
        """Note the provider's id of a batch."""
        self.database.execute("UPDATE batches SET id = ?, state = 'sent' WHERE token = ?", (batch, token))

    def open_batches(self) -> list[tuple[str, str, list[str]]]:
        """Return token, provider's id ("" if not known) and hashes of batches that are not settled."""
        rows = self.database.execute("SELECT token, id, hashes FROM batches WHERE state != 'done'").fetchall()
        return [(token, batch, hashes.split("\n")) for token, batch, hashes in rows]

    def end_batch(self, token: str, paid: int) -> None:
        """Settle a batch."""
        with self._transaction():
            row = self.database.execute(
                "SELECT nano FROM batches WHERE token = ? AND state != 'done'", (token,)
            ).fetchone()
            if row is not None:
                self.database.execute("UPDATE batches SET state = 'done' WHERE token = ?", (token,))
                self.database.execute("UPDATE total SET reserved = reserved - ?, paid = paid + ?", (row[0], paid))

    def _settle(self, entry: int, paid: int) -> None:
        (reserved,) = self.database.execute("SELECT nano FROM open_requests WHERE id = ?", (entry,)).fetchone()
        self.database.execute("DELETE FROM open_requests WHERE id = ?", (entry,))
        self.database.execute("UPDATE total SET reserved = reserved - ?, paid = paid + ?", (reserved, paid))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

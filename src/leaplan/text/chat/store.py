"""One SQLite file of answers and of what they cost. Many processes may share it; kill -9 loses nothing that is in it.

Spending is a ledger. Before a request is sent, its highest possible price is written down; when its answer is stored,
in the same transaction, that becomes the price paid. What is left open by a killed process stays counted at the highest
price, since a server may have billed it: the total is an upper bound at any moment.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

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
        DataError: It cannot be opened, or is something else. All methods raise it where the file cannot be written.
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

    def forgive(self, seconds: float) -> None:
        """Cross out requests that were sent longer ago than `seconds` and never answered; see `count_lost`."""
        age = (f"-{seconds:.0f} seconds",)
        with self._transaction():
            rows = self._execute("DELETE FROM open_requests WHERE sent < datetime('now', ?) RETURNING nano", age)
            self._execute("UPDATE total SET reserved = reserved - ?", (sum(nano for (nano,) in rows.fetchall()),))

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def answer(self, key: str) -> Answer | None:
        """Return the stored answer to the request of this hash, marked as cached."""
        row = self._execute("SELECT * FROM answers WHERE hash = ?", (key,)).fetchone()
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
            self._execute("UPDATE total SET reserved = reserved + ?", (nano,))
            row = self._execute("INSERT INTO open_requests (hash, nano) VALUES (?, ?)", (key, nano))
            return row.lastrowid

    def cancel(self, entry: int) -> None:
        """Cross out a request that was certainly not billed."""
        with self._transaction():
            self._settle(entry, 0)

    def keep(self, answer: Answer, nano: int, entry: int | None = None) -> Answer:
        """Store an answer that cost `nano`, and settle its entry. The first of two answers to one request stays."""
        use = answer.usage
        with self._transaction():
            self._execute(
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
        paid, reserved = self._execute("SELECT paid, reserved FROM total").fetchone()
        return paid, reserved

    def add_batch(self, token: str, tokens: Mapping[str, int], nano: int, limit: int | None) -> bool:
        """Write down a batch that is about to be made; return False where `limit` leaves no room.

        Args:
            token: Its name with us.
            tokens: Hash of each request to the most tokens that its prompt can have.
            nano: The most that it can cost.
            limit: All that may be spent.
        """
        with self._transaction():
            paid, reserved = self.spending()
            if limit is not None and paid + reserved + nano > limit:
                return False
            self._execute("UPDATE total SET reserved = reserved + ?", (nano,))
            self._execute(
                "INSERT INTO batches (token, id, hashes, nano, state) VALUES (?, '', ?, ?, 'new')",
                (token, "\n".join(f"{key} {most}" for key, most in tokens.items()), nano),
            )
        return True

    def name_batch(self, token: str, batch: str) -> None:
        """Note the provider's id of a batch."""
        self._execute("UPDATE batches SET id = ?, state = 'sent' WHERE token = ?", (batch, token))

    def open_batches(self) -> list[tuple[str, str]]:
        """Return token and provider's id ("" if not known) of batches that are not settled, oldest first."""
        return self._execute("SELECT token, id FROM batches WHERE state != 'done' ORDER BY made, rowid").fetchall()

    def batched(self, token: str) -> dict[str, int]:
        """Return the hashes of a batch, with the most tokens that each prompt can have."""
        (lines,) = self._execute("SELECT hashes FROM batches WHERE token = ?", (token,)).fetchone()
        return {key: int(most or 0) for key, _, most in (line.partition(" ") for line in lines.split("\n"))}

    def end_batch(self, token: str, paid: int | None) -> None:
        """Settle a batch; `paid` None counts the most that it can have cost."""
        with self._transaction():
            row = self._execute("SELECT nano FROM batches WHERE token = ? AND state != 'done'", (token,)).fetchone()
            if row is not None:
                self._execute("UPDATE batches SET state = 'done' WHERE token = ?", (token,))
                spent = row[0] if paid is None else paid
                self._execute("UPDATE total SET reserved = reserved - ?, paid = paid + ?", (row[0], spent))

    def _settle(self, entry: int, paid: int) -> None:
        row = self._execute("SELECT nano FROM open_requests WHERE id = ?", (entry,)).fetchone()
        reserved = row[0] if row is not None else 0  # another process may have forgiven it
        self._execute("DELETE FROM open_requests WHERE id = ?", (entry,))
        self._execute("UPDATE total SET reserved = reserved - ?, paid = paid + ?", (reserved, paid))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            if self.database.in_transaction:  # some errors, such as a full disk, have ended it
                self.database.execute("ROLLBACK")
            raise

    def _execute(self, *statement: Any) -> sqlite3.Cursor:
        try:
            return self.database.execute(*statement)
        except sqlite3.Error as error:
            what = f"{self.path} cannot be read or written: {error}"
            raise DataError(what, "Make room or wait for other processes, then run the same command again") from error

"""The journal: what a lab's API server holds, on disk, so that it survives the process.

One SQLite file in WAL mode. It keeps the present state and not its history: events are for watchers that live, and a
client that outlived the server lists again. `synchronous=NORMAL` hands each commit to the kernel without waiting for
the disk. A commit is therefore safe from the death of the process, by kill -9 too; a power cut may cost the last
moments but never the file's consistency (https://www.sqlite.org/pragma.html#pragma_synchronous). A lab does not
outlive its machine, so that is the right price.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
"""
_PUT = "INSERT OR REPLACE INTO objects (resource, namespace, name, revision, body) VALUES (?, ?, ?, ?, ?)"
_DROP = "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?"
_ADVANCE = "INSERT OR REPLACE INTO progress (id, revision) VALUES (1, ?)"


class JournalError(Exception):
    """The journal cannot be read or written. The message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """One write: the object's JSON, or None when it was removed."""

    resource: str
    namespace: str
    name: str
    revision: int
    body: bytes | None


class Journal:
    """A journal file, open for this process alone. Not thread-safe: one thread at a time.

    Raises:
        JournalError: the file is not a journal, is of another format, or is in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.5)
        except sqlite3.Error as error:
            raise JournalError(f"cannot open the journal {path}: {error}") from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            if "locked" in str(error):
                raise JournalError(f"the journal {path} is in use by another process") from error
            hint = "`make lab-reset` starts afresh (all objects of this lab are lost)"
            raise JournalError(f"cannot use the journal {path}: {error}; {hint}") from error
        except JournalError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        # An exclusive lock keeps a second server out, and spares the shared-memory file that WAL needs otherwise.
        self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found not in (0, FORMAT):
            hint = "`make lab-reset` starts afresh"
            raise JournalError(f"the journal {self.path} has format {found}, this version reads {FORMAT}; {hint}")
        self._connection.execute("BEGIN IMMEDIATE")
        for statement in filter(None, (part.strip() for part in _SCHEMA.split(";"))):
            self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version={FORMAT}")
        self._connection.execute("COMMIT")

    def revision(self) -> int:
        """The last revision that was committed; 0 in a new journal."""
        row = self._connection.execute("SELECT revision FROM progress").fetchone()
        return int(row[0]) if row else 0

    def records(self) -> Iterator[Record]:
        """Every object that is present."""
        for row in self._connection.execute("SELECT resource, namespace, name, revision, body FROM objects"):
            yield Record(*row)

    def commit(self, batch: Sequence[Record]) -> None:
        """Write all of `batch` or none of it.

        Raises:
            JournalError: the disk is full, say; the journal is as it was, and the next commit may succeed.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for record in batch:
                where = (record.resource, record.namespace, record.name)
                if record.body is None:
                    self._connection.execute(_DROP, where)
                else:
                    self._connection.execute(_PUT, (*where, record.revision, record.body))
            self._connection.execute(_ADVANCE, (batch[-1].revision,))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            # SQLite has rolled back by itself after some errors; then there is no transaction left to end.
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise JournalError(f"cannot write the journal {self.path}: {error}") from error

    def close(self) -> None:
        """Close the file. SQLite folds the write-ahead log into it."""
        self._connection.close()

"""The journal: the API server's objects on disk, which survive the process.

One SQLite file in WAL mode. It keeps the present state and not its history: events are for watchers that live, and a
client that outlived the server lists again. `synchronous=NORMAL` hands each commit to the kernel without waiting for
the disk. A commit is therefore safe from the death of the process, by kill -9 too; a power cut may cost the last
moments but never the file's consistency (https://www.sqlite.org/pragma.html#pragma_synchronous). A lab does not
outlive its machine, so that is the right price.

Damage is always detected. Each object has a checksum, all of them together a sum, and a file
beside the journal says how far it was written: SQLite takes a write-ahead log that is damaged or missing for one that
ends there. That mark is set after each commit, so it is never ahead of what is stored, whenever the process is killed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from mesh_lab.kube.records import Key, Record, is_sound, salvage

FORMAT = 2
_UNSUMMED = 1
"""The format before there were checksums; it is brought to the present one."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL,
    checksum INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (
    id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL,
    objects INTEGER NOT NULL DEFAULT 0, checksums INTEGER NOT NULL DEFAULT 0
);
"""
_UPGRADE = """
ALTER TABLE objects ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE progress ADD COLUMN objects INTEGER NOT NULL DEFAULT 0;
ALTER TABLE progress ADD COLUMN checksums INTEGER NOT NULL DEFAULT 0;
"""
_ALL = "SELECT resource, namespace, name, revision, body, checksum FROM objects"
_PUT = "INSERT OR REPLACE INTO objects (resource, namespace, name, revision, body, checksum) VALUES (?, ?, ?, ?, ?, ?)"
_DROP = "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?"
_ADVANCE = "INSERT OR REPLACE INTO progress (id, revision, objects, checksums) VALUES (1, ?, ?, ?)"
_SURROUNDINGS = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR}
)
"""SQLite's errors that do not mean a damaged file, except for `_CUT_SHORT`: the file ends too early."""
_CUT_SHORT = sqlite3.SQLITE_IOERR_SHORT_READ
_NAMED = 5
"""How many objects a message lists."""
WAY_OUT = "`mesh-lab up --recover` goes on with what can be read and says what is lost; `make lab-reset` starts afresh"

_MARK_PLACE = struct.Struct("<QI")
_MARK_PLACES = 2


class JournalError(Exception):
    """The journal cannot be read or written. The message names the file and what to do."""


class JournalInUseError(JournalError):
    """Another process has the journal."""


class JournalDamagedError(JournalError):
    """The journal does not hold what was written to it. The message says what is lost, and the ways out."""


class Mark:
    """How far a journal was written, in a file beside it. Like the journal it does not wait for the disk.

    Two places are written in turn, each with a checksum of its own, so that one that was cut short leaves the other.
    """

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(f"{journal.name}-mark")
        self._file: int | None = None
        self._place = 0

    def read(self) -> int | None:
        """The last revision that was marked; None when there is no readable mark."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        found = [
            revision
            for revision, checksum in _MARK_PLACE.iter_unpack(
                content[: len(content) // _MARK_PLACE.size * _MARK_PLACE.size]
            )
            if checksum == _checksum_of(revision)
        ]
        return max(found, default=None)

    def create(self) -> None:
        """Begin with a mark at revision 0, if there is none.

        Raises:
            OSError: the file cannot be written.
        """
        if self.read() is None:
            self._open()
            for _ in range(_MARK_PLACES):
                self._put(0)

    def write(self, revision: int) -> None:
        """Mark a revision as written. A mark that cannot be set stays behind, and what it guards is in the journal."""
        with contextlib.suppress(OSError):
            self._open()
            self._put(revision)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _put(self, revision: int) -> None:
        assert self._file is not None
        os.pwrite(self._file, _MARK_PLACE.pack(revision, _checksum_of(revision)), self._place * _MARK_PLACE.size)
        self._place = (self._place + 1) % _MARK_PLACES


def _checksum_of(revision: int) -> int:
    return zlib.crc32(revision.to_bytes(8, "little"))


class Journal:
    """A journal file, open only in this process. Not thread-safe: one thread at a time.

    `known` are the keys of the resources that it may hold, by which the objects of a damaged one are found.

    Raises:
        JournalDamagedError: it does not hold what was written to it.
        JournalError: the file is not a journal, is of another format, or is in use.
    """

    def __init__(self, path: Path, known: tuple[str, ...] = ()) -> None:
        self.path = path
        self._known = known
        self._checksums: dict[Key, int] = {}
        self._sum = 0
        self._mark = Mark(path)
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.5)
        except sqlite3.Error as error:
            raise JournalError(f"cannot open the journal {path}: {error}") from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            self._mark.close()
            if "locked" in str(error):
                raise JournalInUseError(f"the journal {path} is in use by another process") from error
            if error.sqlite_errorcode & 0xFF in _SURROUNDINGS and error.sqlite_errorcode != _CUT_SHORT:
                raise JournalError(f"cannot use the journal {path}: {error}") from error
            raise self._damaged(f"{error}; {self._readable()}") from error
        except JournalError:
            self._connection.close()
            self._mark.close()
            raise

    def _prepare(self) -> None:
        # An exclusive lock keeps a second server out, and spares the shared-memory file that WAL needs otherwise.
        self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found not in (0, _UNSUMMED, FORMAT):
            why = f"has format {found}, this version reads {FORMAT}: it is of another version, or damaged"
            raise JournalError(f"the journal {self.path} {why}; {WAY_OUT}")
        marked = self._mark.read()
        if found == FORMAT and marked is None:
            raise self._damaged(f"{self._mark.path.name}, which says how far it was written, is missing or damaged")
        if found == 0 and marked:
            raise self._damaged(f"all {marked} revisions that were written are missing")
        if found != FORMAT:
            # Before the format: from then on a journal without a mark is a damaged one.
            self._mark.create()
            self._connection.execute("BEGIN IMMEDIATE")
            for statement in filter(None, (part.strip() for part in (_UPGRADE if found else _SCHEMA).split(";"))):
                self._connection.execute(statement)
            if found:
                self._sum_up()
            self._connection.execute(f"PRAGMA user_version={FORMAT}")
            self._connection.execute("COMMIT")
        self._verify(marked or 0)

    def _sum_up(self) -> None:
        """Add checksums to the records of an older version."""
        records = [Record(*row[:5]) for row in self._connection.execute(_ALL)]
        if unsound := [record for record in records if not is_sound(record, None)]:
            raise self._damaged(f"{len(unsound)} objects cannot be read: {', '.join(map(str, unsound[:_NAMED]))}")
        self._write(records, self.revision())
        self._checksums.clear()
        self._sum = 0

    def _verify(self, marked: int) -> None:
        """Read everything, and check it against the checksums and the mark."""
        problems = [
            " ".join(str(row[0]).split())
            for row in self._connection.execute("PRAGMA quick_check(1)").fetchall()
            if row[0] != "ok"
        ]
        changed: list[Record] = []
        for *fields, checksum in self._connection.execute(_ALL):
            record = Record(*fields)
            if not is_sound(record, checksum):
                changed.append(record)
                continue
            self._checksums[record.key] = checksum
            self._sum ^= checksum
        row = self._connection.execute("SELECT revision, objects, checksums FROM progress").fetchone()
        revision, objects, total = row or (0, 0, 0)
        if changed:
            names = ", ".join(map(str, changed[:_NAMED])) + (", ..." if len(changed) > _NAMED else "")
            problems.append(f"{len(changed)} of {objects} objects are not as they were written: {names}")
        found = len(self._checksums) + len(changed)
        if found != objects:
            problems.append(f"{objects - found} of {objects} objects are missing")
        elif total != self._sum and not changed:
            problems.append("some objects are not those that were written last")
        if revision < marked:
            problems.append(f"its last writes are missing: revisions {revision + 1} to {marked}")
        if problems:
            raise self._damaged("; ".join(problems))
        if revision > marked:
            # The process was killed between the two.
            self._mark.write(revision)

    def _readable(self) -> str:
        found = salvage(self.path, self._known)
        of_all = "" if found.expected is None else f" of {found.expected}"
        return f"{len(found.kept)}{of_all} objects can be read"

    def _damaged(self, what: str) -> JournalDamagedError:
        return JournalDamagedError(f"the journal {self.path} is damaged: {what}; {WAY_OUT}")

    def revision(self) -> int:
        """The last revision that was committed; 0 in a new journal."""
        row = self._connection.execute("SELECT revision FROM progress").fetchone()
        return int(row[0]) if row else 0

    def records(self) -> Iterator[Record]:
        """Every object that is present."""
        for row in self._connection.execute(_ALL):
            yield Record(*row[:5])

    def commit(self, batch: Sequence[Record], revision: int | None = None) -> None:
        """Write all of `batch` or none of it. `revision` is the last one then, by default that of the last record.

        Raises:
            JournalError: the disk is full, say; the journal is as it was, and the next commit may succeed.
        """
        reached = batch[-1].revision if revision is None else revision
        checksums, total = {record.key: self._checksums.get(record.key) for record in batch}, self._sum
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._write(batch, reached)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            for key, checksum in checksums.items():
                self._set(key, checksum)
            self._sum = total
            # SQLite has rolled back by itself after some errors; then there is no transaction left to end.
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise JournalError(f"cannot write the journal {self.path}: {error}") from error
        self._mark.write(reached)

    def _write(self, batch: Sequence[Record], revision: int) -> None:
        for record in batch:
            self._sum ^= self._checksums.get(record.key, 0)
            if record.body is None:
                self._set(record.key, None)
                self._connection.execute(_DROP, record.key)
            else:
                checksum = record.checksum
                self._sum ^= checksum
                self._set(record.key, checksum)
                self._connection.execute(_PUT, (*record.key, record.revision, record.body, checksum))
        self._connection.execute(_ADVANCE, (revision, len(self._checksums), self._sum))

    def _set(self, key: Key, checksum: int | None) -> None:
        if checksum is None:
            self._checksums.pop(key, None)
        else:
            self._checksums[key] = checksum

    def close(self) -> None:
        """Close the file. SQLite folds the write-ahead log into it."""
        self._connection.close()
        self._mark.close()

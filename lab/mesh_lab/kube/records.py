"""The records of a journal, one a write, and what can be read of them in a damaged one."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import orjson

from mesh_lab.kube.resources import CRDS

_COLUMNS = "resource, namespace, name, revision, body, checksum"
_UNSUMMED = "resource, namespace, name, revision, body, NULL"


Key = tuple[str, str, str]
"""An object's resource, namespace and name."""


@dataclass(frozen=True, slots=True)
class Record:
    """One write: the object's JSON, or None when it was removed."""

    resource: str
    namespace: str
    name: str
    revision: int
    body: bytes | None

    @property
    def key(self) -> Key:
        """The object's resource, namespace and name."""
        return self.resource, self.namespace, self.name

    @property
    def checksum(self) -> int:
        """The checksum of all that is stored of the object."""
        head = "\0".join(map(str, (*self.key, self.revision, ""))).encode()
        return zlib.crc32(self.body or b"", zlib.crc32(head))

    def __str__(self) -> str:
        return f"{self.resource} {'/'.join(filter(None, (self.namespace, self.name)))}"


def is_sound(record: Record, checksum: int | None) -> bool:
    """Return whether a record matches its checksum; without a checksum, whether it is a JSON object."""
    if not isinstance(record.body, bytes) or not all(isinstance(part, str) for part in record.key):
        return False
    if checksum is not None:
        return record.checksum == checksum
    try:
        return isinstance(orjson.loads(record.body), dict)
    except orjson.JSONDecodeError:
        return False


@dataclass
class Salvage:
    """What was read of a damaged journal. `expected` is the number of objects that it had, None when that is lost."""

    kept: dict[Key, Record] = field(default_factory=dict)
    broken: dict[Key, str] = field(default_factory=dict)
    expected: int | None = None
    revision: int = 0


def salvage(path: Path, known: Iterable[str] = ()) -> Salvage:
    """Return all objects of a damaged journal, which is left as it is, that can be read and match their checksums.

    `known` are keys of resources: with them, what lies between two damaged places is found, too.
    """
    found = Salvage()
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error:
        return found
    with closing(connection):
        columns = _COLUMNS
        try:
            connection.execute(f"SELECT {_COLUMNS} FROM objects LIMIT 0")
        except sqlite3.OperationalError as error:
            # A journal of the format before there were checksums.
            columns = _UNSUMMED if "no such column" in str(error) else _COLUMNS
        except sqlite3.DatabaseError:
            return found
        with suppress(sqlite3.Error):
            row = connection.execute("SELECT revision, objects FROM progress").fetchone()
            found.revision, found.expected = (int(row[0]), int(row[1])) if row else (0, None)
        rows = f"SELECT {columns} FROM objects"
        # Behind a page that cannot be read there are others: the table is read from both ends, and so is each part.
        _read(connection, rows, (), found)
        custom = [key[2] for key in found.kept if key[0] == CRDS.key]
        for resource in (*known, *custom):
            _read(connection, f"{rows} WHERE resource = ?", (resource,), found)
            spaces = {key[1] for key in found.kept if key[0] == resource}
            for namespace in spaces:
                _read(connection, f"{rows} WHERE resource = ? AND namespace = ?", (resource, namespace), found)
    return found


def _read(connection: sqlite3.Connection, select: str, values: tuple[str, ...], found: Salvage) -> None:
    for order in ("ASC", "DESC"):
        query = f"{select} ORDER BY resource {order}, namespace {order}, name {order}"
        with suppress(sqlite3.Error, UnicodeDecodeError):
            for *fields, checksum in connection.execute(query, values):
                _take(Record(*fields), checksum, found)


def _take(record: Record, checksum: int | None, found: Salvage) -> None:
    if is_sound(record, checksum):
        found.kept.setdefault(record.key, record)
    else:
        found.broken[record.key] = str(record)

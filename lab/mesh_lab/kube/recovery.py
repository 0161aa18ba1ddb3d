"""`python -m mesh_lab.kube.recovery JOURNAL`: make a journal of what can be read of a damaged one.

`mesh-lab up --recover` runs it. The damaged files are kept in a directory beside it. Each line that is printed says
what was kept or what is lost.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from mesh_lab.kube.journal import WAY_OUT, Journal, JournalError, JournalInUseError, Mark, Record, is_sound
from mesh_lab.kube.resources import BUILTIN, CRDS

_SUFFIXES = ("", "-wal", "-shm", "-mark")
_COLUMNS = "resource, namespace, name, revision, body, checksum"
_UNSUMMED = "resource, namespace, name, revision, body, NULL"


@dataclass
class Salvage:
    """What was read of a damaged journal. `expected` is the number of objects that it had, None when that is lost."""

    kept: dict[tuple[str, str, str], Record] = field(default_factory=dict)
    broken: dict[tuple[str, str, str], str] = field(default_factory=dict)
    expected: int | None = None
    revision: int = 0


def salvage(path: Path) -> Salvage:
    """Return all objects of a damaged journal that can be read and match their checksums."""
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
        for resource in (*(resource.key for resource in BUILTIN), *custom):
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


def recover(path: Path) -> Iterator[str]:
    """Replace a damaged journal; yield lines that report the outcome. A sound one is left as it is.

    Raises:
        JournalError: the new journal cannot be written, or the old one is in use.
        OSError: the damaged files cannot be moved.
    """
    try:
        Journal(path).close()
    except JournalInUseError:
        raise
    except JournalError as error:
        yield str(error).removesuffix(f"; {WAY_OUT}")
    else:
        yield f"the journal {path} is not damaged"
        return
    marked = Mark(path).read() or 0
    aside = path.with_name(f"damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    aside.mkdir(mode=0o700)
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(aside / f"{path.name}{suffix}")
    found = salvage(aside / path.name)
    with closing(Journal(path)) as journal:
        # Revisions go on after the last one that a client may have seen.
        reached = max(marked, found.revision, *(record.revision for record in found.kept.values()), 1)
        if found.kept:
            journal.commit(list(found.kept.values()), reached)
    yield from _lines(found, marked)
    yield f"the damaged files are kept in {aside}"


def _lines(found: Salvage, marked: int) -> Iterator[str]:
    yield f"kept: {len(found.kept)} objects"
    for key in sorted(found.broken.keys() - found.kept.keys(), key=str):
        yield f"lost: {found.broken[key]} (it is not as it was written)"
    missing = None if found.expected is None else found.expected - len(found.kept.keys() | found.broken.keys())
    if missing is None:
        yield "lost: all that could not be read; how much that is, is lost, too"
    elif missing > 0:
        yield f"lost: {missing} objects that cannot be read"
    if found.revision < marked:
        yield f"lost: the writes of the revisions {found.revision + 1} to {marked}"


def main(arguments: list[str]) -> int:
    """Recover the named journal; 1 when that is impossible."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m mesh_lab.kube.recovery JOURNAL   (run by `mesh-lab up --recover`)\n")
        return 2
    try:
        for line in recover(Path(arguments[0])):
            sys.stdout.write(f"{line}\n")
    except (JournalError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

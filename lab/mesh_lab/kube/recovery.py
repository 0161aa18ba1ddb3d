"""`python -m mesh_lab.kube.recovery JOURNAL`: make a journal of what can be read of a damaged one.

`mesh-lab up --recover` runs it. The damaged files are kept in a directory beside it. Each line that is printed says
what was kept or what is lost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from mesh_lab.kube.journal import WAY_OUT, Journal, JournalError, JournalInUseError, Mark
from mesh_lab.kube.records import Salvage, salvage
from mesh_lab.kube.registry.kinds import STORED
from mesh_lab.rfc3339 import file_stamp

_SUFFIXES = ("", "-wal", "-shm", "-mark")


def recover(path: Path, known: Iterable[str] = ()) -> Iterator[str]:
    """Replace a damaged journal; yield what came of it. A sound one is left as it is. `known` as in `salvage`.

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
    aside = path.with_name(f"damaged-{file_stamp()}")
    aside.mkdir(mode=0o700)
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(aside / f"{path.name}{suffix}")
    found = salvage(aside / path.name, known)
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
        yield "lost: all objects that cannot be read; their number is not known"
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
        for line in recover(Path(arguments[0]), [resource.key for resource in STORED]):
            sys.stdout.write(f"{line}\n")
    except (JournalError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

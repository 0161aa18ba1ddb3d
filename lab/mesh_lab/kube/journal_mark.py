"""How far a journal was written, in a file beside it.

Two places are written in turn, each with a checksum of its own, so that one that was cut short leaves the other.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path

_PLACE = struct.Struct("<QI")
_PLACES = 2


class Mark:
    """The mark of the journal at `journal`. It is written without waiting for the disk, as the journal is."""

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
            for revision, checksum in _PLACE.iter_unpack(content[: len(content) // _PLACE.size * _PLACE.size])
            if checksum == _checksum(revision)
        ]
        return max(found, default=None)

    def create(self) -> None:
        """Begin with a mark at revision 0, if there is none. Raises `OSError`."""
        if self.read() is None:
            self._open()
            for _ in range(_PLACES):
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
        os.pwrite(self._file, _PLACE.pack(revision, _checksum(revision)), self._place * _PLACE.size)
        self._place = (self._place + 1) % _PLACES


def _checksum(revision: int) -> int:
    return zlib.crc32(revision.to_bytes(8, "little"))

"""The state directory of a lab on kind or an existing cluster: a record of what the lab made, and a lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from mesh_lab.errors import LabError

RECORD = "cluster.json"
_LOCK = "lock"
_Record = TypeVar("_Record", bound=msgspec.Struct)


def prepare(state: Path) -> None:
    """Make the state directory.

    Raises:
        LabError: it cannot be made.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"cannot make {error.filename or state}: {error.strerror}") from error


@contextlib.contextmanager
def held(state: Path) -> Iterator[None]:
    """Hold the lab's lock during a `with` block, so that no other command changes the lab.

    Raises:
        LabError: another command holds it.
    """
    prepare(state)
    with (state / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                f"the lab in {state} is in use by another command", hint="Wait until that command is done."
            ) from None
        yield


def write(state: Path, record: msgspec.Struct) -> None:
    """Replace the record as a whole: a crash leaves the old one or the new one.

    Raises:
        LabError: it cannot be written.
    """
    _replace(state / RECORD, msgspec.json.format(msgspec.json.encode(record)) + b"\n")


def read(state: Path, shape: type[_Record]) -> _Record | None:
    """Return the record, or None.

    Raises:
        LabError: it is damaged; guessing could touch what is not the lab's.
    """
    file = state / RECORD
    try:
        return msgspec.json.decode(file.read_bytes(), type=shape)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise LabError(
            f"cannot read {file}: {error}", hint="It says what the lab has made; without it, remove that by hand."
        ) from error


def write_private(file: Path, text: str) -> None:
    """Write a file that holds credentials: only its owner may read it.

    Raises:
        LabError: it cannot be written.
    """
    _replace(file, text.encode())


def forget(state: Path, *files: str) -> None:
    """Remove the record and further files of the state directory."""
    for name in (RECORD, *files):
        (state / name).unlink(missing_ok=True)


def remove(state: Path) -> bool:
    """Delete the state directory of such a lab. False when there is none.

    Raises:
        LabError: it is not a lab's state, or cannot be deleted.
    """
    if not state.exists():
        return False
    if not (state / _LOCK).is_file():
        raise LabError(f"{state} does not look like a lab's state, so it stays")
    try:
        shutil.rmtree(state)
    except OSError as error:
        raise LabError(f"cannot delete {error.filename}: {error.strerror}") from error
    return True


def _replace(file: Path, content: bytes) -> None:
    new = file.with_name(f"{file.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        new.replace(file)
    except OSError as error:
        raise LabError(f"cannot write {file}: {error.strerror}") from error

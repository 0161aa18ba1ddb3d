"""How far a learner is: a file in the lab's directory, which outlives the lab itself.

Each change is read, made and written under a lock, into a new file that takes the old one's place: a terminal that is
closed, a full disk, or a second terminal leaves either the state before or the state after.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator

import msgspec

from mesh_lab.errors import LabError
from mesh_lab.settings import Lab

FOLDER = ".lab.learn"
"""Beside the labs' own, whose names have a dot before the kind of a cluster only; `mesh-lab reset` leaves it alone."""
LEARNER_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,14}[a-z0-9])?$"


class Standing(msgspec.Struct, frozen=True):
    """How far a learner is in one lesson: the variant's seed, solved tasks, and hints shown of the next one.

    `folder` is that of a lesson of the learner's own; empty for one of the course, wherever that is installed. `since`
    is when the lesson was begun, `checked` when it was checked last (RFC 3339), `said` what that check said.
    """

    folder: str = ""
    seed: str = ""
    solved: int = 0
    done: bool = False
    hints: int = 0
    checks: int = 0
    since: str = ""
    checked: str = ""
    said: str = ""


class Progress(msgspec.Struct, frozen=True):
    """All lessons that a learner has begun, by name; `current` is the one that commands without a name mean.

    `token` is what the lesson's pods let their control ports be driven by.
    """

    current: str = ""
    lessons: dict[str, Standing] = {}
    token: str = ""

    def with_standing(self, name: str, standing: Standing) -> Progress:
        """The same with this lesson's standing, which becomes the current one."""
        return msgspec.structs.replace(self, current=name, lessons={**self.lessons, name: standing})


class Notebook:
    """A learner's progress in a lab."""

    def __init__(self, lab: Lab, learner: str = "") -> None:
        cluster = "" if lab.settings.cluster == "embedded" else f".{lab.settings.cluster}"
        self.path = lab.directory / FOLDER / f"{lab.name}{cluster}{f'.{learner}' if learner else ''}.json"

    def read(self) -> Progress:
        """The progress; that of nobody where there is none yet.

        Raises:
            LabError: the file cannot be read.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Progress)
        except FileNotFoundError:
            return Progress()
        except OSError as error:
            raise LabError(f"cannot read {self.path}: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LabError(
                f"{self.path} is damaged: {error}",
                hint="Delete the file to begin anew, or put an older copy in its place; the lessons' pods stay.",
            ) from error

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Read the progress and write what becomes of it, with nobody else between.

        Raises:
            LabError: the file cannot be read, or not be written; it is then as it was.
        """
        try:
            self.path.parent.mkdir(exist_ok=True)
            lock = os.open(self.path.parent / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.read()
            change = Change(before if before.token else msgspec.structs.replace(before, token=secrets.token_hex(16)))
            yield change
            if change.progress != before:
                self._write(change.progress)
        finally:
            os.close(lock)

    def _write(self, progress: Progress) -> None:
        new = self.path.with_suffix(".new")
        try:
            # It holds the token by which the lessons' pods are driven.
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
                file.write(msgspec.json.format(msgspec.json.encode(progress), indent=2))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> LabError:
        return LabError(
            f"cannot write {self.path}: {error.strerror}",
            hint="Your progress is as it was before this command. Make room or rights there, and give it again.",
        )


class Change:
    """The progress that is to be written."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

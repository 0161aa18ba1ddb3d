"""Where lessons are found: the course that comes with the package, and folders of anybody's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mesh_lab.errors import LabError
from mesh_lab.learn.lesson import TEXT, Lesson, read
from mesh_lab.learn.problems import BrokenLesson
from mesh_lab.resources import LESSONS


@dataclass(frozen=True, slots=True)
class Listed:
    """A lesson of the course by its folder's name, or why it is broken."""

    name: str
    lesson: Lesson | None
    broken: BrokenLesson | None = None


def course(folder: Path = LESSONS) -> list[Listed]:
    """The lessons of a folder in their order; those that are broken come last."""
    found = [_listed(each) for each in _folders(folder)]
    return sorted(found, key=lambda each: (each.lesson.about.number if each.lesson else 100, each.name))


def names(folder: Path = LESSONS) -> list[str]:
    """The names of a folder's lessons, without reading them: what a shell is offered."""
    return [each.name for each in _folders(folder)]


def find(name: str, folder: Path = LESSONS) -> Lesson:
    """The lesson of this name, or in this folder (a path with a `/`, or a folder that holds a lesson).

    Raises:
        BrokenLesson: it is there, and cannot be used.
        LabError: there is none.
    """
    own = Path(name).expanduser()
    if os.sep in name or (own / TEXT).is_file():
        if not own.is_dir():
            raise LabError(
                f"there is no folder {name}", hint="`mesh-lab learn new FOLDER` makes a lesson.", exit_code=2
            )
        if own.name in names(folder) and own.resolve().parent != folder:
            raise LabError(
                f"{name}: the course has a lesson {own.name!r}", hint="Give the folder another name.", exit_code=2
            )
        return read(own.resolve())
    if name not in names(folder):
        known = ", ".join(each.name for each in course(folder))
        raise LabError(
            f"there is no lesson {name!r}",
            hint=f"Known: {known}. A lesson of your own is named by its folder, as ./{name}.",
            exit_code=2,
        )
    return read(folder / name)


def _listed(folder: Path) -> Listed:
    try:
        return Listed(folder.name, read(folder))
    except BrokenLesson as error:
        return Listed(folder.name, None, error)


def _folders(folder: Path) -> list[Path]:
    """The folders of lessons; one that begins with `_` is none of the course's."""
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if (each / TEXT).is_file() and not each.name.startswith("_"))

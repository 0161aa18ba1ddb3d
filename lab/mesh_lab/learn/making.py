"""A new lesson, to go on from: small, complete, and right."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mesh_lab.errors import LabError
from mesh_lab.learn.lesson import NAME_PATTERN
from mesh_lab.resources import NEW_LESSON


def make(folder: Path) -> None:
    """Make a lesson in a folder that is not there yet, or is empty.

    Raises:
        LabError: its name is none of a lesson, it holds something, or it cannot be written.
    """
    name = folder.resolve().name
    if not re.fullmatch(NAME_PATTERN, name):
        raise LabError(
            f"{name!r} is no name of a lesson",
            hint="A lesson is named by its folder: lower-case letters, digits and hyphens, at most 30, a letter first.",
            exit_code=2,
        )
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise LabError(f"{folder} is there already, and not empty", exit_code=2)
        shutil.copytree(NEW_LESSON, folder, dirs_exist_ok=True)
    except OSError as error:
        raise LabError(f"cannot write {folder}: {error.strerror or error}") from error

"""What may be wrong with a lesson itself, told by file and line."""

from __future__ import annotations

from pathlib import Path

from mesh_lab.errors import LabError


class BrokenLesson(LabError):  # noqa: N818 - the author's mistake, not the learner's
    """A lesson that cannot be used as it is: `file`, `line` (from 1) and what is wrong there."""

    def __init__(self, file: Path, line: int, what: str) -> None:
        super().__init__(
            f"{file}:{line}: {what}",
            hint="The lesson itself is wrong; all others work. docs/lessons.md tells what a lesson is made of.",
        )
        self.file = file
        self.line = line
        self.what = what

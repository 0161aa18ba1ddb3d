"""What the options before the command say: which lab is meant. Read when a command needs it, not before."""

from __future__ import annotations

import os
from pathlib import Path

from lab.errors import LabError
from lab.settings import Lab, find_directory, load


class Context:
    """The global options of one invocation."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.directory: Path | None = None
        self._lab: Lab | None = None

    def lab(self, cluster: str | None = None) -> Lab:
        """The lab that is meant. Raises `LabError` when `lab.toml`, a variable or an option is wrong."""
        directory = self.directory
        if directory is not None and not directory.is_dir():
            raise LabError(f"{directory} is not a directory", exit_code=2)
        place = directory.resolve() if directory else find_directory(Path.cwd())
        self._lab = load(place, os.environ, name=self.name, cluster=cluster)
        return self._lab

    def state_dir(self) -> Path | None:
        """Where a report of a fault may go; None before it is known."""
        return self._lab.state_dir if self._lab else None

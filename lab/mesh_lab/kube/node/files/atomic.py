"""A directory whose files change all at once: how the kubelet writes ConfigMaps, Secrets and tokens into volumes.

The files live in a directory named for its time; `..data` is a link to it, and each visible name a link through
`..data`. An update makes a new directory and renames a new `..data` over the old. A reader sees the old files or the
new, never some of each. Programs (Envoy's file watches among them) rely on exactly this layout.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_DATA, _NEW = "..data", "..data_tmp"


@dataclass(frozen=True)
class FileContent:
    """A file's bytes and permissions."""

    data: bytes
    mode: int = 0o644


class AtomicDirectory:
    """The directory at `path`; `group` owns its files, when one is given."""

    def __init__(self, path: Path, group: int | None = None) -> None:
        self._path = path
        self._group = group
        self._written: dict[str, FileContent] | None = None

    def write(self, files: Mapping[str, FileContent]) -> bool:
        """Write exactly these files (relative path → content); False if they are there already.

        Raises:
            OSError: a file cannot be written; what was there stays.
        """
        if self._written == files:
            return False
        self._path.mkdir(parents=True, exist_ok=True)
        current = self._current()
        fresh = self._path / f"..{datetime.now(UTC):%Y_%m_%d_%H_%M_%S.%f}"
        try:
            fresh.mkdir()
            for name, content in files.items():
                self._write_file(fresh / name, content)
            if self._group is not None:
                os.chown(fresh, -1, self._group)
            self._switch(fresh)
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        self._link_names({name.split("/")[0] for name in files})
        if current is not None:
            shutil.rmtree(self._path / current, ignore_errors=True)
        self._written = dict(files)
        return True

    def _current(self) -> str | None:
        try:
            return str((self._path / _DATA).readlink())
        except FileNotFoundError:
            return None

    def _write_file(self, path: Path, content: FileContent) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.data)
        mode = content.mode
        if self._group is not None:
            os.chown(path, -1, self._group)
            mode |= (mode & 0o400) >> 3  # the group that shares the volume may read it
        path.chmod(mode)

    def _switch(self, fresh: Path) -> None:
        new = self._path / _NEW
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        new.symlink_to(fresh.name)
        new.rename(self._path / _DATA)

    def _link_names(self, names: set[str]) -> None:
        there = {entry.name for entry in self._path.iterdir() if not entry.name.startswith("..")}
        for name in there - names:
            (self._path / name).unlink()
        for name in names - there:
            (self._path / name).symlink_to(f"{_DATA}/{name}")

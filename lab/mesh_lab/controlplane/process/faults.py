"""Faults of the control plane itself, recorded in its log, in a crash file, and in what it reports to users.

A fault with one object must neither end the process nor hold up other objects, so the places that work on objects one
by one catch all exceptions and record them here.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from pathlib import Path

from mesh_lab.rfc3339 import file_stamp

log = logging.getLogger(__name__)

# A fault that recurs with each change is recorded once, and the number of crash files is limited.
_MOST_FILES = 50
_MOST_KNOWN = 1000
_MOST_WORDS = 200


class Faults:
    """Records faults, each once; crash files go to `directory`, if there is one that can be written to."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._known: dict[tuple[str, str], str] = {}
        self._files = 0

    def record(self, what: str, error: BaseException) -> str:
        """Record what went wrong with `what`; returns it in a few words, with the crash file's path.

        Called from within `except`, it costs next to nothing for a fault that is known.
        """
        summary = f"{type(error).__name__}: {error}".strip().splitlines()[0][:_MOST_WORDS]
        key = (what, summary)
        if key not in self._known:
            file = self._write(what, error)
            where = f" (istiod's {file} has particulars)" if file is not None else ""
            while len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = f"a fault of the control plane itself: {summary}{where}"
            log.error("%s: %s", what, self._known[key], exc_info=error)
        return self._known[key]

    def _write(self, what: str, error: BaseException) -> Path | None:
        if self._directory is None or self._files >= _MOST_FILES:
            return None
        self._files += 1
        file = self._directory / f"crash-{file_stamp()}-{os.getpid()}-{self._files}.log"
        text = "".join(traceback.format_exception(error))
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            file.write_text(f"at: {what}\npython: {sys.version}\n\n{text}")
        except OSError as failure:
            log.warning("no crash file: %s", failure)
            return None
        return file

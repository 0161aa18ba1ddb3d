"""`mesh-lab`: the command line, on top of everything and imported by nothing."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["main"]

INTERRUPTED = 130


def main() -> None:
    """The program `mesh-lab`, as a process of its own: Ctrl-C ends it without a traceback at any time."""
    # While modules are imported nothing has been begun, so the process just ends.
    signal.signal(signal.SIGINT, _leave)
    sys.unraisablehook = _raise_again
    from mesh_lab.cli import entry

    try:
        entry.main()
    finally:
        # Only the interpreter's end is left: there, too, Ctrl-C just ends the process.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """An interruption in a place that cannot raise (the import of a module has some) is raised in the next that can."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    else:
        sys.__unraisablehook__(unraisable)

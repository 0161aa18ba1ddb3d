"""From the shell to a command and back to an exit code: 0 done, 1 failed, 2 wrong usage.

A failure that its reader can correct is two lines, what and what to do. Any other is a fault of the lab: its
traceback goes to a file, and one line says where that is.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mesh_lab.cli.completion import PROGRAM, VARIABLE, prepare
from mesh_lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

_TYPER_INTERRUPTED = 130
_PLUGIN = "kubectl-mesh_lab"


def main() -> None:
    """The program `mesh-lab`. Everything is imported in here, so that Ctrl-C never ends in a traceback."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        sys.exit(_explain(LabError("interrupted")))


def _run() -> int:
    import signal

    from mesh_lab.cli.app import app
    from mesh_lab.cli.context import context

    # From here on an interruption is an exception, for there is something to undo.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if VARIABLE in os.environ:
        prepare()
    try:
        app(prog_name=_called(sys.argv[0]))
    except LabError as error:
        return _explain(error)
    except SystemExit as ended:
        if ended.code == _TYPER_INTERRUPTED:
            raise KeyboardInterrupt from None
        raise
    except BrokenPipeError:
        return _silence()
    except Exception as error:  # noqa: BLE001 - the last resort: the traceback is kept in a file
        return _record(error, context.state_dir())
    return 0


def _called(program: str) -> str:
    """The command as it was typed, for the usage texts: kubectl runs its plugin `mesh-lab` by a file's name."""
    return f"kubectl {PROGRAM}" if program.rpartition("/")[2] == _PLUGIN else PROGRAM


def _silence() -> int:
    """Handle a closed pipe: the reader has seen enough, and the flush at exit must not fail either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _explain(error: LabError) -> int:
    sys.stderr.write(f"mesh-lab: {error.message}\n")
    for line in error.hint.splitlines():
        sys.stderr.write(f"  {line}\n")
    return error.exit_code


def _record(error: Exception, state_dir: Path | None) -> int:
    import tempfile
    import traceback
    from pathlib import Path

    from mesh_lab.rfc3339 import file_stamp

    name = f"crash-{file_stamp()}-{os.getpid()}.log"
    text = f"command: {sys.argv!r}\npython: {sys.version}\n\n{''.join(traceback.format_exception(error))}"
    summary = f"{type(error).__name__}: {error}".splitlines()[0]
    for directory in (state_dir, Path(tempfile.gettempdir())):
        if directory is None or not directory.is_dir():
            continue
        try:
            (directory / name).write_text(text)
        except OSError:
            continue
        sys.stderr.write(f"mesh-lab: a fault of the lab itself ({summary}); particulars: {directory / name}\n")
        return 1
    sys.stderr.write(text)
    return 1

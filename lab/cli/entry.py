"""From the shell to a command and back to an exit code: 0 done, 1 failed, 2 asked wrongly.

A failure that its reader can put right is two lines, what and what to do. Any other is a fault of the lab: its
traceback goes to a file, and one line says where that is.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from lab.errors import LabError


def main() -> None:
    """The program `mesh-lab`."""
    from lab.cli.app import app, context

    try:
        app(prog_name="mesh-lab")
    except LabError as error:
        sys.exit(_explain(error))
    except BrokenPipeError:
        # Whoever read the output has seen enough; closing it again at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last resort, which loses nothing: the traceback is kept
        sys.exit(_record(error, context.state_dir()))


def _explain(error: LabError) -> int:
    sys.stderr.write(f"mesh-lab: {error.message}\n")
    for line in error.hint.splitlines():
        sys.stderr.write(f"  {line}\n")
    return error.exit_code


def _record(error: Exception, state_dir: Path | None) -> int:
    import traceback

    name = f"crash-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.log"
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

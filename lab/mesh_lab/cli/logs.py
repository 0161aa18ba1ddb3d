"""`mesh-lab logs`: the lab's own log, shown by tail, which can follow a file that is replaced."""

from __future__ import annotations

import os

from mesh_lab.errors import LabError
from mesh_lab.settings import Lab


def logs(lab: Lab, *, follow: bool, lines: int) -> None:
    """Replace this process by `tail`.

    Raises:
        LabError: there is no log yet.
    """
    log = lab.state_dir / "lab.log"
    try:
        log.open("rb").close()
    except FileNotFoundError:
        hint = f"The lab has not been up yet, or was reset: `{lab.command('up')}`."
        raise LabError(f"there is no {log}", hint=hint) from None
    except OSError as error:
        raise LabError(f"cannot read {log}: {error.strerror}") from error
    options = ["-F"] if follow else []
    os.execvp("tail", ["tail", "-n", str(lines), *options, str(log)])

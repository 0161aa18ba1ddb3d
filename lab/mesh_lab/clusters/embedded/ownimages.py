"""`[images]` of lab.toml as the kube process wants them: which directories of the host a container of each may see.

A container sees the host's programs and the lab's own environment, and nothing of anybody's home. An image with `path`
shows that folder, and one with `python` that virtual environment and the interpreter that it is made from, read-only
and at their own places, since virtual environments cannot be moved. The state of the lab is hidden where it lies below.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.errors import LabError
from mesh_lab.settings import Image, Lab, place

_STATE = ".lab*"
_PROGRAMS = ("/usr", "/bin", "/lib", "/lib64", "/sbin")
"""What each container sees anyway."""


def images(lab: Lab) -> dict[str, dict[str, Any]]:
    """The lab's own images; paths are relative to the directory of lab.toml.

    Raises:
        LabError: a path is no directory, or would show more than a program; an environment is none.
    """
    return {name: _image(lab, name, image) for name, image in lab.settings.images.items()}


def _image(lab: Lab, name: str, image: Image) -> dict[str, Any]:
    found = msgspec.structs.asdict(image)
    folder = _folder(lab, name, image.path) if image.path else None
    environment = _environment(lab, name, image.python) if image.python else None
    shown = [each for each in (folder, *(_interpreters(lab, name, environment) if environment else ())) if each]
    found["path"] = str(folder or "")
    found["python"] = str(environment or "")
    found["shown"] = [str(each) for each in _outermost(shown)]
    found["hidden"] = [str(each) for each in _states(lab) if any(each.is_relative_to(top) for top in shown)]
    return found


def _folder(lab: Lab, name: str, path: str) -> Path:
    """The program's folder: where its processes work."""
    return _shown(lab, name, "path", lab.directory / Path(path).expanduser())


def _environment(lab: Lab, name: str, path: str) -> Path:
    found = lab.directory / Path(path).expanduser()
    if not (found / "pyvenv.cfg").is_file() or not os.access(found / "bin" / "python", os.X_OK):
        where = place(lab.directory, "images", name, "python")
        raise LabError(
            f"{where}: {_tidy(found)} is no virtual environment: it has no pyvenv.cfg, or no bin/python that runs",
            hint=f"python3 -m venv {_tidy(found)}",
            exit_code=2,
        )
    return _shown(lab, name, "python", found)


def _interpreters(lab: Lab, name: str, environment: Path) -> Iterator[Path]:
    """The environment, and the installation of Python that its links lead to where that is not the system's."""
    yield environment
    base = (environment / "bin" / "python").resolve().parent.parent
    if not any(base.is_relative_to(each) for each in _PROGRAMS):
        yield _shown(lab, name, "python", base)


def _shown(lab: Lab, name: str, field: str, path: Path) -> Path:
    """A directory that may be shown.

    Raises:
        LabError: it is none, or holds what is nobody's program: all of the machine, or of a home.
    """
    where = place(lab.directory, "images", name, field)
    found = path.resolve()
    if not found.is_dir():
        raise LabError(f"{where}: {_tidy(path)} is not a directory", exit_code=2)
    home = Path.home().resolve()
    if home.is_relative_to(found) or found.parent == found:
        raise LabError(
            f"{where}: {found} has more in it than a program, and containers would see it all",
            hint="Name the program's own folder.",
            exit_code=2,
        )
    if found in {state.resolve() for state in _states(lab)}:
        raise LabError(f"{where}: {found} is the lab's own state", exit_code=2)
    return found


def _states(lab: Lab) -> list[Path]:
    """The directories in which this lab, and others of the same lab.toml, keep their state: keys are among it."""
    directory = lab.directory.resolve()
    return sorted({lab.state_dir.resolve(), *(each.resolve() for each in directory.glob(_STATE) if each.is_dir())})


def _outermost(paths: list[Path]) -> list[Path]:
    """Those that are in none of the others."""
    return sorted({path for path in paths if not any(path != top and path.is_relative_to(top) for top in paths)})


def _tidy(path: Path) -> str:
    return os.path.normpath(path)

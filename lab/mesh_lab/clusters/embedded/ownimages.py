"""`[images]` of lab.toml as the kube process wants them: which directories of the host a container of each may see.

A container sees the host's programs and the lab's own environment, and nothing of anybody's home. An image with `path`
shows that folder, and one with `python` that virtual environment and the interpreter that it is made from, read-only
and at their own places, since virtual environments cannot be moved: under the names that were given, for scripts and
links have these in them, and under the real ones. The state of the lab is hidden where it lies below.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.errors import LabError
from mesh_lab.settings import Image, Lab, place

_STATE = ".lab*"
_PROGRAMS = ("/usr", "/bin", "/lib", "/lib64", "/sbin")
"""What each container sees anyway."""
_SYSTEM = ("/dev", "/etc", "/proc", "/run", "/sys")
"""Where no program of anybody's is."""


def images(lab: Lab) -> dict[str, dict[str, Any]]:
    """The lab's own images; paths are relative to the directory of lab.toml.

    Raises:
        LabError: a path is no directory, or would show more than a program; an environment is none.
    """
    return {name: _image(lab, name, image) for name, image in lab.settings.images.items()}


def _image(lab: Lab, name: str, image: Image) -> dict[str, Any]:
    found = msgspec.structs.asdict(image)
    shown: list[Path] = []
    if image.path:
        folder = _named(lab, image.path)
        found["path"] = str(folder)
        shown += _shown(lab, name, "path", folder)
    if image.python:
        environment = _environment(lab, name, _named(lab, image.python))
        found["python"] = str(environment)
        for each in (environment, *_installations(environment)):
            shown += _shown(lab, name, "python", each)
    tops = _outermost(shown)
    found["shown"] = [str(each) for each in tops]
    found["hidden"] = [str(each) for each in _states(lab) if any(each.is_relative_to(top) for top in tops)]
    return found


def _named(lab: Lab, path: str) -> Path:
    """A path from the directory of lab.toml, with the links that it names."""
    return Path(os.path.normpath(lab.directory.absolute() / Path(path).expanduser()))


def _environment(lab: Lab, name: str, found: Path) -> Path:
    """A virtual environment.

    Raises:
        LabError: it is none.
    """
    if not (found / "pyvenv.cfg").is_file() or not os.access(found / "bin" / "python", os.X_OK):
        where = place(lab.directory, "images", name, "python")
        raise LabError(
            f"{where}: {found} is no virtual environment: it has no pyvenv.cfg, or no bin/python that runs",
            hint=f"python3 -m venv {found}",
            exit_code=2,
        )
    return found


def _installations(environment: Path) -> Iterator[Path]:
    """The installations of Python that an environment leads to, but for the system's: as it names one, and really.

    https://docs.python.org/3/library/venv.html has `home` of pyvenv.cfg.
    """
    text = (environment / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    facts = dict(re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", text, re.MULTILINE))
    programs = [Path(facts["home"])] if facts.get("home") else []
    for program in (*programs, (environment / "bin" / "python").resolve().parent):
        if program.is_dir() and not any(program.is_relative_to(each) for each in _PROGRAMS):
            yield program.parent


def _shown(lab: Lab, name: str, field: str, path: Path) -> list[Path]:
    """A directory that may be shown, as it is named and as it really is.

    Raises:
        LabError: it is none, or holds what is nobody's program: all of the machine, or of a home.
    """
    where = place(lab.directory, "images", name, field)
    found = path.resolve()
    if not found.is_dir():
        raise LabError(f"{where}: {path} is not a directory", exit_code=2)
    home = Path.home().resolve()
    if home.is_relative_to(found) or found.parent == found or any(found.is_relative_to(each) for each in _SYSTEM):
        raise LabError(
            f"{where}: {found} has more in it than a program, and containers would see it all",
            hint="Name the program's own folder.",
            exit_code=2,
        )
    if any(found.is_relative_to(state.resolve()) for state in _states(lab)):
        raise LabError(f"{where}: {found} is the lab's own state", exit_code=2)
    return [path, found]


def _states(lab: Lab) -> list[Path]:
    """The directories in which this lab, and others of the same lab.toml, keep their state: keys are among it."""
    named = [lab.directory.absolute(), lab.directory.resolve()]
    present = {each for directory in named for each in directory.glob(_STATE) if each.is_dir()}
    return sorted({*present, *(directory / lab.state_dir.name for directory in named)})


def _outermost(paths: list[Path]) -> list[Path]:
    """Those that are in none of the others."""
    return sorted({path for path in paths if not any(path != top and path.is_relative_to(top) for top in paths)})

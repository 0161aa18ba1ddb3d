"""Which locustfile a run has: the user's, Bookinfo's, or one that asks for one address. The user's is tried first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from mesh_lab.errors import LabError
from mesh_lab.load import limits
from mesh_lab.resources import LOADTESTS

USERS = "users.py"
"""The name that the file with the users has in the cluster."""
SHARED = (
    "arrivals.py",
    "master.sh",
    "measuring.py",
    "meshgrpc.py",
    "meshload.py",
    "meshtcp.py",
    "openmodel.py",
    "shapes.py",
    "stepping.py",
    "steps.py",
    "windows.py",
)
"""What every run has besides."""
BOOKINFO = "bookinfo.py"
OF_TARGETS = {"http": "page.py", "https": "page.py", "tcp": "exchange.py", "grpc": "call.py"}
"""The users that ask for one address, by its scheme."""
_TRIAL_SECONDS = 60.0
_LARGEST_BYTES = 900_000  # of a ConfigMap, which may have 1 MiB with all of its files
_USERS_LISTED = "Available Users:"
_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)


def builtin(target: str) -> str:
    """The lab's own users for a target; Bookinfo's where there is none."""
    return OF_TARGETS[urlsplit(target).scheme] if target else BOOKINFO


def files(locustfile: Path | None, target: str = "") -> dict[str, str]:
    """The files of a run, by their names in the cluster: with a locustfile's users, or those for one address.

    Without either they are Bookinfo's.

    Raises:
        LabError: the locustfile cannot be read, or is too large.
    """
    source = locustfile or LOADTESTS / builtin(target)
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise LabError(f"cannot read the locustfile {source}: {why}", exit_code=2) from error
    if len(text.encode()) > _LARGEST_BYTES:
        raise LabError(f"the locustfile {source} has more than {_LARGEST_BYTES} bytes", exit_code=2)
    return {path.name: path.read_text(encoding="utf-8") for path in shared()} | {USERS: text}


def shared() -> list[Path]:
    """What every run has besides its users."""
    return [*(LOADTESTS / name for name in SHARED), Path(limits.__file__)]


def try_out(locustfile: Path, contents: dict[str, str], shape: str) -> None:
    """Let Locust load a user's locustfile on this machine, where Locust is installed, without a request.

    Raises:
        LabError: it raises, or has no users; the message has its file and line.
    """
    if find_spec("locust") is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in contents.items():
            Path(scratch, name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "locust", "-f", f"{scratch}/meshload.py,{scratch}/{USERS}", "--list"]
        environment = {**os.environ, "LOAD_SHAPE": shape}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TRIAL_SECONDS,
                cwd=scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{locustfile} is not loaded within {_TRIAL_SECONDS:g} s", exit_code=2) from error
    if trouble := _trouble(locustfile, done):
        raise LabError(f"the locustfile cannot be used: {trouble}", exit_code=2)


def _trouble(locustfile: Path, done: subprocess.CompletedProcess[str]) -> str:
    """What is wrong, by what Locust prints: the file's line, and the last line of the traceback."""
    if done.returncode == 0:
        users = done.stdout.partition(_USERS_LISTED)[2].split()
        return "" if users else f"{locustfile} has no class of users (locust.User, HttpUser, FastHttpUser)"
    output = done.stderr + done.stdout
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    frames = [found["line"] for found in _FRAME.finditer(output) if Path(found["file"]).name == USERS]
    place = f"{locustfile}:{frames[-1]}" if frames else str(locustfile)
    return f"{place}: {lines[-1] if lines else 'locust says nothing'}"

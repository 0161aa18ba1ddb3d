"""External programs: find them, run them within a time limit, report their output.

A program that is missing is reported with its purpose and how to get it. The output of one that fails is quoted. One
that hangs is ended with all its children. On Linux none outlives this process, not even when it is killed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh_lab.errors import LabError

_END_PATIENCE_SECONDS = 5.0
_SILENCE_SECONDS = 15.0
_SHOWN_LINES = 20
_VERSION_SECONDS = 15.0
_KEPT_LINES = 2000


class ProgramFailedError(LabError):
    """A program ended with an exit code other than 0, or did not end in time. `output` is what it had printed."""

    def __init__(self, message: str, output: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.output = output


@dataclass(frozen=True)
class Program:
    """A program that the lab runs: what for, and how a person gets it.

    In `remedy`, `{install}` stands for the command that downloads the pinned version.
    """

    name: str
    purpose: str
    remedy: str
    version: tuple[str, ...] = ("version",)


@dataclass(frozen=True)
class Programs:
    """Where programs are looked for: the lab's own directory first, then PATH. `install` is what fills the former."""

    own: Path
    environ: Mapping[str, str]
    install: str = "mesh-lab tools install"

    def find(self, name: str) -> str | None:
        """The path of `name`, or None."""
        path = os.pathsep.join((str(self.own), self.environ.get("PATH", os.defpath)))
        return shutil.which(name, path=path)

    def need(self, program: Program) -> str:
        """Return the path of a program.

        Raises:
            LabError: it is missing; says why it is needed and how to get it.
        """
        found = self.find(program.name)
        if found is None:
            raise LabError(f"{program.name} is not installed: {program.purpose}", hint=self.remedy(program))
        return found

    def remedy(self, program: Program) -> str:
        """How a person gets the program."""
        return program.remedy.replace("{install}", self.install)

    def version(self, program: Program) -> tuple[int, ...]:
        """Return the version of the program that `find` finds, empty where it tells none.

        Raises:
            LabError: the program is missing, or fails.
        """
        text = run([self.need(program), *program.version], timeout=_VERSION_SECONDS, environ=self.environment())
        found = re.search(r"v?(\d+)\.(\d+)\.(\d+)", text)
        return tuple(int(part) for part in found.groups()) if found else ()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment for a program that calls others of these: they are found where `find` finds them."""
        path = os.pathsep.join((str(self.own), self.environ.get("PATH", os.defpath)))
        return {**self.environ, "PATH": path, **more}


def run(
    command: Sequence[str],
    *,
    timeout: float,
    environ: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Return the standard output of `command`.

    Raises:
        ProgramFailedError: it fails or takes more than `timeout` seconds.
    """
    process = start(command, environ, stdin=stdin is not None, apart=True)
    with process:
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            end(process)
            out, err = process.communicate()
            raise ProgramFailedError(_late(command, timeout, err or out), f"{out}{err}") from None
        except BaseException:
            end(process)
            raise
    if process.returncode:
        raise ProgramFailedError(_failed(command, process.returncode, err.strip() or out.strip()), f"{out}{err}")
    return out


def stream(
    command: Sequence[str],
    *,
    timeout: float,
    report: Callable[[str], None],
    environ: Mapping[str, str] | None = None,
    when_silent: Callable[[], None] | None = None,
) -> str:
    """Run `command` and report each line as it comes; return its whole output, standard error included.

    `when_silent` is called whenever there was no output for 15 seconds.

    Raises:
        ProgramFailedError: it fails or takes more than `timeout` seconds.
    """
    process = start(command, environ)
    output: list[str] = []
    deadline = time.monotonic() + timeout
    with process:
        try:
            for line in lines(process, deadline, when_silent):
                output = [*output[-_KEPT_LINES:], line]
                report(line)
            left = max(0.0, deadline - time.monotonic())
            code = process.wait(timeout=left)
        except subprocess.TimeoutExpired:
            end(process)
            raise ProgramFailedError(_late(command, timeout, "\n".join(output)), "\n".join(output)) from None
        except BaseException:
            end(process)
            raise
    if code:
        raise ProgramFailedError(_failed(command, code, "\n".join(output)), "\n".join(output))
    return "\n".join(output)


def start(
    command: Sequence[str], environ: Mapping[str, str] | None = None, *, stdin: bool = False, apart: bool = False
) -> subprocess.Popen[str]:
    """Start a process group of its own: a Ctrl-C reaches only this process, which then ends the whole group with `end`.

    `apart`: standard error has its own pipe, instead of going into the output.

    Raises:
        LabError: it cannot be run.
    """
    if shutil.which(command[0], path=(os.environ if environ is None else environ).get("PATH")) is None:
        reason = errno.EACCES if Path(command[0]).exists() else errno.ENOENT
        raise LabError(f"cannot run {command[0]}: {os.strerror(reason)}")
    try:
        return subprocess.Popen(
            [*_mortal(), *command],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if apart else subprocess.STDOUT,
            text=True,
            errors="replace",
            env=None if environ is None else dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        raise LabError(f"cannot run {command[0]}: {error.strerror}") from error


@functools.cache
def _mortal() -> tuple[str, ...]:
    """Return the command that makes a program end with the thread that starts it; empty where the system has none.

    A killed process cannot end its children. setpriv asks the kernel to do that, and then executes the program.
    """
    found = shutil.which("setpriv") if sys.platform == "linux" else None
    return (found, "--pdeathsig", "KILL", "--") if found else ()


def lines(
    process: subprocess.Popen[str], deadline: float, when_silent: Callable[[], None] | None = None
) -> Iterator[str]:
    """Yield lines as they come, until the output is closed. A line that is drawn over ends with a carriage return.

    Raises:
        subprocess.TimeoutExpired: at `deadline`, in `time.monotonic` seconds.
    """
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(min(left, _SILENCE_SECONDS)):
                if when_silent is not None:
                    when_silent()
                continue
            chunk = os.read(descriptor, 65536)
            if not chunk:
                yield from _texts([pending])
                return
            *whole, pending = (pending + chunk).replace(b"\r", b"\n").split(b"\n")
            yield from _texts(whole)
    yield from _texts([pending])
    raise subprocess.TimeoutExpired(process.args, 0)


def _texts(lines: Sequence[bytes]) -> Iterator[str]:
    for line in lines:
        if text := line.decode("utf-8", "replace").rstrip():
            yield text


def end(process: subprocess.Popen[str]) -> None:
    """End the whole process group: first asked, then killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_END_PATIENCE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _shown(command: Sequence[str]) -> str:
    words = [Path(command[0]).name, *command[1:4]]
    return f"`{' '.join(words)}{' ...' if len(command) > len(words) else ''}`"


def _failed(command: Sequence[str], code: int, output: str) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return "\n".join(filter(None, (f"{_shown(command)} {how}", _tail(output))))


def _late(command: Sequence[str], timeout: float, output: str) -> str:
    lines = (f"{_shown(command)} did not end within {timeout:g} s and was ended; its last words:", _tail(output))
    return "\n".join(lines if output.strip() else (lines[0].replace("; its last words:", " without a word"),))


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_SHOWN_LINES:])

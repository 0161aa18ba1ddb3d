"""An interactive shell in a terminal of its own: what a person types, and what then stands there."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

READY = "READY"
LIMIT_SECONDS = 60.0
SET_UP = {
    "bash": "bind 'set enable-bracketed-paste off'; source <(mesh-lab completion bash)",
    "zsh": "unsetopt ZLE_BRACKETED_PASTE; autoload -U compinit; compinit -u -D; source <(mesh-lab completion zsh)",
}
COMMANDS = {"bash": ("bash", "--norc", "-i"), "zsh": ("zsh", "-f", "-i")}


class Terminal:
    """The terminal's other end."""

    def __init__(self, end: int) -> None:
        self._end = end

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def shows(self, wanted: str) -> str:
        """All that was written until `wanted` was.

        Raises:
            AssertionError: it did not come; says what did.
        """
        seen, deadline = "", time.monotonic() + LIMIT_SECONDS
        while wanted not in seen:
            if not select.select([self._end], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"{wanted!r} is not in {seen!r}")
            seen += os.read(self._end, 65536).decode(errors="replace")
        return seen


@contextmanager
def shell(name: str, directory: Path, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """A shell that has read mesh-lab's completion."""
    ours, theirs = pty.openpty()
    program = ["setsid", "--ctty", *COMMANDS[name]]
    variables = {**environment, "TERM": "dumb", "PS1": "% ", "COLUMNS": "500"}
    process = subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, cwd=directory, env=variables)
    os.close(theirs)
    try:
        terminal = Terminal(ours)
        # What is typed is shown, too: only the shell joins the two halves.
        terminal.type(f"stty cols 500; {SET_UP[name]}; echo {READY[:2]}''{READY[2:]}\n")
        terminal.shows(READY)
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def missing(name: str) -> str:
    """Why no test is possible with a shell; empty when it is here."""
    return "" if shutil.which(name) else f"{name} is not installed (apt-get install {name})"

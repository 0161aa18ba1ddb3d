"""Commands that run in a pod, or beside a test, for as long as the test wants."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import IO, Any

from mesh_lab.client.api import Api
from mesh_lab.client.kubectl import CommandFailed


class Running:
    """A command under way in a pod."""

    def __init__(self, command: Sequence[str], *, stdin: bool = False) -> None:
        self._command = list(command)
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def stdout(self) -> IO[str]:
        """The command's output, as it comes."""
        assert self._process.stdout is not None
        return self._process.stdout

    def finish(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """Close its input, wait for its end and give the rest of its output.

        Raises:
            TimeoutError: it did not end in time (and was ended).
        """
        try:
            out, err = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{' '.join(self._command)} did not end within {timeout:g} s") from None
        return subprocess.CompletedProcess(self._command, self._process.returncode, out, err)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


class Capture:
    """Packets of a pod's network, looked at while a `with` block runs; afterwards `findings` holds what was seen."""

    def __init__(self, api: Api, namespace: str, pod: str, ports: Sequence[int], find: Sequence[str] = ()) -> None:
        command = ["mesh-lab-app", "capture", "--seconds", "60"]
        command += [part for port in ports for part in ("--port", str(port))]
        command += [part for text in find for part in ("--find", text)]
        self._arguments = api.kubectl_command("exec", "-i", "-n", namespace, pod, "-c", "capture", "--", *command)
        self.findings: dict[str, Any] = {}

    def __enter__(self) -> Capture:
        self._running = Running(self._arguments, stdin=True)
        first = self._running.stdout.readline()
        if "capturing" not in first:
            done = self._running.finish(10)
            raise CommandFailed(" ".join(done.args), done)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._running.kill()
            return
        done = self._running.finish(20)
        if done.returncode:
            raise CommandFailed(" ".join(done.args), done)
        self.findings = json.loads(done.stdout)

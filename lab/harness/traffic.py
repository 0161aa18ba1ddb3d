"""Requests from inside the cluster: the traffic client, run in its pod by kubectl exec."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from lab.harness.api import Api, CommandFailed
from lab.harness.results import Results, parse_results
from lab.harness.workloads import HTTP_PORT

EXEC_MARGIN_SECONDS = 20.0


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


class Sending:
    """Requests that are being sent; what is left of them ends with its `with` block."""

    def __init__(self, running: Running, limit: float) -> None:
        self._running = running
        self._limit = limit

    def results(self) -> Results:
        """Wait for the end; every result.

        Raises:
            CommandFailed: the client could not run.
        """
        done = self._running.finish(self._limit)
        if done.returncode not in (0, 1) or not done.stdout:
            raise CommandFailed(done.args, done)
        return parse_results(done.stdout.splitlines())

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.kill()


class TrafficClient:
    """A pod that sends requests. `find_pod` gives its present name."""

    def __init__(self, api: Api, namespace: str, find_pod: Callable[[], str], container: str = "client") -> None:
        self._api = api
        self._namespace = namespace
        self._find_pod = find_pod
        self._container = container

    @property
    def pod(self) -> str:
        """The pod's name."""
        return self._find_pod()

    def send(self, url: str, count: int = 1, **options: Any) -> Results:
        """Send requests and give every result.

        Options are those of `mesh-lab-app send`, with underscores: rate, concurrency, method, headers (a mapping),
        body, timeout, deadline, http2, new_connections, distinct_ids, show_body, show_header (a list), ca, insecure,
        server_name.

        Raises:
            CommandFailed: the client could not run.
        """
        with self.sending(url, count, **options) as sending:
            return sending.results()

    def sending(self, url: str, count: int = 1, **options: Any) -> Sending:
        """Begin to send requests, to do something else meanwhile: `with client.sending(...) as sending`."""
        deadline = float(options.get("deadline", 120.0))
        command = send_command(url, count, options)
        arguments = self._api.kubectl_command(
            "exec", "-n", self._namespace, self.pod, "-c", self._container, "--", *command
        )
        return Sending(Running(arguments), deadline + EXEC_MARGIN_SECONDS)


class EchoControl:
    """One pod of an echo server, told and asked over its own loopback: past the mesh, whatever is configured there."""

    def __init__(self, api: Api, namespace: str, pod: str) -> None:
        self._client = TrafficClient(api, namespace, lambda: pod, "echo")

    def counts(self) -> dict[str, Any]:
        """Requests since the last reset: `total`, and `attempts` by request id."""
        return self._ask("/counts")

    def reset(self) -> None:
        """Forget what was counted."""
        self._ask("/reset")

    def holding(self, group: str = "") -> int:
        """How many requests are held open."""
        return int(self._ask(f"/holding?group={group}")["holding"])

    def release(self, group: str = "") -> int:
        """Let the held requests go; how many there were."""
        return int(self._ask(f"/release?group={group}")["released"])

    def answer_all_with(self, status: int) -> None:
        """Be a broken endpoint from now on."""
        self._ask(f"/behave?status={status}")

    def answer_normally(self) -> None:
        """Be well again."""
        self._ask("/behave")

    def _ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.send(f"http://127.0.0.1:{HTTP_PORT}{path}", show_body=True)[0].json
        return answer


def send_command(url: str, count: int, options: Mapping[str, Any]) -> list[str]:
    """The command line of `mesh-lab-app send`."""
    command = ["mesh-lab-app", "send", url, "--count", str(count)]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "headers":
            command += [part for key, text in value.items() for part in ("--header", f"{key}:{text}")]
        elif isinstance(value, bool):
            command += [flag] if value else []
        elif isinstance(value, list | tuple):
            command += [part for item in value for part in (flag, str(item))]
        else:
            command += [flag, str(value)]
    return command


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
            raise CommandFailed(done.args, done)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._running.kill()
            return
        done = self._running.finish(20)
        if done.returncode:
            raise CommandFailed(done.args, done)
        self.findings = json.loads(done.stdout)

"""A node in namespaces of its own, shared by the tests of a session."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kube.node.pods import Object, finished, once, ready, status_of

ROOT = Path(__file__).parents[4]
LIMIT = 20.0  # seconds that any one thing may take


class NodeError(Exception):
    """An ApiError on the other side: (code, message)."""


class Node:
    """The test's side of `isolated.IsolatedNode`: its methods by their names."""

    def __init__(self, link: socket.socket) -> None:
        self._file = link.makefile("rwb")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda **fields: self._call(name, fields)

    def _call(self, name: str, fields: dict[str, Any]) -> Any:
        self._file.write(json.dumps({"do": name, **fields}).encode() + b"\n")
        self._file.flush()
        answer = json.loads(self._file.readline())
        if "error" in answer:
            raise NodeError(*answer["error"])
        return answer["is"]

    def close(self) -> None:
        self._file.close()

    def run(self, obj: dict[str, Any], until: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Create the pod and wait for a state of it."""
        self.create(obj=obj)
        return self.wait(obj["metadata"]["name"], until)

    def wait(self, name: str, until: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The pod, as soon as `until` holds for it."""
        version, deadline = "", time.monotonic() + LIMIT
        while True:
            pod: dict[str, Any] = self.changed(name=name, version=version)
            if until(pod):
                return pod
            assert time.monotonic() < deadline, pod["status"]
            version = pod["metadata"]["resourceVersion"]

    def output(self, name: str, **options: Any) -> str:
        """What the pod's container wrote."""
        return self.logs(name=name, options=options)  # type: ignore[no-any-return]

    def sh(
        self, name: str, script: str, *, stdin: str | None = None, size: list[int] | None = None
    ) -> tuple[int, str, str]:
        """Run a script in the pod's container: exit code, output, errors."""
        code, out, err = self.exec(name=name, command=["sh", "-c", script], stdin=stdin, size=size)
        return code, out, err

    def request(self, name: str, port: int, data: bytes) -> bytes:
        """Send bytes to a port inside the pod and read the answer to its end."""
        return base64.b64decode(self.connect(name=name, port=port, data=base64.b64encode(data).decode()))


def _namespaces() -> list[str]:
    """The command that makes the namespaces of a lab, as root or as an ordinary user; skips where there are none."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux)")
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    command = ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=10, check=False)
    if tried.returncode:
        pytest.skip(f"needs user namespaces and subordinate ids (uidmap): {tried.stderr.strip()}")
    return command


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running node."""
    command = _namespaces()
    state = tmp_path_factory.mktemp("node")
    ours, theirs = socket.socketpair()
    ours.settimeout(LIMIT)
    program = [sys.executable, str(Path(__file__).with_name("isolated.py")), str(theirs.fileno()), str(state)]
    with ours, theirs:
        process = subprocess.Popen(
            [*command, *program],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        )
        theirs.close()
        running = Node(ours)
        yield running
        running.close()
    process.wait(timeout=LIMIT)


@pytest.fixture
def output(node: Node) -> Callable[..., str]:
    """What a script prints in a container, by the name of its pod."""

    def run(name: str, script: str, **fields: Any) -> str:
        pod = node.run(once(name, script, **fields), finished)
        assert pod["status"]["phase"] == "Succeeded", (status_of(pod), node.output(name))
        text = node.output(name)
        node.delete(name=name, grace=0)
        return text

    return run


@pytest.fixture
def pod(node: Node, request: pytest.FixtureRequest) -> Callable[..., Object]:
    """Runs a pod until it is ready (or whatever else is asked for) and removes it after the test."""

    def run(obj: Object, until: Callable[[Object], Any] = ready) -> Object:
        name = obj["metadata"]["name"]
        request.addfinalizer(lambda: node.get(kind="Pod", name=name) and node.delete(name=name, grace=0))
        return node.run(obj, until)

    return run


def until(holds: Callable[[], Any]) -> None:
    """Wait for what has no watch: events, which are written in the background, and the kernel's clean-up."""
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""A port of a pod on this machine's loopback, by `kubectl port-forward`, for as long as it is needed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from mesh_lab import programs
from mesh_lab.errors import LabError

_START_SECONDS = 20.0
_HTTP_OK = 200
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


class ForwardError(LabError):
    """The port cannot be reached, or what answers there is not as expected."""


@contextlib.contextmanager
def forwarded(kubectl: Sequence[str], namespace: str, pod: str, port: int) -> Iterator[int]:
    """Forward a port during a `with` block; gives the local port. `kubectl` is its command line up to the verb.

    Raises:
        ForwardError: the port cannot be forwarded; the message quotes kubectl.
    """
    command = [*kubectl, "port-forward", "--namespace", namespace, f"pod/{pod}", f":{port}"]
    try:
        process = programs.start(command)
    except LabError as error:
        raise ForwardError(f"cannot forward a port: {error.message}") from error
    with process:
        try:
            local = _local_port(process)
            assert process.stdout is not None
            # It prints a line for each connection, and would block if the pipe were not read.
            threading.Thread(target=_listen, args=(os.dup(process.stdout.fileno()),), daemon=True).start()
            yield local
        finally:
            programs.end(process)


def _local_port(process: subprocess.Popen[str]) -> int:
    lines = []
    try:
        for line in programs.lines(process, time.monotonic() + _START_SECONDS):
            if found := _FORWARDING.match(line):
                return int(found[1])
            lines.append(line)
    except subprocess.TimeoutExpired:
        lines.append(f"no port within {_START_SECONDS:g} s")
    raise ForwardError(f"cannot forward a port: {' '.join(lines) or 'kubectl ended without a word'}")


def _listen(descriptor: int) -> None:
    with open(descriptor, "rb", buffering=0) as output:
        while output.read(65536):
            pass


def get(port: int, path: str, *, timeout: float) -> Any:
    """Return the JSON document at `path` from the server on a local port.

    Raises:
        ForwardError: there is no answer, or it is not as expected.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        with connection.getresponse() as response:
            body = response.read()
            if response.status != _HTTP_OK:
                text = body.decode("utf-8", "replace").strip()[:200]
                raise ForwardError(f"{path} answers {response.status} {text}".rstrip())
            return json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ForwardError(f"{path} does not answer: {error}") from error
    finally:
        connection.close()

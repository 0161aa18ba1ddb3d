"""A port of a pod on this machine's loopback, by `kubectl port-forward`, for as long as it is needed."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import selectors
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

_START_S = 20.0
_END_S = 5.0
_HTTP_OK = 200
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


class ForwardError(Exception):
    """The port cannot be reached, or what answers there is not as expected."""


@contextlib.contextmanager
def forwarded(kubectl: Sequence[str], namespace: str, pod: str, port: int) -> Iterator[int]:
    """The local port. `kubectl` is its command line up to the verb. Raises `ForwardError` with kubectl's words."""
    command = [*kubectl, "port-forward", "--namespace", namespace, f"pod/{pod}", f":{port}"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield _local_port(process)
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _local_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    deadline = time.monotonic() + _START_S
    said = []
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            line = process.stdout.readline()
            if not line:
                break
            if found := _FORWARDING.match(line):
                return int(found[1])
            said.append(line.strip())
    raise ForwardError(f"cannot forward a port: {' '.join(said) or f'no answer within {_START_S:g} s'}")


def get(port: int, path: str, *, timeout: float) -> Any:
    """The JSON document at `path` of what answers on a local port. Raises `ForwardError`."""
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

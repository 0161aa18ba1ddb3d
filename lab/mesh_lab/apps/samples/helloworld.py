"""`mesh-lab-app helloworld`: `/hello` tells version and pod, after a little work for a processor, as the sample has it.

The work makes an autoscaler see the requests; it takes some hundredths of a second.
"""

from __future__ import annotations

import argparse
import math
import os
import socket
from collections.abc import Mapping, Sequence

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.service import run

PORT = 5000
ROUNDS = 200_000
_HTML = "text/html; charset=utf-8"


class HelloWorld:
    """The handler."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._version = environment.get("SERVICE_VERSION", "v1")
        self._instance = environment.get("HOSTNAME") or socket.gethostname()

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == "/health":
            return Response(200, b"Helloworld is healthy", _HTML)
        if request.path != "/hello":
            return Response(404, b"not found: this service has /hello and /health\n")
        _work()
        return Response(200, f"Hello version: {self._version}, instance: {self._instance}\n".encode(), _HTML)


def _work() -> float:
    number = 0.0001
    for _ in range(ROUNDS):
        number += math.sqrt(number)
    return number


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="helloworld", description="Tells its version on /hello.")
    parser.add_argument("--port", type=int, default=PORT)
    options = parser.parse_args(arguments)
    return run("helloworld", HelloWorld(os.environ), [options.port])

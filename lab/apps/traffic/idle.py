"""`mesh-lab-app traffic`: keeps a pod alive to send requests from (`kubectl exec POD -- mesh-lab-app send ...`)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lab.apps.http.messages import Request, Response
from lab.apps.service import run


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="mesh-lab-app traffic", description="Waits; answers /health on its port.")
    parser.add_argument("--serve", action="store_true", help="the default: wait for commands by kubectl exec")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="default 8080")
    options = parser.parse_args(arguments)
    return run("traffic client", _health, [options.port])


async def _health(request: Request) -> Response:
    if request.path == "/health":
        return Response(200, b'{"status": "healthy"}\n', "application/json")
    return Response(404, b"this pod sends requests: kubectl exec POD -- mesh-lab-app send URL\n")

"""`mesh-lab-app traffic`: a pod to send from, by `kubectl exec POD -- mesh-lab-app send ...` or its control port."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.service import run
from mesh_lab.apps.traffic.port import add_option, with_control


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 2 for a control port without a token."""
    parser = argparse.ArgumentParser(prog="mesh-lab-app traffic", description="Waits; answers /health on its port.")
    parser.add_argument("--serve", action="store_true", help="the default: wait for commands by kubectl exec")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="default 8080")
    add_option(parser)
    options = parser.parse_args(arguments)
    handler, more = with_control(parser, options.control, _health)
    return run("traffic client", handler, [options.port, *more])


async def _health(request: Request) -> Response:
    if request.path == "/health":
        return Response(200, b'{"status": "healthy"}\n', "application/json")
    return Response(404, b"this pod sends requests: kubectl exec POD -- mesh-lab-app send URL\n")

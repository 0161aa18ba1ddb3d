"""`mesh-lab-app health`: two ports with `/foo` and `/bar`, for liveness probes (Istio's sample health-check)."""

from __future__ import annotations

from collections.abc import Sequence

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.service import run

PORTS = (8001, 8002)


async def answer(request: Request) -> Response:
    """Tell port and path."""
    name = request.path.removeprefix("/")
    if name not in ("foo", "bar"):
        return Response(404, b"404 page not found\n")
    return Response(200, f"Listening on {request.port}: {name} ".encode())


def main(_: Sequence[str]) -> int:
    """Serve until SIGTERM."""
    return run("health", answer, PORTS)

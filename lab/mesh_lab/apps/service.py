"""What every sample service does around its handler: open ports, say so, and end on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Sequence

from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.server import DRAIN_SECONDS, LINGER_SECONDS, Server, stop_requested


def run(
    name: str,
    handler: Handler,
    ports: Sequence[int],
    linger: float = LINGER_SECONDS,
    drain: float = DRAIN_SECONDS,
) -> int:
    """Serve until SIGTERM. Exit code 1 when a port cannot be opened."""
    # The imports live as long as the process: keeping them from the garbage collector spares copies of shared pages.
    gc.freeze()
    return asyncio.run(_run(name, handler, ports, linger, drain))


async def _run(name: str, handler: Handler, ports: Sequence[int], linger: float, drain: float) -> int:
    stop = stop_requested()
    server = Server(handler)
    try:
        for port in ports:
            log(f"{name} listens on port {await server.listen(None, port)}")
    except OSError as error:
        log(f"{name}: cannot listen: {error.strerror or error}")
        return 1
    await stop.wait()
    await server.finish(linger, drain)
    log(f"{name} has finished what was under way")
    return 0


def log(line: str) -> None:
    """Write to the log of the pod."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()

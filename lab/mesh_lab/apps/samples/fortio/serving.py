"""The ports of `fortio server`, open until SIGTERM."""

from __future__ import annotations

from collections.abc import Mapping

from mesh_lab.apps.http import server as http
from mesh_lab.apps.samples.fortio.server import Server, listen_echo
from mesh_lab.apps.service import log


async def serve(ports: Mapping[str, int]) -> int:
    """Serve; exit code 1 when a port cannot be opened."""
    stop = http.stop_requested()
    server = http.Server(Server())
    echo = None
    for name, port in ports.items():
        try:
            if name == "tcp-port":
                echo = await listen_echo(port)
            else:
                await server.listen(None, port)
        except OSError as error:
            log(f"fortio: cannot listen on {port}: {error.strerror or error}")
            return 1
        log(f"fortio {name.removesuffix('-port')} listens on port {port}")
    await stop.wait()
    if echo is not None:
        echo.close()
    await server.finish(http.LINGER_SECONDS, http.DRAIN_SECONDS)
    return 0

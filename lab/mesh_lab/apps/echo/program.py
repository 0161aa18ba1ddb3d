"""`mesh-lab-app echo`: HTTP/1.1 and HTTP/2 on each --port, plain TCP on each --tcp."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from mesh_lab.apps.echo.handler import Echo
from mesh_lab.apps.echo.tcp import listen_tcp
from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.server import LINGER_SECONDS, Server, stop_requested
from mesh_lab.apps.service import log
from mesh_lab.apps.traffic.port import add_option, with_control


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 when a port cannot be opened, 2 for a control port without a token."""
    parser = argparse.ArgumentParser(prog="mesh-lab-app echo", description="Reports what it received, as JSON.")
    parser.add_argument("--port", type=int, action="append", metavar="N", help="HTTP/1.1 and HTTP/2 (default 8080)")
    parser.add_argument("--tcp", type=int, action="append", default=[], metavar="N", help="plain TCP")
    parser.add_argument("--drain", type=float, default=5.0, metavar="S", help="time to finish requests after SIGTERM")
    parser.add_argument(
        "--linger", type=float, default=LINGER_SECONDS, metavar="S", help="time to go on serving after SIGTERM"
    )
    add_option(parser)
    options = parser.parse_args(arguments)
    echo = Echo()
    handler, more = with_control(parser, options.control, echo)
    return asyncio.run(
        _run(echo, handler, [*(options.port or [8080]), *more], options.tcp, options.linger, options.drain)
    )


async def _run(
    echo: Echo, handler: Handler, ports: Sequence[int], tcp_ports: Sequence[int], linger: float, drain: float
) -> int:
    stop = stop_requested()
    server = Server(handler)
    try:
        for port in ports:
            log(f"echo {echo.version} listens on port {await server.listen(None, port)}")
        tcp = [await listen_tcp(port, f"{echo.version} {echo.hostname}") for port in tcp_ports]
    except OSError as error:
        log(f"echo: cannot listen: {error.strerror or error}")
        return 1
    await stop.wait()
    await server.finish(linger, drain)
    for listener in tcp:
        listener.close()
    log(f"echo {echo.version} has finished what was under way")
    return 0

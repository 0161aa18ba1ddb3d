"""`mesh-lab-app tcp-echo PORTS PREFIX`: returns each line with PREFIX before it, as Istio's tcp-echo-server does."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Sequence

from mesh_lab.apps.http.server import stop_requested
from mesh_lab.apps.service import log

_MAX_LINE = 1024 * 1024


async def listen(port: int, prefix: str, host: str | None = None) -> asyncio.Server:
    """Open a port; the caller closes the server.

    Raises:
        OSError: the port is taken or not permitted.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A line beyond the limit is a ValueError of `readline`; like a reset it ends the connection.
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, ValueError):
            while (line := await reader.readline()).endswith(b"\n"):
                response = f"{prefix} ".encode() + line
                log(f"request: {line.decode('utf-8', 'replace').rstrip()}")
                log(f"response: {response.decode('utf-8', 'replace').rstrip()}")
                writer.write(response)
                await writer.drain()

    return await asyncio.start_server(answer, host, port, limit=_MAX_LINE)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 when a port cannot be opened, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="tcp-echo", description="Returns each line with a prefix.")
    parser.add_argument("ports", help="separated by commas: 9000,9001")
    parser.add_argument("prefix")
    options = parser.parse_args(arguments)
    ports = options.ports.split(",")
    if not all(port.isdigit() for port in ports):
        parser.error(f"ports: {options.ports} is not a list of numbers")
    return asyncio.run(_run([int(port) for port in ports], options.prefix))


async def _run(ports: list[int], prefix: str) -> int:
    stop = stop_requested()
    listeners = []
    for port in ports:
        try:
            listeners.append(await listen(port, prefix))
        except OSError as error:
            log(f"tcp-echo: cannot listen on port {port}: {error.strerror or error}")
            return 1
        log(f"listening on [::]:{port}, prefix: {prefix}")
    await stop.wait()
    for listener in listeners:
        listener.close()
    return 0

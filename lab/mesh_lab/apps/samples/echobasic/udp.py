"""echo-basic's server for datagrams: it answers each with what it holds, and where the server runs, as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import cast

from mesh_lab.apps.http.server import stop_requested
from mesh_lab.apps.samples.echobasic.handler import Identity
from mesh_lab.apps.service import log

_LONGEST = 1024
"""How many bytes of a datagram are read: the rest is lost, as with the published server."""


class Echo(asyncio.DatagramProtocol):
    """Answers datagrams."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        # asyncio's own transport does not inherit from DatagramTransport in Python 3.11.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one datagram."""
        if self._transport is not None:
            self._transport.sendto(json.dumps(described(data[:_LONGEST], self._identity)).encode(), addr)


def described(data: bytes, identity: Identity) -> dict[str, str]:
    """What is answered."""
    return {
        "request": data.decode(errors="replace"),
        "namespace": identity.namespace,
        "ingress": identity.ingress,
        "service": identity.service,
        "pod": identity.pod,
    }


async def serve(identity: Identity, environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM.

    Raises:
        OSError: the port cannot be opened.
    """
    stop, port = stop_requested(), int(environ.get("UDP_PORT") or "8080")
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Echo(identity), local_addr=("0.0.0.0", port))
    log(f"echo-basic answers datagrams on port {port}")
    await stop.wait()
    transport.close()
    return 0

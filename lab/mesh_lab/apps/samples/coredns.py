"""`mesh-lab-app coredns`: the part of CoreDNS that the Gateway API's conformance suite deploys, over UDP.

Of a Corefile it carries out the plugin `whoami`, which answers with the client's own address; `log` and `errors` need
nothing here. Of other zones it says SERVFAIL, since the lab has no way to the servers that `forward` names.
https://coredns.io/plugins/whoami/, RFC 1035
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from mesh_lab.apps.http.server import stop_requested
from mesh_lab.apps.service import log

_HEADER = struct.Struct(">HHHHHH")
_BLOCK = re.compile(r"([^\s{]+):(\d+)\s*\{(.*?)\n\s*\}", re.DOTALL)
_ANSWER, _RECURSION_WANTED, _SERVFAIL, _FORMAT = 0x8400, 0x0100, 2, 1
_A, _IN, _TTL = 1, 1, 0


class Zone(NamedTuple):
    """A zone and its port; `whoami` says that it is answered."""

    name: str
    port: int
    whoami: bool


def zones(corefile: str) -> list[Zone]:
    """The zones of a Corefile, the longest names first."""
    found = [
        Zone(name.rstrip(".").lower(), int(port), "whoami" in body.split())
        for name, port, body in _BLOCK.findall(corefile)
    ]
    return sorted(found, key=lambda zone: -len(zone.name))


def reply(query: bytes, client: str, known: Sequence[Zone]) -> bytes:
    """The answer to a question; empty for what is none."""
    if len(query) < _HEADER.size:
        return b""
    number, flags, questions, *_ = _HEADER.unpack_from(query)
    asked = _question(query[_HEADER.size :]) if questions else None
    if asked is None:
        return _HEADER.pack(number, _ANSWER | _FORMAT, 0, 0, 0, 0)
    name, end = asked
    zone = next((z for z in known if not z.name or name == z.name or name.endswith(f".{z.name}")), None)
    question = query[_HEADER.size : _HEADER.size + end]
    wanted = _ANSWER | flags & _RECURSION_WANTED
    if zone is None or not zone.whoami:
        return _HEADER.pack(number, wanted | _SERVFAIL, 1, 0, 0, 0) + question
    pointer_to_name = struct.pack(">H", 0xC000 | _HEADER.size)
    record = pointer_to_name + struct.pack(">HHIH", _A, _IN, _TTL, 4) + socket.inet_aton(client)
    return _HEADER.pack(number, wanted, 1, 0, 0, 1) + question + record


def _question(data: bytes) -> tuple[str, int] | None:
    """The name that is asked for, and where the question ends."""
    labels: list[str] = []
    position = 0
    while position < len(data):
        length = data[position]
        position += 1
        if length == 0:
            return (".".join(labels).lower(), position + 4) if position + 4 <= len(data) else None
        if length > 63:
            return None
        labels.append(data[position : position + length].decode("ascii", "replace"))
        position += length
    return None


class Server(asyncio.DatagramProtocol):
    """Answers the questions that arrive at one port."""

    def __init__(self, known: Sequence[Zone]) -> None:
        self._known = known
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        # asyncio's own transport does not inherit from DatagramTransport in Python 3.11.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one question."""
        answer = reply(data, addr[0], self._known)
        if answer and self._transport is not None:
            self._transport.sendto(answer, addr)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 when the Corefile cannot be read, or a port not opened."""
    parser = argparse.ArgumentParser(prog="coredns")
    parser.add_argument("-conf", default="Corefile")
    options = parser.parse_args(arguments)
    try:
        known = zones(Path(options.conf).read_text())
        return asyncio.run(_serve(known))
    except OSError as error:
        log(f"coredns: {error}")
        return 1


def _serving(known: Sequence[Zone]) -> Callable[[], Server]:
    return lambda: Server(known)


async def _serve(known: Sequence[Zone]) -> int:
    stop, loop = stop_requested(), asyncio.get_running_loop()
    transports = []
    for port in dict.fromkeys(zone.port for zone in known):
        here = [zone for zone in known if zone.port == port]
        transport, _ = await loop.create_datagram_endpoint(_serving(here), ("0.0.0.0", port))
        transports.append(transport)
        log(f"coredns answers on port {port}")
    await stop.wait()
    for transport in transports:
        transport.close()
    return 0

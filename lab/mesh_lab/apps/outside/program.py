"""The program: serves what a document says on sockets that it inherits, until nobody has called for a while."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh_lab.apps.http.server import Server, stop_requested
from mesh_lab.apps.outside.certificates import Certificates
from mesh_lab.apps.outside.sites import Site, Web

IDLE_SECONDS = 900.0
"""After that long without a connection the program ends, and with it what it weighs; the next call starts it anew."""

_LOOK_SECONDS = 15.0
_CHUNK = 65536


@dataclass(frozen=True)
class Entry:
    """One site: what it serves, its certificate and key in PEM, its sockets as (`http`, `https` or `tcp`, socket)."""

    site: Site
    certificate: str
    listeners: tuple[tuple[str, socket.socket], ...]


def read(descriptor: int) -> list[Entry]:
    """Read the document, which the kube process has written (`mesh_lab.kube.outside`)."""
    with os.fdopen(descriptor) as document:
        found = json.load(document)
    return [_entry(each) for each in found]


def _entry(each: Mapping[str, Any]) -> Entry:
    site = Site(each["name"], each["serves"], each["title"], each["root"], https_only=each["https_only"])
    sockets = tuple((one["kind"], socket.socket(fileno=one["descriptor"])) for one in each["listeners"])
    return Entry(site, each["certificate"], sockets)


async def serve(entries: Sequence[Entry], idle_seconds: float = IDLE_SECONDS) -> None:
    """Serve until SIGTERM, or until there was no connection for so long."""
    stop = stop_requested()
    web = Web([entry.site for entry in entries])
    certificates = Certificates({entry.site.name: entry.certificate for entry in entries if entry.certificate})
    echoes = Echoes()
    servers: list[Server] = []

    def busy() -> bool:
        return bool(echoes.open) or any(server.connections for server in servers)

    try:
        for entry in entries:
            plain, secure = Server(web.handler(entry.site, "http")), Server(web.handler(entry.site, "https"))
            servers += [plain, secure]
            for kind, sock in entry.listeners:
                if kind == "tcp":
                    await echoes.listen(sock)
                elif kind == "http":
                    await plain.adopt(sock)
                else:
                    await secure.adopt(sock, certificates.context(entry.site.name))
        await _until_idle(stop, busy, idle_seconds)
    finally:
        echoes.close()
        for server in servers:
            await server.close(0)


async def _until_idle(stop: asyncio.Event, busy: Callable[[], bool], idle_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    last = loop.time()
    while not stop.is_set() and loop.time() - last < idle_seconds:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), min(_LOOK_SECONDS, idle_seconds / 4))
        if busy():
            last = loop.time()


class Echoes:
    """Plain TCP: each byte comes back."""

    def __init__(self) -> None:
        self.open = 0
        self._servers: list[asyncio.Server] = []

    async def listen(self, sock: socket.socket) -> None:
        """Serve a listening socket."""
        self._servers.append(await asyncio.start_server(self._echo, sock=sock))

    def close(self) -> None:
        """Take no more connections."""
        for server in self._servers:
            server.close()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            self.open -= 1
            writer.close()


def main(arguments: Sequence[str]) -> int:
    """Serve what the document behind the descriptor says."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    entries = read(int(arguments[0]))
    gc.freeze()
    asyncio.run(serve(entries))
    return 0

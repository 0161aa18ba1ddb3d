"""The internet of a lab: names outside of the cluster whose servers pods reach as they would reach the real ones.

The sockets listen from the start on; the program behind them starts with the first connection, which waits in the
kernel's queue meanwhile. So a lab whose pods stay inside pays for some sockets, and for nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

import mesh_lab
from mesh_lab.kube.config import KubeConfig, Site
from mesh_lab.kube.outside import place
from mesh_lab.kube.pki import Authority

__all__ = ["Outside"]

log = logging.getLogger(__name__)

PROGRAM = ("-P", "-m", "mesh_lab.apps.outside")
PAUSE_SECONDS = 0.5
END_LIMIT_SECONDS = 2.0


class Outside:
    """The sites' sockets and, once somebody has called, the program that serves them.

    Raises:
        OSError: the kernel refuses the network namespace or a part of it.
    """

    def __init__(self, sites: Sequence[Site], config: KubeConfig, authority: Authority) -> None:
        self._authority = authority
        self._listeners = place.make(sites, config.node_address)
        self._program: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The program's process, if it runs."""
        return self._program.pid if self._program else None

    async def run(self) -> None:
        """Serve until cancelled; a program that ends is started again with the next connection."""
        try:
            while True:
                await self._called()
                code = await self._serve()
                if code:
                    log.error("the program of the lab's internet ended with code %d; it starts again when called", code)
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            if self._program is not None:
                self._program.kill()
                await asyncio.to_thread(self._program.wait, END_LIMIT_SECONDS)
            for listener in self._listeners:
                listener.sock.close()

    async def _called(self) -> None:
        """Wait until a connection waits at any of the sockets."""
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        for listener in self._listeners:
            loop.add_reader(listener.sock, called.set)
        try:
            await called.wait()
        finally:
            for listener in self._listeners:
                loop.remove_reader(listener.sock)

    async def _serve(self) -> int:
        """Run the program to its end; return its exit code."""
        document = await asyncio.to_thread(_document, self._listeners, self._authority)
        descriptors = [listener.sock.fileno() for listener in self._listeners]
        environment = {**os.environ, "PYTHONPATH": str(Path(mesh_lab.__file__).parent.parent)}
        try:
            self._program = subprocess.Popen(  # noqa: ASYNC220 - it returns in a few milliseconds
                [sys.executable, *PROGRAM, str(document)],
                pass_fds=[document, *descriptors],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env=environment,
            )
        finally:
            os.close(document)
        await _end_of(self._program)
        code, self._program = self._program.wait(), None
        return code


async def _end_of(program: subprocess.Popen[bytes]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    watched = os.pidfd_open(program.pid)
    loop.add_reader(watched, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)


class _Opened(msgspec.Struct, frozen=True):
    """A listening socket as the program inherits it."""

    kind: str
    descriptor: int


class _Served(msgspec.Struct, frozen=True):
    """A site with its certificate and key in PEM, and its sockets; `mesh_lab.apps.outside` reads a list of these."""

    name: str
    serves: str
    title: str
    root: str
    https_only: bool
    certificate: str
    listeners: list[_Opened]


def _document(listeners: Sequence[place.Listener], authority: Authority) -> int:
    """Return a descriptor of what the program is to serve, with a certificate for each site that speaks TLS."""
    opened: dict[Site, list[_Opened]] = {}
    for listener in listeners:
        opened.setdefault(listener.site, []).append(_Opened(listener.kind, listener.sock.fileno()))
    served = [
        _Served(site.name, site.serves, site.title, site.root, site.https_only, _certificate(site, authority), sockets)
        for site, sockets in opened.items()
    ]
    document = os.memfd_create("internet")
    os.write(document, msgspec.json.encode(served))
    os.lseek(document, 0, os.SEEK_SET)
    return document


def _certificate(site: Site, authority: Authority) -> str:
    return b"".join(authority.issue([site.name])).decode() if site.https else ""

"""The host process' end of the control socket, in the test's own process."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from typing import Any

from mesh_lab.clusters.embedded import ports
from mesh_lab.kube.network.hostsockets import HostSockets


class Host:
    """Answers requests for sockets as the host process does: it binds the port, or says who has it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self.sockets = HostSockets(theirs.detach())
        self.heard: list[dict[str, Any]] = []
        self.silent = False
        self.reserved_below = 0
        """Ports below are for root alone."""
        self._hearing = asyncio.Condition()

    async def run(self) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._socket, 65536):
            request = json.loads(data)
            async with self._hearing:
                self.heard.append(request)
                self._hearing.notify_all()
            if request["op"] == "listen" and not self.silent:
                self.answer(request)

    async def hears(self, number: int) -> None:
        """Wait until so many messages arrived."""
        async with self._hearing:
            await self._hearing.wait_for(lambda: len(self.heard) >= number)

    def answer(self, request: dict[str, Any]) -> None:
        """Bind and pass on."""
        host, port = request["host"], request["port"]
        if port < self.reserved_below:
            refused = ports.taken(host, port, PermissionError(errno.EACCES, "Permission denied"))
            self._refuse(str(refused), refused.kind)
            return
        try:
            listener = socket.create_server((host, port))
        except OSError as error:
            kind = ports.taken(host, port, error, quickly=True).kind
            self._refuse(f"port {port} is in use: nginx (pid 12) listens on it", kind)
            return
        with listener:
            reply = {"ok": True, "port": listener.getsockname()[1]}
            socket.send_fds(self._socket, [json.dumps(reply).encode()], [listener.fileno()])

    def _refuse(self, error: str, kind: str) -> None:
        self._socket.send(json.dumps({"ok": False, "error": error, "kind": kind}).encode())

    def hang_up(self) -> None:
        """Be gone."""
        self._socket.close()

    def close(self) -> None:
        """Close both ends."""
        self.sockets.close()
        self._socket.close()


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])

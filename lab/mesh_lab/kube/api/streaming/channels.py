"""The channels of exec and attach: several streams over one WebSocket; each message's first byte is its channel.

`v5.channel.k8s.io` differs from `v4` in one thing: the client can close a stream.
https://kubernetes.io/blog/2024/08/20/websockets-transition/
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from mesh_lab.kube.errors import bad_request

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_CLOSE = 255
_MESSAGE_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True)
class Input:
    """A message of the client for one channel: bytes, or its end."""

    channel: int
    data: bytes
    ended: bool = False


class Channels:
    """The server's end of the WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    @property
    def response(self) -> web.WebSocketResponse:
        """The response that the handler returns to aiohttp."""
        return self._socket

    @classmethod
    async def accept(cls, request: web.Request) -> Channels:
        """Upgrade the connection.

        Raises:
            ApiError: 400, the client does not speak WebSocket.
        """
        socket = web.WebSocketResponse(protocols=PROTOCOLS, compress=False, max_msg_size=_MESSAGE_LIMIT)
        if not socket.can_prepare(request).ok:
            raise bad_request("this needs a WebSocket with the protocol v5.channel.k8s.io (kubectl 1.29 or later)")
        await socket.prepare(request)
        return cls(socket)

    async def inputs(self) -> AsyncIterator[Input]:
        """Yield what the client sends, until it closes."""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                data: bytes = message.data
            elif message.type is WSMsgType.TEXT:
                data = message.data.encode()
            else:
                continue
            if not data:
                continue
            if data[0] == _CLOSE and len(data) > 1:
                yield Input(data[1], b"", ended=True)
            else:
                yield Input(data[0], data[1:])

    async def send(self, channel: int, data: bytes) -> None:
        """Send bytes on a channel; waits while the client does not read."""
        await self._socket.send_bytes(bytes((channel,)) + data)

    async def finish(self, status: dict[str, Any]) -> None:
        """Send the outcome and close."""
        await self.send(ERROR, orjson.dumps(status))
        await self._socket.close()


def exit_status(code: int) -> dict[str, Any]:
    """Return the outcome of a command as a `Status`."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: error executing command, exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }

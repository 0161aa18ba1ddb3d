"""A message over plain TCP and its echo."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from mesh_lab.apps.traffic.plan import Plan

MAX_ANSWER_BYTES = 64 * 1024


class TcpSender:
    """Opens a connection, sends the plan's body and reads one piece of answer, for each request.

    Raises:
        ValueError: the URL is not tcp://HOST:PORT.
    """

    def __init__(self, plan: Plan) -> None:
        parts = urlsplit(plan.url)
        if not parts.hostname or not parts.port:
            raise ValueError(f"url: {plan.url!r} is not of the form tcp://HOST:PORT")
        self._host, self._port = parts.hostname, parts.port
        self._body, self._timeout = plan.body or b"hello\n", plan.timeout

    async def __call__(self, _: int, /) -> dict[str, Any]:
        """Send one message and return the result."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await _exchange(self._host, self._port, self._body)
        except TimeoutError:
            return {"status": 0, "error": "timeout", "detail": f"no answer within {self._timeout:g} s"}
        except ConnectionRefusedError as error:
            return {"status": 0, "error": "refused", "detail": str(error)}
        except OSError as error:
            return {"status": 0, "error": "reset", "detail": str(error)}
        if not answer:
            return {"status": 0, "error": "reset", "detail": "closed by the other side before any answer"}
        text = answer.decode("utf-8", "replace")
        version, hostname, *_rest = [*text.split(" ", 2), ""]
        return {"status": 200, "version": version, "hostname": hostname, "protocol": "TCP", "body": text}

    def close(self) -> None:
        """Nothing is kept open."""


async def _exchange(host: str, port: int, body: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(body)
        await writer.drain()
        return await reader.read(MAX_ANSWER_BYTES)
    finally:
        writer.close()

"""A TCP echo that sends its name before the first bytes it returns, so that clients can distinguish endpoints."""

from __future__ import annotations

import asyncio
import contextlib


async def listen_tcp(port: int, greeting: str, host: str | None = None) -> asyncio.Server:
    """Open the port; the server is to be closed by the caller.

    Raises:
        OSError: the port is taken or not permitted.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            prefix = f"{greeting} ".encode()
            while data := await reader.read(65536):
                writer.write(prefix + data)
                prefix = b""
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port)

"""Servers on loopback ports of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.server import Server

Start = Callable[[Handler], Awaitable[tuple[Server, str]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a server for a handler; gives it and its URL."""
    servers: list[Server] = []

    async def begin(handler: Handler) -> tuple[Server, str]:
        server = Server(handler)
        servers.append(server)
        port = await server.listen("127.0.0.1", 0)
        return server, f"http://127.0.0.1:{port}"

    yield begin
    for server in servers:
        await server.close(0.1)

"""`python -m mesh_lab.apps.bookinfo mongodb`: the ratings' database, with the published data and few commands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from mesh_lab.apps.bookinfo.mongo import MongoError, message, receive
from mesh_lab.apps.http.server import stop_requested
from mesh_lab.apps.service import log

PORT = 27017
COLLECTIONS: dict[str, dict[str, list[dict[str, Any]]]] = {"test": {"ratings": [{"rating": 5}, {"rating": 4}]}}

_NO_SUCH_COMMAND = 59
_HELLO = {"isWritablePrimary": True, "ismaster": True, "minWireVersion": 0, "maxWireVersion": 21, "readOnly": True}


def run_command(command: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a command."""
    name = next(iter(command), "")
    answer = _COMMANDS.get(name)
    if answer is None:
        text = f"no such command: '{name}' (the lab's MongoDB has few)"
        return {"ok": 0.0, "errmsg": text, "code": _NO_SUCH_COMMAND, "codeName": "CommandNotFound"}
    return {**answer(command), "ok": 1.0}


def _find(command: Mapping[str, Any]) -> dict[str, Any]:
    database, collection = str(command.get("$db", "")), str(command["find"])
    wanted = command.get("filter") or {}
    documents = COLLECTIONS.get(database, {}).get(collection, [])
    found = [one for one in documents if all(one.get(name) == value for name, value in wanted.items())]
    return {"cursor": {"firstBatch": found, "id": 0, "ns": f"{database}.{collection}"}}


_COMMANDS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "find": _find,
    "ping": lambda _: {},
    "hello": lambda _: _HELLO,
    "isMaster": lambda _: _HELLO,
    "ismaster": lambda _: _HELLO,
    "buildInfo": lambda _: {"version": "7.0.0-mesh-lab"},
    "endSessions": lambda _: {},
}


async def listen(port: int, host: str | None = None) -> asyncio.Server:
    """Open the port; the caller closes the server.

    Raises:
        OSError: the port is taken or not permitted.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while True:
                    command, number = await receive(reader)
                    writer.write(message(run_command(command), number + 1, number))
                    await writer.drain()
            except MongoError as error:
                log(f"mongodb: {error}")

    return await asyncio.start_server(answer, host, port)


def serve(port: int) -> int:
    """Serve until SIGTERM; exit code 1 when the port cannot be opened."""
    return asyncio.run(_serve(port))


async def _serve(port: int) -> int:
    stop = stop_requested()
    try:
        server = await listen(port)
    except OSError as error:
        log(f"mongodb: cannot listen on port {port}: {error.strerror or error}")
        return 1
    log(f"mongodb listens on port {port}")
    await stop.wait()
    server.close()
    return 0

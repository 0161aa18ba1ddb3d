"""`fortio server`: HTTP on 8080, TCP on 8078, gRPC on 8079, all of which return what they get."""

from __future__ import annotations

import asyncio
import contextlib
import random

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.answers import is_call
from mesh_lab.apps.grpc.server import GrpcServer
from mesh_lab.apps.http.messages import AbortConnection, Request, Response
from mesh_lab.apps.samples.fortio.flags import duration

_MAX_DELAY = 1.5
_MAX_SIZE = 1024 * 1024
_PAGE = "<!doctype html><title>Φορτίο</title><h1>fortio</h1><p>The lab's fortio has no pages: use `fortio load`.</p>\n"


class Server:
    """The handler of the HTTP and gRPC ports."""

    def __init__(self) -> None:
        self._grpc = GrpcServer({"/fgrpc.PingServer/Ping": _ping})

    async def __call__(self, request: Request) -> Response:
        """Echo, by default; `/debug` describes the request."""
        if is_call(request):
            return await self._grpc(request)
        if request.path.startswith("/fortio"):
            return Response(200, _PAGE.encode(), "text/html; charset=utf-8")
        if request.path == "/debug":
            return _debug(request)
        return await _echo(request)


async def _echo(request: Request) -> Response:
    """Return the body; the query may ask for `status`, `delay`, `size`, `close` and `header`."""
    query = request.query
    try:
        wait = min(_MAX_DELAY, duration(_choice(query.get("delay", "0"), "0")))
        status = int(_choice(query.get("status", "200"), "200"))
        size = int(_choice(query.get("size", "-1"), "-1"))
    except ValueError as error:
        return Response(400, f"{error}\n".encode())
    if not 200 <= status <= 599 or size > _MAX_SIZE:
        return Response(400, f"status {status} or size {size} out of range\n".encode())
    if query.get("close", "") == "abort":
        raise AbortConnection
    await asyncio.sleep(wait)
    headers = []
    if "header" in query:
        name, _, value = query["header"].partition(":")
        if not (name + value).isprintable() or not name.strip():
            return Response(400, b"header: NAME:VALUE expected\n")
        headers.append((name.strip(), value.strip()))
    body = request.body if size < 0 else bytes(size).replace(b"\0", b"x")
    return Response(status, body, request.headers.get("content-type", "text/plain; charset=UTF-8"), headers)


def _choice(mix: str, otherwise: str) -> str:
    """One of `VALUE:PERCENT,...`, or what is left for `otherwise`."""
    if ":" not in mix:
        return mix.split(",")[0]
    drawn = random.uniform(0, 100)
    for part in mix.split(","):
        value, _, percent = part.partition(":")
        drawn -= float(percent or 0)
        if drawn < 0:
            return value
    return otherwise


def _debug(request: Request) -> Response:
    lines = [f"{request.method} {request.target} {request.protocol}", "", "headers:", ""]
    lines += [f"{name.title()}: {value}" for name, value in request.headers.pairs]
    lines += ["", "body:", "", request.body.decode("utf-8", "replace"), ""]
    return Response(200, "\n".join(lines).encode(), "text/plain; charset=UTF-8")


async def _ping(message: bytes, _: Request) -> bytes:
    """fgrpc.PingMessage: `seq` 1, `ts` 2, `payload` 3, `delayNanos` 4."""
    fields = wire.decode(message)
    await asyncio.sleep(min(_MAX_DELAY, max(0, wire.integer(fields, 4)) / 1e9))
    return message


async def listen_echo(port: int, host: str | None = None) -> asyncio.Server:
    """The TCP port, which returns bytes as they are.

    Raises:
        OSError: the port is taken or not permitted.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    return await asyncio.start_server(answer, host, port)

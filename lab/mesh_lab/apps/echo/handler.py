"""The echo server's answers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

from mesh_lab.apps.echo.calls import as_answer
from mesh_lab.apps.echo.identity import client_identity, parse_xfcc
from mesh_lab.apps.echo.instructions import BadInstruction, Instructions, parse
from mesh_lab.apps.echo.state import Attempts, Gate
from mesh_lab.apps.grpc.answers import is_call
from mesh_lab.apps.http.messages import AbortConnection, Request, Response

HOLD_SECONDS = 30.0
MAX_HOLD_SECONDS = 300.0
CHUNK = 64 * 1024
ATTEMPT_HEADER = "x-envoy-attempt-count"


class Echo:
    """One echo server; its version and names come from the environment: VERSION, SERVICE, HOSTNAME."""

    def __init__(self, version: str | None = None, service: str | None = None) -> None:
        self.version = os.environ.get("VERSION", "v1") if version is None else version
        self.service = os.environ.get("SERVICE", "echo") if service is None else service
        self.hostname = os.environ.get("HOSTNAME") or socket.gethostname()
        self.attempts = Attempts()
        self.gate = Gate()
        self._control = {
            "/health": self._health,
            "/counts": self._counts,
            "/reset": self._reset,
            "/release": self._release,
            "/holding": self._holding,
            "/behave": self._behave,
        }
        self._status: int | None = None

    async def __call__(self, request: Request) -> Response:
        """Answer; control paths are not counted as attempts."""
        control = self._control.get(request.path)
        if control is not None:
            return control(request)
        response = await self._instructed(request)
        return as_answer(request.path, response) if is_call(request) else response

    async def _instructed(self, request: Request) -> Response:
        try:
            wanted = parse(request)
        except BadInstruction as error:
            return Response(400, f"{error}\n".encode(), headers=self._headers())
        attempt = self.attempts.count(wanted.id)
        if request.path == "/hold":
            return await self._hold(request, attempt)
        return await self._answer(request, wanted, attempt)

    async def _answer(self, request: Request, wanted: Instructions, attempt: int) -> Response:
        if wanted.delay:
            await asyncio.sleep(wanted.delay)
        if wanted.close:
            raise AbortConnection
        status = wanted.code if attempt <= wanted.fail else (self._status or wanted.status)
        if wanted.size is not None:
            return Response(status, _filler(wanted.size), "application/octet-stream", self._headers(attempt))
        return self._report(request, status, attempt)

    async def _hold(self, request: Request, attempt: int) -> Response:
        query = request.query
        try:
            limit = min(float(query.get("limit", HOLD_SECONDS)), MAX_HOLD_SECONDS)
        except ValueError:
            return Response(400, b"limit: not a number of seconds\n")
        released = await self.gate.hold(query.get("group", ""), limit)
        return self._report(request, 200 if released else 504, attempt)

    def _report(self, request: Request, status: int, attempt: int) -> Response:
        xfcc = request.headers.get("x-forwarded-client-cert")
        seen: dict[str, Any] = {
            "service": self.service,
            "version": self.version,
            "hostname": self.hostname,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.headers.joined(),
            "protocol": request.protocol,
            "port": request.port,
            "body_length": len(request.body),
            "attempt": attempt,
            "client": {"address": request.peer, "identity": client_identity(xfcc), "xfcc": parse_xfcc(xfcc)},
        }
        return _json(seen, status, self._headers(attempt) | _attempt_of_proxy(request))

    def _headers(self, attempt: int = 0) -> dict[str, str]:
        headers = {"x-echo-version": self.version, "x-echo-hostname": self.hostname}
        return headers | {"x-echo-attempt": str(attempt)} if attempt else headers

    def _health(self, _: Request) -> Response:
        return _json({"status": "healthy", "version": self.version})

    def _counts(self, request: Request) -> Response:
        if (request_id := request.query.get("id")) is not None:
            return _json({"id": request_id, "attempts": self.attempts.of(request_id)})
        return _json({"total": self.attempts.total, "attempts": self.attempts.all()})

    def _reset(self, _: Request) -> Response:
        self.attempts.reset()
        return _json({"reset": True})

    def _behave(self, request: Request) -> Response:
        """Answer everything with a status from now on, as a broken endpoint does; without one, as usual again."""
        try:
            self._status = parse(request).status if "status" in request.query else None
        except BadInstruction as error:
            return Response(400, f"{error}\n".encode())
        return _json({"status": self._status})

    def _release(self, request: Request) -> Response:
        return _json({"released": self.gate.release(request.query.get("group"))})

    def _holding(self, request: Request) -> Response:
        return _json({"holding": self.gate.holding(request.query.get("group"))})


def _attempt_of_proxy(request: Request) -> dict[str, str]:
    """The attempt that the client's proxy says the request is, where it does (Istio's `includeRequestAttemptCount`)."""
    said = request.headers.get(ATTEMPT_HEADER)
    return {ATTEMPT_HEADER: said} if said else {}


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(status, json.dumps(value).encode() + b"\n", "application/json", headers or {})


async def _filler(size: int) -> AsyncIterator[bytes]:
    piece = b"mesh-lab" * (CHUNK // 8)
    for start in range(0, size, CHUNK):
        yield piece[: min(CHUNK, size - start)]

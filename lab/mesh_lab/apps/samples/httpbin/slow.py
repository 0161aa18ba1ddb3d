"""Paths that answer late, long or in pieces."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.httpbin.context import MAX_BYTES, BadRequestError, Context, seconds, whole
from mesh_lab.apps.samples.httpbin.plain import described

_BINARY = "application/octet-stream"
_PIECE = 10 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def delay(context: Context, request: Request, rest: list[str]) -> Response:
    """/delay/SECONDS, ten at most: Python's httpbin takes more for ten, go-httpbin refuses it."""
    await asyncio.sleep(seconds(rest[0], capped=not context.form.is_go))
    return context.form.answer(described(context, request))


async def drip(context: Context, request: Request, _: list[str]) -> Response:
    """/drip?duration=&numbytes=&code=&delay=: a body that comes byte by byte."""
    query = request.query
    number = whole(query.get("numbytes", "10"), "numbytes", 1, MAX_BYTES)
    duration = seconds(query.get("duration", "2"), capped=False)
    before = seconds(query.get("delay", "2" if context.form.is_go else "0"), capped=False)
    if duration + before > 10:
        raise BadRequestError(f"too much time: {duration:g}s+{before:g}s > 10s")
    code = whole(query.get("code", "200"), "status code", 200, 599)
    await asyncio.sleep(before)
    content_type = "text/plain; charset=utf-8" if context.form.is_go else _BINARY
    return Response(code, _drops(number, duration / max(1, number - 1)), content_type)


async def _drops(number: int, pause: float) -> AsyncIterator[bytes]:
    for drop in range(number):
        if drop:
            await asyncio.sleep(pause)
        yield b"*"


def stream(context: Context, request: Request, rest: list[str]) -> Response:
    """/stream/LINES: JSON, one line after the other; a hundred at most."""
    count = max(1, min(100, whole(rest[0], "count", -(10**9), 10**9)))
    value = context.form.described(request)
    value.pop("method", None)

    async def lines() -> AsyncIterator[bytes]:
        for number in range(count):
            yield json.dumps({**value, "id": number}).encode() + b"\n"

    return Response(200, lines(), context.form.answer({}).content_type)


def some_bytes(_: Context, request: Request, rest: list[str]) -> Response:
    """/bytes/N?seed=: random ones, the same for the same seed."""
    return Response(200, _random(request, rest[0]), _BINARY)


def stream_bytes(_: Context, request: Request, rest: list[str]) -> Response:
    """/stream-bytes/N?seed=&chunk_size=: the same, in pieces."""
    body = _random(request, rest[0])
    size = whole(request.query.get("chunk_size", str(_PIECE)), "chunk_size", 1, MAX_BYTES)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    return Response(200, pieces(), _BINARY)


def _random(request: Request, text: str) -> bytes:
    number = whole(text, "byte count", 0, MAX_BYTES)
    seed = request.query.get("seed")
    return random.Random(seed).randbytes(number)


def ranged(_: Context, request: Request, rest: list[str]) -> Response:
    """/range/N: the letters in turn; one range of them where the header Range asks for it (RFC 9110, 14)."""
    number = whole(rest[0], "count", 1, MAX_BYTES)
    body = (b"abcdefghijklmnopqrstuvwxyz" * (number // 26 + 1))[:number]
    headers = [("etag", f"range{number}"), ("accept-ranges", "bytes")]
    wanted = _RANGE.fullmatch(request.headers.get("range"))
    if wanted is None or not (wanted[1] or wanted[2]):
        return Response(200, body, _BINARY, headers)
    if wanted[1]:
        start, end = int(wanted[1]), int(wanted[2] or number - 1)
    else:
        start, end = max(0, number - int(wanted[2])), number - 1
    if start >= number or end < start:
        return Response(416, b"", headers=[*headers, ("content-range", f"bytes */{number}")])
    end = min(end, number - 1)
    headers.append(("content-range", f"bytes {start}-{end}/{number}"))
    return Response(206, body[start : end + 1], _BINARY, headers)

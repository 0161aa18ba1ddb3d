"""Paths that tell what was received, and fixed answers."""

from __future__ import annotations

import json
import os
import socket
import zlib

from mesh_lab.apps.http import websocket
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.httpbin import forms, texts
from mesh_lab.apps.samples.httpbin.context import BadRequestError, Context

_HTML = "text/html; charset=utf-8"
_ENVIRONMENT = "HTTPBIN_ENV_"


def index(_: Context, __: Request, ___: list[str]) -> Response:
    """/."""
    return Response(200, texts.INDEX.encode(), _HTML)


def get(context: Context, request: Request, _: list[str]) -> Response:
    """/get and /head."""
    return context.form.answer(context.form.described(request))


def with_body(context: Context, request: Request, _: list[str]) -> Response:
    """/post, /put, /patch and /delete."""
    return context.form.answer(described(context, request))


def anything(context: Context, request: Request, _: list[str]) -> Response:
    """/anything and all that is below it."""
    return context.form.answer(described(context, request, method=True))


def described(context: Context, request: Request, *, method: bool = False) -> dict[str, object]:
    """The request with its body.

    Raises:
        BadRequestError: the body is not what its type says.
    """
    try:
        return context.form.described(request, body=True, method=method)
    except ValueError as error:
        raise BadRequestError(f"error parsing request body: {error}") from None


def headers(context: Context, request: Request, _: list[str]) -> Response:
    """/headers."""
    return context.form.answer({"headers": context.form.headers(request)})


def address(context: Context, request: Request, _: list[str]) -> Response:
    """/ip."""
    return context.form.answer({"origin": forms.origin(request, first=context.form.is_go)})


def user_agent(context: Context, request: Request, _: list[str]) -> Response:
    """/user-agent."""
    return context.form.answer({"user-agent": request.headers.get("user-agent")})


def hostname(context: Context, _: Request, __: list[str]) -> Response:
    """/hostname: a fixed name, unless USE_REAL_HOSTNAME is set; only in go-httpbin."""
    if not context.form.is_go:
        return context.form.error(404)
    env = context.environment
    real = env.get("USE_REAL_HOSTNAME", "").lower() in ("1", "true")
    return context.form.answer({"hostname": (env.get("HOSTNAME") or socket.gethostname()) if real else "go-httpbin"})


def environment(context: Context, _: Request, __: list[str]) -> Response:
    """/env: the variables that begin with HTTPBIN_ENV_; only in go-httpbin."""
    if not context.form.is_go:
        return context.form.error(404)
    shown = {name: value for name, value in context.environment.items() if name.startswith(_ENVIRONMENT)}
    return context.form.answer({"env": shown})


def random_id(context: Context, _: Request, __: list[str]) -> Response:
    """/uuid."""
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80  # version 4 (RFC 9562, 5.4)
    text = raw.hex()
    return context.form.answer({"uuid": "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))})


def gzipped(context: Context, request: Request, _: list[str]) -> Response:
    """/gzip."""
    value = context.form.described(request, method=True) | {"gzipped": True}
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)  # with gzip's head
    return _encoded(context, "gzip", packer.compress(json.dumps(value, indent=2).encode()) + packer.flush())


def deflated(context: Context, request: Request, _: list[str]) -> Response:
    """/deflate."""
    value = context.form.described(request, method=True) | {"deflated": True}
    return _encoded(context, "deflate", zlib.compress(json.dumps(value, indent=2).encode()))


def _encoded(context: Context, encoding: str, body: bytes) -> Response:
    plain = context.form.answer({}, headers=[("content-encoding", encoding)])
    return Response(200, body, plain.content_type, plain.headers)


def html(_: Context, __: Request, ___: list[str]) -> Response:
    """/html."""
    return Response(200, texts.HTML.encode(), _HTML)


def form_page(context: Context, _: Request, rest: list[str]) -> Response:
    """/forms/post."""
    return Response(200, texts.FORM.encode(), _HTML) if rest == ["post"] else context.form.error(404)


def utf8(context: Context, _: Request, rest: list[str]) -> Response:
    """/encoding/utf8."""
    return Response(200, texts.UTF8.encode(), _HTML) if rest == ["utf8"] else context.form.error(404)


def robots(_: Context, __: Request, ___: list[str]) -> Response:
    """/robots.txt."""
    return Response(200, texts.ROBOTS.encode())


def deny(_: Context, __: Request, ___: list[str]) -> Response:
    """/deny."""
    return Response(200, texts.DENIED.encode())


def slides(context: Context, _: Request, __: list[str]) -> Response:
    """/json."""
    return context.form.answer(texts.SLIDES)


def xml(_: Context, __: Request, ___: list[str]) -> Response:
    """/xml."""
    return Response(200, texts.XML.encode(), "application/xml")


def websocket_echo(context: Context, request: Request, rest: list[str]) -> Response:
    """/websocket/echo; only in go-httpbin."""
    return (
        websocket.accept(request, websocket.echo)
        if context.form.is_go and rest == ["echo"]
        else context.form.error(404)
    )


def image(context: Context, request: Request, rest: list[str]) -> Response:
    """/image by the header Accept, /image/KIND."""
    if rest:
        kind = rest[0]
    else:
        accepted = request.headers.get("accept", "*/*")
        everything = not accepted or "*/*" in accepted or "image/*" in accepted
        kind = next((name for name, (type_, _) in texts.IMAGES.items() if everything or type_ in accepted), "")
        if not kind:
            return context.form.error(415 if context.form.is_go else 406)
    if kind not in texts.IMAGES:
        return context.form.error(404)
    content_type, body = texts.IMAGES[kind]
    return Response(200, body, content_type)

"""Paths whose status or headers are what the request asks for."""

from __future__ import annotations

import base64
import random
import time
import zlib

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.httpbin import forms, texts
from mesh_lab.apps.samples.httpbin.context import MAX_BYTES, BadRequestError, Context, whole

_REALM = ("www-authenticate", 'Basic realm="Fake Realm"')
_MOVED = (301, 302, 303, 305, 307)
_CONTENT_TYPE = "content-type"


def status(context: Context, _: Request, rest: list[str]) -> Response:
    """/status/CODE, or one of several by weight: /status/200:3,503."""
    codes: list[int] = []
    weights: list[float] = []
    for choice in rest[0].split(","):
        code, _colon, weight = choice.partition(":")
        codes.append(whole(code, "status code", 200, 599))
        try:
            weights.append(float(weight or 1))
        except ValueError:
            raise BadRequestError(f"invalid weight value: {weight!r}") from None
    if not sum(weights) > 0 or min(weights) < 0:
        raise BadRequestError("invalid weight value: the sum is not above 0")
    return _with_status(context, random.choices(codes, weights)[0])


def _with_status(context: Context, code: int) -> Response:
    if code in _MOVED:
        return Response(code, headers=[("location", "/redirect/1")])
    if code == 401:
        return Response(code, headers=[_REALM])
    if code == 407:
        return Response(code, headers=[("proxy-authenticate", _REALM[1])])
    if code == 418:
        teapot = "I'm a teapot!" if context.form.is_go else texts.TEAPOT
        return Response(code, teapot.encode(), headers=[("x-more-info", "http://tools.ietf.org/html/rfc2324")])
    return Response(code)


def unstable(_: Context, request: Request, __: list[str]) -> Response:
    """/unstable?failure_rate=: 500, sometimes."""
    text = request.query.get("failure_rate", "0.5")
    try:
        rate = float(text)
    except ValueError:
        rate = -1
    if not 0 <= rate <= 1:
        raise BadRequestError(f"invalid failure rate: {text} not in range [0, 1]")
    return Response(500 if random.random() < rate else 200)


def response_headers(context: Context, request: Request, _: list[str]) -> Response:
    """/response-headers?NAME=VALUE: these headers, and in JSON what they are."""
    fields = forms.query(request)
    for name, values in fields.items():
        if not name or any(not c.isprintable() for text in (name, *values) for c in text) or " " in name:
            raise BadRequestError(f"invalid header: {name!r}")
    content_type = next((value[0] for name, value in fields.items() if name.lower() == _CONTENT_TYPE), "")
    shown = fields if content_type else {**fields, "Content-Type": [context.form.answer({}).content_type]}
    sent = [
        (name, value.encode("latin-1", "replace").decode("latin-1"))
        for name, values in fields.items()
        for value in values
        if name.lower() not in (_CONTENT_TYPE, "content-length")
    ]
    found = context.form.answer(context.form.values(shown), headers=sent)
    found.content_type = content_type or found.content_type
    return found


def redirect(_: Context, request: Request, rest: list[str]) -> Response:
    """/redirect/N and /relative-redirect/N: N times, then /get."""
    left = whole(rest[0], "redirect count", 1, 1000) - 1
    absolute = request.query.get("absolute", "").lower() == "true"
    place = _left("absolute" if absolute else "relative", left)
    return _found(_absolute(request, place) if absolute else place)


def absolute_redirect(_: Context, request: Request, rest: list[str]) -> Response:
    """/absolute-redirect/N."""
    return _found(_absolute(request, _left("absolute", whole(rest[0], "redirect count", 1, 1000) - 1)))


def redirect_to(_: Context, request: Request, __: list[str]) -> Response:
    """/redirect-to?url=&status_code=."""
    query = request.query
    place = query.get("url", "")
    if not place or not place.isprintable():
        raise BadRequestError("missing required query parameter: url")
    code = whole(query.get("status_code") or "302", "status code", 300, 399)
    return Response(code, headers=[("location", place.encode("latin-1", "replace").decode("latin-1"))])


def _left(kind: str, number: int) -> str:
    return f"/{kind}-redirect/{number}" if number else "/get"


def _absolute(request: Request, path: str) -> str:
    scheme, _, rest = forms.url(request).partition("://")
    return f"{scheme}://{rest.partition('/')[0]}{path}"


def _found(place: str) -> Response:
    return Response(302, headers=[("location", place)])


def cookies(context: Context, request: Request, rest: list[str]) -> Response:
    """/cookies, /cookies/set?NAME=VALUE, /cookies/set/NAME/VALUE, /cookies/delete?NAME."""
    if not rest:
        given = forms.cookies(request)
        return context.form.answer(given if context.form.is_go else {"cookies": given})
    named = {name: values[0] for name, values in forms.query(request).items()}
    if rest[0] == "set" and len(rest) == 3:
        named = {rest[1]: rest[2]}
    elif len(rest) != 1 or rest[0] not in ("set", "delete"):
        return context.form.error(404)
    if any(not (name + value).isprintable() or ";" in name + value for name, value in named.items()):
        raise BadRequestError("invalid cookie")
    end = "; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0" if rest[0] == "delete" else ""
    path = "; HttpOnly" if context.form.is_go else "; Path=/"
    set_them = [("set-cookie", f"{name}={value}{end}{path}") for name, value in named.items()]
    return Response(302, headers=[("location", "/cookies"), *set_them])


def basic_auth(context: Context, request: Request, rest: list[str]) -> Response:
    """/basic-auth/USER/PASSWORD."""
    given = forms.basic(request.headers.joined())
    if given == (rest[0], rest[1]):
        return _authenticated(context, given[0], authenticated=True)
    if context.form.is_go:
        return _authenticated(context, given[0], authenticated=False)
    return Response(401, headers=[_REALM])


def hidden_basic_auth(context: Context, request: Request, rest: list[str]) -> Response:
    """/hidden-basic-auth/USER/PASSWORD: who does not know them learns nothing."""
    given = forms.basic(request.headers.joined())
    if given != (rest[0], rest[1]):
        return context.form.error(404)
    return _authenticated(context, given[0], authenticated=True)


def _authenticated(context: Context, user: str, *, authenticated: bool) -> Response:
    value: dict[str, object] = {"authenticated": authenticated, "user": user}
    if context.form.is_go:
        value["authorized"] = authenticated
    return context.form.answer(value, 200 if authenticated else 401, () if authenticated else [_REALM])


def bearer(context: Context, request: Request, _: list[str]) -> Response:
    """/bearer: any token will do."""
    scheme, _space, token = request.headers.get("authorization").partition(" ")
    if scheme != "Bearer" or not token:
        return Response(401, headers=[("www-authenticate", "Bearer")])
    return context.form.answer({"authenticated": True, "token": token.strip()})


def cache(context: Context, request: Request, rest: list[str]) -> Response:
    """/cache: nothing new to who has it already; /cache/SECONDS: may be kept that long."""
    value = context.form.described(request)
    if rest:
        age = whole(rest[0], "seconds", 0, 2**31)
        return context.form.answer(value, headers=[("cache-control", f"public, max-age={age}")])
    if "if-modified-since" in request.headers or "if-none-match" in request.headers:
        return Response(304)
    now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    tag = f"{zlib.crc32(now.encode()):08x}"
    return context.form.answer(value, headers=[("last-modified", now), ("etag", f'"{tag}"')])


def etag(context: Context, request: Request, rest: list[str]) -> Response:
    """/etag/TAG: obeys If-None-Match and If-Match (RFC 9110, 13.1)."""
    tag = ("etag", f'"{rest[0]}"')
    wanted, needed = request.headers.get("if-none-match"), request.headers.get("if-match")
    if wanted and _names(wanted, rest[0]):
        return Response(304, headers=[tag])
    if not wanted and needed and not _names(needed, rest[0]):
        return Response(412, headers=[tag])
    return context.form.answer(context.form.described(request), headers=[tag])


def _names(header: str, tag: str) -> bool:
    named = {one.strip().removeprefix("W/").strip('"') for one in header.split(",")}
    return bool(named & {tag, "*"})


def base64_value(context: Context, _: Request, rest: list[str]) -> Response:
    """/base64/VALUE and /base64/decode/VALUE; /base64/encode/VALUE."""
    operation, value = rest if len(rest) == 2 else ("decode", rest[0])
    if operation not in ("decode", "encode") or len(value) > MAX_BYTES:
        return context.form.error(404)
    if operation == "encode":
        return Response(200, base64.urlsafe_b64encode(value.encode()))
    try:
        return Response(200, base64.urlsafe_b64decode(value.encode()))
    except ValueError as error:
        raise BadRequestError(f"base64 decode failed: {error}") from None

"""How the two programs describe a request in JSON: go-httpbin every value as a list, Python's httpbin as a string."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl

from mesh_lab.apps.http.messages import REASONS, Request, Response

Headers = Sequence[tuple[str, str]]
Values = dict[str, list[str]]

# Python's httpbin hides what a hosting platform adds, unless the query has `show_env`.
_HIDDEN = """
    x-varnish x-request-start x-heroku-queue-depth x-real-ip x-forwarded-proto x-forwarded-protocol x-forwarded-ssl
    x-heroku-queue-wait-time x-forwarded-for x-heroku-dynos-in-use x-forwarded-port x-request-id via total-route-time
    connect-time
"""
_OF_THE_PLATFORM = frozenset(_HIDDEN.split())


class Form(Protocol):
    """The form of one of the two programs."""

    is_go: bool
    """Whether it is go-httpbin, which has some paths of its own and stricter bounds."""

    def answer(self, value: Any, status: int = 200, headers: Headers = ()) -> Response:
        """JSON as the program writes it."""

    def error(self, status: int, detail: str = "") -> Response:
        """An answer that says what is wrong."""

    def headers(self, request: Request) -> dict[str, Any]:
        """The request's headers."""

    def values(self, fields: Values) -> dict[str, Any]:
        """Fields of a query or a form."""

    def described(self, request: Request, *, body: bool = False, method: bool = False) -> dict[str, Any]:
        """The request; `body` with what it carried, `method` with its method where that is not always told."""


class GoForm:
    """github.com/mccutchen/go-httpbin."""

    is_go = True

    def answer(self, value: Any, status: int = 200, headers: Headers = ()) -> Response:
        """See Form."""
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        return Response(status, text.encode(), "application/json; charset=utf-8", headers)

    def error(self, status: int, detail: str = "") -> Response:
        """See Form."""
        value = {"status_code": status, "error": REASONS.get(status, "")}
        return self.answer(value | ({"detail": detail} if detail else {}), status)

    def headers(self, request: Request) -> dict[str, Any]:
        """See Form."""
        found: Values = {}
        for name, value in request.headers.pairs:
            found.setdefault(_canonical(name), []).append(value)
        return dict(sorted(found.items()))

    def values(self, fields: Values) -> dict[str, Any]:
        """See Form."""
        return dict(sorted(fields.items()))

    def described(self, request: Request, *, body: bool = False, method: bool = False) -> dict[str, Any]:  # noqa: ARG002
        """See Form."""
        found: dict[str, Any] = {
            "args": self.values(query(request)),
            "headers": self.headers(request),
            "method": request.method,
            "origin": origin(request, first=True),
            "url": url(request),
        }
        return found | (self._body(request) if body else {})

    def _body(self, request: Request) -> dict[str, Any]:
        kind = content_type(request)
        form, files = posted(request)
        data = request.body.decode("utf-8", "replace")
        known = (
            "text/html",
            "text/plain",
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        )
        if request.body and kind not in known:
            encoded = base64.urlsafe_b64encode(request.body).decode()
            data = f"data:{kind or 'application/octet-stream'};base64,{encoded}"
        value = json.loads(request.body) if kind == "application/json" and request.body else None
        return {"data": data, "files": self.values(files), "form": self.values(form), "json": value}


class PythonForm:
    """PyPI's httpbin, the image `kennethreitz/httpbin`."""

    is_go = False

    def answer(self, value: Any, status: int = 200, headers: Headers = ()) -> Response:
        """See Form."""
        text = json.dumps(value, indent=2, sort_keys=True) + "\n"
        return Response(status, text.encode(), "application/json", headers)

    def error(self, status: int, detail: str = "") -> Response:
        """See Form."""
        title = f"{status} {REASONS.get(status, '')}"
        text = (
            f"<!doctype html>\n<title>{title}</title>\n<h1>{REASONS.get(status, '')}</h1>\n<p>{detail or title}</p>\n"
        )
        return Response(status, text.encode(), "text/html; charset=utf-8")

    def headers(self, request: Request) -> dict[str, Any]:
        """See Form."""
        shown = request.headers.joined()
        if "show_env" not in query(request):
            shown = {name: value for name, value in shown.items() if name not in _OF_THE_PLATFORM}
        return {name.title(): value for name, value in shown.items()}

    def values(self, fields: Values) -> dict[str, Any]:
        """See Form."""
        return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}

    def described(self, request: Request, *, body: bool = False, method: bool = False) -> dict[str, Any]:
        """See Form."""
        found: dict[str, Any] = {
            "args": self.values(query(request)),
            "headers": self.headers(request),
            "origin": origin(request, first=False),
            "url": url(request),
        }
        if method:
            found["method"] = request.method
        return found | (self._body(request) if body else {})

    def _body(self, request: Request) -> dict[str, Any]:
        form, files = posted(request)
        data = "" if form or files else _text_or_data(request)
        try:
            value = json.loads(data) if data else None
        except ValueError:
            value = None
        return {"data": data, "files": self.values(files), "form": self.values(form), "json": value}


def query(request: Request) -> Values:
    """The fields of the query."""
    return _collected(request.target.partition("?")[2])


def content_type(request: Request) -> str:
    """The body's type, without parameters."""
    return request.headers.get("content-type").partition(";")[0].strip().lower()


def posted(request: Request) -> tuple[Values, Values]:
    """The fields and the files of a form."""
    kind = content_type(request)
    if kind == "application/x-www-form-urlencoded":
        return _collected(request.body.decode("utf-8", "replace")), {}
    if kind != "multipart/form-data":
        return {}, {}
    from email import message_from_bytes, policy  # costs 4 MB, and few requests need it

    head = f"Content-Type: {request.headers.get('content-type')}\r\n\r\n".encode("latin-1")
    fields: Values = {}
    files: Values = {}
    for part in message_from_bytes(head + request.body, policy=policy.HTTP).iter_parts():
        name = str(part.get_param("name", "", header="content-disposition"))
        text = (part.get_payload(decode=True) or b"").decode("utf-8", "replace")  # type: ignore[union-attr]
        (fields if part.get_filename() is None else files).setdefault(name, []).append(text)
    return fields, files


def origin(request: Request, *, first: bool) -> str:
    """The client's address: of a chain of proxies the `first`, or the whole chain."""
    forwarded = request.headers.get("x-forwarded-for")
    if not forwarded:
        return request.peer.removeprefix("::ffff:")
    return forwarded.partition(",")[0].strip() if first else forwarded


def url(request: Request) -> str:
    """The URL that the client used, as far as the headers of proxies tell."""
    headers = request.headers
    scheme = headers.get("x-forwarded-proto") or headers.get("x-forwarded-protocol")
    if not scheme:
        scheme = "https" if headers.get("x-forwarded-ssl") == "on" else "http"
    return f"{scheme}://{headers.get('host')}{request.target}"


def cookies(request: Request) -> dict[str, str]:
    """The request's cookies."""
    pairs = (one.strip().partition("=") for one in request.headers.get("cookie").split(";") if "=" in one)
    return {name: value.strip('"') for name, _, value in pairs}


def basic(headers: Mapping[str, str]) -> tuple[str, str]:
    """User and password of HTTP's basic authentication (RFC 7617); empty without any."""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded).decode("utf-8", "replace").partition(":")
    except ValueError:
        return "", ""
    return user, password


def _collected(text: str) -> Values:
    found: Values = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _text_or_data(request: Request) -> str:
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        return "data:application/octet-stream;base64," + base64.b64encode(request.body).decode()

"""The product page: HTML for people, /api/v1 for programs, put together from details, reviews and ratings.

It calls reviews up to twice, with a timeout of three seconds: the published sample does, and its lesson on delays
relies on it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from mesh_lab.apps.bookinfo.page import index_page, product_page
from mesh_lab.apps.bookinfo.upstreams import Upstream, json_response, not_found, propagated
from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.messages import Request, Response

PRODUCT = {
    "id": 0,
    "title": "The Comedy of Errors",
    "descriptionHtml": "Two pairs of twins, parted in a shipwreck, end up in one town without knowing of each other. "
    "One of William Shakespeare's earliest comedies, and his shortest play.",
}
REVIEW_ATTEMPTS = 2
MAX_FLOOD = 1000


def service() -> Handler:
    """The service's handler."""
    return ProductPage(os.environ)


@dataclass(frozen=True, slots=True)
class Part:
    """What another service gave: its JSON, or an error, and the status to pass on."""

    status: int
    value: dict[str, Any]


class ProductPage:
    """The front of Bookinfo."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._details = Upstream("details", 3.0, environment)
        self._reviews = Upstream("reviews", 3.0, environment)
        self._ratings = Upstream("ratings", 3.0, environment)
        flood = environment.get("FLOOD_FACTOR", "0")
        self._flood = min(int(flood), MAX_FLOOD) if flood.isdigit() else 0
        self._results: Counter[tuple[str, int]] = Counter()
        self._pages = {
            "/": self._index,
            "/index.html": self._index,
            "/health": self._health,
            "/login": self._login,
            "/logout": self._logout,
            "/metrics": self._metrics,
            "/productpage": self._productpage,
        }

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        page = self._pages.get(request.path)
        if page is not None:
            return await page(request)
        if request.path == "/api/v1/products":
            return json_response([PRODUCT])
        if request.path.startswith("/api/v1/products/"):
            return await self._api(request)
        return not_found(request)

    async def _index(self, _: Request) -> Response:
        return _html(index_page())

    async def _health(self, _: Request) -> Response:
        return Response(200, b"Product page is healthy")

    async def _metrics(self, _: Request) -> Response:
        """The published counter, in Prometheus' text format; the sample's manifest has Istio's agent scrape it."""
        lines = ["# HELP request_result_total Results of requests", "# TYPE request_result_total counter"]
        lines += [
            f'request_result_total{{destination_app="{app}",response_code="{code}"}} {number}'
            for (app, code), number in sorted(self._results.items())
        ]
        return Response(200, ("\n".join(lines) + "\n").encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def _login(self, request: Request) -> Response:
        fields = parse_qs(request.body.decode("utf-8", "replace")) if request.method == "POST" else {}
        user = fields.get("username", [request.query.get("username", "")])[0][:100]
        return _redirect(_return_to(request), f"session={quote(user, safe='')}; Path=/; HttpOnly; SameSite=Lax")

    async def _logout(self, request: Request) -> Response:
        return _redirect(_return_to(request), "session=; Path=/; Max-Age=0")

    async def _productpage(self, request: Request) -> Response:
        headers = _headers(request)
        if self._flood:
            await asyncio.gather(
                *(self._part(self._reviews, "/reviews/0", headers, "reviews") for _ in range(self._flood))
            )
        details = await self._get_details(0, headers)
        reviews = await self._get_reviews(0, headers)
        page = product_page(PRODUCT, details.value, reviews.value, session_user(request))
        return _html(page)

    async def _api(self, request: Request) -> Response:
        number, _, part = request.path.removeprefix("/api/v1/products/").partition("/")
        getter = {"": self._get_details, "reviews": self._get_reviews, "ratings": self._get_ratings}.get(part)
        if getter is None or not number.isascii() or not number.isdigit():
            return not_found(request)
        found = await getter(int(number), _headers(request))
        return json_response(found.value, found.status)

    async def _get_details(self, book: int, headers: Mapping[str, str]) -> Part:
        return self._counted("details", await self._part(self._details, f"/details/{book}", headers, "details"))

    async def _get_reviews(self, book: int, headers: Mapping[str, str]) -> Part:
        found = Part(500, {})
        for _ in range(REVIEW_ATTEMPTS):
            found = await self._part(self._reviews, f"/reviews/{book}", headers, "reviews")
            if found.status == 200:
                break
        return self._counted("reviews", found)

    async def _get_ratings(self, book: int, headers: Mapping[str, str]) -> Part:
        return self._counted("ratings", await self._part(self._ratings, f"/ratings/{book}", headers, "ratings"))

    async def _part(self, upstream: Upstream, path: str, headers: Mapping[str, str], what: str) -> Part:
        part = Part(500, {"error": f"Sorry, product {what} are currently unavailable for this book."})
        try:
            answer = await upstream.get(path, headers)
            value = json.loads(answer.body) if answer.status == 200 else part.value
            part = Part(answer.status, value)
        except (ApiError, ValueError):
            pass  # which the part says already
        return part

    def _counted(self, what: str, part: Part) -> Part:
        self._results[what, part.status] += 1
        return part


def session_user(request: Request) -> str:
    """The user of the session. It proves nothing: there is no password, the name serves to route by."""
    for cookie in request.headers.get("cookie").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == "session":
            return unquote(value)
    return ""


def _headers(request: Request) -> dict[str, str]:
    headers = propagated(request)
    if user := session_user(request):
        # A header value holds no control characters, and HTTP/1.1 no more than Latin-1 (RFC 9110, 5.5).
        headers["end-user"] = "".join(c for c in user if c.isprintable()).encode("latin-1", "replace").decode("latin-1")
    return headers


def _return_to(request: Request) -> str:
    path = urlsplit(request.headers.get("referer")).path
    # One slash at the start: two would name another host.
    return path if path.startswith("/") and not path.startswith("//") else "/productpage"


def _redirect(path: str, cookie: str) -> Response:
    return Response(302, b"", headers={"location": path, "set-cookie": cookie})


def _html(page: str) -> Response:
    return Response(200, page.encode(), "text/html; charset=utf-8")

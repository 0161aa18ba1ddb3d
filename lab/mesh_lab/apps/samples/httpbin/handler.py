"""httpbin's handler: which path is answered by what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.httpbin import changing, plain, slow
from mesh_lab.apps.samples.httpbin.context import BadRequestError, Context
from mesh_lab.apps.samples.httpbin.forms import Form

Answer = Callable[[Context, Request, list[str]], Response | Awaitable[Response]]

ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
READ = ("GET", "HEAD", "OPTIONS")

# The first part of the path, how many parts follow it at least and at most, the methods, the answer.
ROUTES: tuple[tuple[str, int, int, tuple[str, ...], Answer], ...] = (
    ("", 0, 0, READ, plain.index),
    ("absolute-redirect", 1, 1, ANY, changing.absolute_redirect),
    ("anything", 0, 99, ANY, plain.anything),
    ("base64", 1, 2, ANY, changing.base64_value),
    ("basic-auth", 2, 2, ANY, changing.basic_auth),
    ("bearer", 0, 0, ANY, changing.bearer),
    ("bytes", 1, 1, ANY, slow.some_bytes),
    ("cache", 0, 1, ANY, changing.cache),
    ("cookies", 0, 3, ANY, changing.cookies),
    ("deflate", 0, 0, ANY, plain.deflated),
    ("delay", 1, 1, ANY, slow.delay),
    ("delete", 0, 0, ("DELETE", "OPTIONS"), plain.with_body),
    ("deny", 0, 0, ANY, plain.deny),
    ("drip", 0, 0, ANY, slow.drip),
    ("encoding", 1, 1, READ, plain.utf8),
    ("env", 0, 0, ANY, plain.environment),
    ("etag", 1, 1, ANY, changing.etag),
    ("forms", 1, 1, READ, plain.form_page),
    ("get", 0, 0, READ, plain.get),
    ("gzip", 0, 0, ANY, plain.gzipped),
    ("head", 0, 0, READ, plain.get),
    ("headers", 0, 0, ANY, plain.headers),
    ("hidden-basic-auth", 2, 2, ANY, changing.hidden_basic_auth),
    ("hostname", 0, 0, ANY, plain.hostname),
    ("html", 0, 0, ANY, plain.html),
    ("image", 0, 1, ANY, plain.image),
    ("ip", 0, 0, ANY, plain.address),
    ("json", 0, 0, ANY, plain.slides),
    ("patch", 0, 0, ("PATCH", "OPTIONS"), plain.with_body),
    ("post", 0, 0, ("POST", "OPTIONS"), plain.with_body),
    ("put", 0, 0, ("PUT", "OPTIONS"), plain.with_body),
    ("range", 1, 1, ANY, slow.ranged),
    ("redirect", 1, 1, ANY, changing.redirect),
    ("redirect-to", 0, 0, ANY, changing.redirect_to),
    ("relative-redirect", 1, 1, ANY, changing.redirect),
    ("response-headers", 0, 0, ANY, changing.response_headers),
    ("robots.txt", 0, 0, ANY, plain.robots),
    ("status", 1, 1, ANY, changing.status),
    ("stream", 1, 1, ANY, slow.stream),
    ("stream-bytes", 1, 1, ANY, slow.stream_bytes),
    ("unstable", 0, 0, ANY, changing.unstable),
    ("user-agent", 0, 0, ANY, plain.user_agent),
    ("uuid", 0, 0, ANY, plain.random_id),
    ("websocket", 1, 1, ANY, plain.websocket_echo),
    ("xml", 0, 0, ANY, plain.xml),
)
# What httpbin has and this program has not: to say so is better than "not found".
MISSING = frozenset(("brotli", "digest-auth", "dump", "links", "sse", "trailers"))
_TABLE = {name: (low, high, methods, answer) for name, low, high, methods, answer in ROUTES}


class HttpBin:
    """The server, in one of its two forms."""

    def __init__(self, form: Form, environment: Mapping[str, str]) -> None:
        self._context = Context(form, environment)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        try:
            response = self._answer(request)
            if not isinstance(response, Response):
                response = await response
        except BadRequestError as error:
            response = self._context.form.error(400, str(error))
        return _shared_with_browsers(request, response)

    def _answer(self, request: Request) -> Response | Awaitable[Response]:
        first, *rest = request.path.removeprefix("/").split("/")
        form = self._context.form
        if first in MISSING:
            return form.error(501, f"the lab's httpbin has no /{first}")
        low, high, methods, answer = _TABLE.get(first, (1, 0, (), None))
        if answer is None or not low <= len(rest) <= high:
            return form.error(404)
        if request.method not in methods:
            return form.error(405)
        if request.method == "OPTIONS" and answer is not plain.anything:
            return Response(200)
        return answer(self._context, request, rest)


def _shared_with_browsers(request: Request, response: Response) -> Response:
    """Let pages of any origin read the answer, as httpbin does (https://fetch.spec.whatwg.org/#http-cors-protocol)."""
    more = [
        ("access-control-allow-origin", request.headers.get("origin", "*")),
        ("access-control-allow-credentials", "true"),
    ]
    if request.method == "OPTIONS":
        more += [
            ("access-control-allow-methods", "GET, POST, HEAD, PUT, DELETE, PATCH, OPTIONS"),
            ("access-control-max-age", "3600"),
        ]
        if wanted := request.headers.get("access-control-request-headers"):
            more.append(("access-control-allow-headers", wanted))
    response.headers = [*response.fields, *more]
    return response

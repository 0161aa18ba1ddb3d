"""The control port: a pod of a test sends requests, and queries its Envoy, on orders that come over HTTP.

The same as `kubectl exec POD -- mesh-lab-app send` and `admin`, without a process of kubectl and one of Python each:

    POST /send    the options of `send` as JSON (see `orders`); the answer is a line that says that the run has begun
                  and, when it has ended, what `send` prints. With ?run=NAME it can be stopped before its end.
    POST /stop    ?run=NAME: no further request of that run begins.
    POST /admin   {"path": "/stats", "post": false}: what the pod's Envoy answers, with its status.

An order may also stand in the header x-control-order, of a request without a body: a proxy that hands on the beginning
of an answer while it is still at the request's body may break off both (Go's does, and so Kubernetes' API server).

Requests from here carry the pod's identity in the mesh. So the port opens only where `--control` is given, and every
request to it needs the token. A run ends when its client disconnects.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.traffic.orders import MAX_ORDER_BYTES, BadOrder, fields_of, plan_of
from mesh_lab.apps.traffic.run import Run

TOKEN_HEADER = "x-control-token"
ORDER_HEADER = "x-control-order"
MAX_RUNS = 16
ADMIN_PORT = 15000
ADMIN_SECONDS = 20.0
BEGUN = b'{"begun": true}\n'


class Control:
    """The handler of a control port. Its requests carry the token in the header x-control-token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.runs: dict[object, Run] = {}
        self._routes: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/send": self._send,
            "/stop": self._stop,
            "/admin": _admin,
        }

    async def __call__(self, request: Request) -> Response:
        """Answer: 401 without the token, 404, 405, 413 and 400 for what cannot be carried out."""
        if not hmac.compare_digest(request.headers.get(TOKEN_HEADER).encode(), self._token):
            return _refusal(401, f"the header {TOKEN_HEADER} does not hold this pod's token")
        answer = self._routes.get(request.path)
        if answer is None:
            return _refusal(404, f"there is no {request.path}; there are {', '.join(self._routes)}")
        if request.method != "POST":
            return _refusal(405, f"{request.path} takes POST")
        if len(request.body) > MAX_ORDER_BYTES:
            return _refusal(413, f"the body has {len(request.body)} bytes; {MAX_ORDER_BYTES} are allowed")
        try:
            return await answer(request)
        except BadOrder as error:
            return _refusal(400, str(error))

    async def _send(self, request: Request) -> Response:
        plan, name, lines = plan_of(_order(request)), request.query.get("run", ""), list[str]()
        if len(self.runs) >= MAX_RUNS:
            return _refusal(429, f"{MAX_RUNS} runs are under way")
        if name in self.runs:
            return _refusal(409, f"run: {name!r} is under way")
        try:
            run = Run(plan, lines.append)
        except ValueError as error:
            raise BadOrder(str(error)) from error
        return Response(200, self._carried_out(name or object(), run, lines), "application/x-ndjson")

    async def _carried_out(self, name: object, run: Run, lines: list[str]) -> AsyncIterator[bytes]:
        self.runs[name] = run
        try:
            yield BEGUN
            await run.carry_out()
        finally:
            del self.runs[name]
        yield "".join(lines).encode()

    async def _stop(self, request: Request) -> Response:
        name = request.query.get("run", "")
        if name not in self.runs:
            return _refusal(404, f"run: {name!r} is not under way")
        self.runs[name].stop()
        return Response(200)


def _order(request: Request) -> bytes:
    return request.body or request.headers.get(ORDER_HEADER).encode()


async def _admin(request: Request) -> Response:
    given = {"post": False, **fields_of(_order(request))}
    if unknown := given.keys() - {"path", "post"}:
        raise BadOrder(f"{min(unknown)}: there is no such field; there are path, post")
    path, method = given.get("path"), "POST" if given["post"] else "GET"
    if not isinstance(path, str) or not path.startswith("/"):
        raise BadOrder(f"path: {json.dumps(path)[:80]} is not a text that begins with /")
    if not isinstance(given["post"], bool):
        raise BadOrder(f"post: {json.dumps(given['post'])[:80]} is not true or false")
    try:
        answer = await fetch(f"http://127.0.0.1:{ADMIN_PORT}{path}", method=method, timeout=ADMIN_SECONDS)
    except (ApiError, ValueError) as error:
        return _refusal(502, f"no Envoy answers in this pod: {error}")
    return Response(answer.status, answer.body, answer.headers.get("content-type", "text/plain"))


def _refusal(status: int, why: str) -> Response:
    return Response(status, f"{why}\n".encode())

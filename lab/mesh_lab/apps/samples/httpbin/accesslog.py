"""A line for each request, in the form of the two programs: the task on mirroring looks for them in the pods' logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.httpbin.forms import origin

Line = Callable[[Request, Response, float], str]


def logged(handler: Handler, line: Line) -> Handler:
    """The handler, with a line on standard output for each request; `line` gets the seconds that it took."""

    async def answer(request: Request) -> Response:
        begun = time.monotonic()
        response = await handler(request)
        sys.stdout.write(f"{line(request, response, time.monotonic() - begun)}\n")
        sys.stdout.flush()
        return response

    return answer


def of_gunicorn(request: Request, response: Response, _: float) -> str:
    """The combined format, which is gunicorn's."""
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    what = f'"{request.method} {request.target} {request.protocol}" {response.status} {_size(response)}'
    referer, agent = (request.headers.get(name, "-") for name in ("referer", "user-agent"))
    return f'{request.peer.removeprefix("::ffff:")} - - [{now}] {what} "{referer}" "{agent}"'


def of_go_httpbin(request: Request, response: Response, seconds: float) -> str:
    """Names and values."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    what = f'status={response.status} method="{request.method}" uri="{request.target}" size_bytes={_size(response)}'
    who = f'user_agent="{request.headers.get("user-agent")}" client_ip={origin(request, first=True)}'
    return f'time="{now}" {what} duration_ms={seconds * 1000:.2f} {who}'


def _size(response: Response) -> int:
    return len(response.body) if isinstance(response.body, bytes) else 0

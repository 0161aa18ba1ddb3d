"""What a request asks of the echo server: by its query or by headers `x-echo-NAME`, as a mesh may rewrite either."""

from __future__ import annotations

import random
from dataclasses import dataclass

from mesh_lab.apps.http.messages import Request

MAX_WAIT_SECONDS = 300.0
MAX_SIZE_BYTES = 64 * 1024 * 1024
STATUS_PATH = "/status/"


class BadInstruction(ValueError):  # noqa: N818 - named for what it is: the client's mistake, answered with 400
    """An instruction that cannot be followed; the message names the field."""


@dataclass(frozen=True, slots=True)
class Instructions:
    """How to answer one request. Times in seconds, sizes in bytes."""

    status: int = 200
    fail: int = 0
    code: int = 503
    id: str = ""
    delay: float = 0.0
    close: bool = False
    size: int | None = None


def parse(request: Request) -> Instructions:
    """Read the instructions.

    `fail=K` fails the first K attempts of a request (distinguished by `id` or the header x-request-id) with `code`;
    `status=MIX` and the path /status/MIX answer a code, or codes by weight (`200:90,503:10`); `delay=SECONDS`;
    `close` cuts the connection; `size=BYTES`.

    Raises:
        BadInstruction: a field out of its range.
    """
    query = request.query

    def field(name: str) -> str | None:
        if name in query:
            return query[name]
        header = f"x-echo-{name}"
        return request.headers.get(header) if header in request.headers else None

    mix = request.path[len(STATUS_PATH) :] if request.path.startswith(STATUS_PATH) else field("status")
    size = field("size")
    return Instructions(
        status=_pick(mix) if mix else 200,
        fail=int(_number("fail", field("fail") or "0", 0, 1_000_000)),
        code=_code("code", field("code") or "503"),
        id=field("id") or request.headers.get("x-request-id"),
        delay=_number("delay", field("delay") or "0", 0, MAX_WAIT_SECONDS),
        close=(field("close") or "") not in ("", "0", "false") or query.get("close") == "",
        size=None if size is None else int(_number("size", size, 0, MAX_SIZE_BYTES)),
    )


def _pick(mix: str) -> int:
    codes: list[int] = []
    weights: list[float] = []
    for part in mix.split(","):
        code, _, weight = part.partition(":")
        codes.append(_code("status", code))
        weights.append(_number("status", weight or "1", 0, 1e9))
    if not sum(weights):
        raise BadInstruction(f"status: the weights of {mix!r} add up to 0")
    return random.choices(codes, weights)[0]


def _code(name: str, text: str) -> int:
    return int(_number(name, text, 200, 599))


def _number(name: str, text: str, low: float, high: float) -> float:
    try:
        number = float(text)
    except ValueError:
        raise BadInstruction(f"{name}: {text!r} is not a number") from None
    if not low <= number <= high:
        raise BadInstruction(f"{name}: {text} is not between {low:g} and {high:g}")
    return number

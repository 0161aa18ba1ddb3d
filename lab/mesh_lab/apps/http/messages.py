"""Requests and responses as both protocols see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

Pairs = list[tuple[str, str]]
Upgrade = Callable[[asyncio.StreamReader, Callable[[bytes], None]], Awaitable[None]]

# Headers that belong to one connection (RFC 9110, 7.6.1). HTTP/2 forbids them (RFC 9113, 8.2.2).
HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"})


class AbortConnection(Exception):  # noqa: N818 - it is an instruction to the server, not a failure
    """Raised by a handler to cut the connection without an answer (a TCP reset), as a crashing process does."""


class Headers:
    """Header fields in the order of arrival; names are lower case, a name may repeat."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs: Pairs = [(name.lower(), value) for name, value in pairs]

    def get(self, name: str, default: str = "") -> str:
        """The first value of this name."""
        for key, value in self.pairs:
            if key == name:
                return value
        return default

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.pairs)

    def joined(self) -> dict[str, str]:
        """One value a name; repeated fields joined by a comma (RFC 9110, 5.3)."""
        found: dict[str, str] = {}
        for name, value in self.pairs:
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found


@dataclass(frozen=True, slots=True)
class Tls:
    """A connection's TLS: whether the client has shown a certificate that was verified, and the protocol's version.

    On the client's side it is the server that has shown a certificate. `server_name` is what the client asked for,
    where the server's context notes it (`note_server_name`); `protocol` what was agreed on for the application (ALPN);
    `certificate` the other side's, as PEM.
    """

    certified: bool
    version: str
    server_name: str = ""
    protocol: str = ""
    cipher: str = ""
    certificate: str = ""


@dataclass(slots=True)
class Request:
    """One request, whole: bodies are read before a handler sees them (the server bounds their size).

    One that a `Streaming` handler wants at its beginning has `pieces` of a body instead, as they come.
    """

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    protocol: str = "HTTP/1.1"
    peer: str = ""
    port: int = 0
    tls: Tls | None = None
    pieces: AsyncIterator[bytes] | None = None

    @property
    def path(self) -> str:
        """The path, percent-decoded, without the query."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        """The query's fields; of a repeated one the last."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


@dataclass(slots=True)
class Response:
    """One answer. A body in pieces is sent chunked (HTTP/1.1) and at the pace at which the client reads.

    `headers` as pairs may repeat a name. `trailers` follow the body over HTTP/2, which is where gRPC has its status.
    With `upgrade` the connection speaks another protocol from then on (HTTP/1.1 only; 101, or 200 to CONNECT): it is
    called with what the client sends and with a way to send, and when it returns the connection ends.
    """

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = field(default_factory=dict)
    trailers: Sequence[tuple[str, str]] = ()
    upgrade: Upgrade | None = None

    @property
    def fields(self) -> Iterable[tuple[str, str]]:
        """The headers beside those that describe the body."""
        return self.headers.items() if isinstance(self.headers, Mapping) else self.headers

    @property
    def reason(self) -> str:
        """The status' usual phrase, or nothing for a number without one."""
        return REASONS.get(self.status, "")


REASONS: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}

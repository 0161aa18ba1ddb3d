"""What comes of a request: an answer, or an error with a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mesh_lab.apps.http.messages import Headers, Tls

MAX_BODY_BYTES = 64 * 1024 * 1024


class ApiError(Exception):
    """A request without an answer.

    `kind` is one of: dns, refused, unreachable, timeout, reset (cut before the whole answer), tls, protocol.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


@dataclass(slots=True)
class Answer:
    """A response, whole; trailers come over HTTP/2, `tls` over a connection that has it."""

    status: int
    headers: Headers
    body: bytes
    protocol: str
    trailers: Headers = field(default_factory=Headers)
    tls: Tls | None = None


class ClientConnection(Protocol):
    """One connection, of either protocol."""

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it now."""

    async def request(self, method: str, target: str, fields: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and return the whole answer.

        Raises:
            ApiError: there is no whole answer.
        """

    def close(self) -> None:
        """Close the connection; a request under way fails."""

"""A client for both protocols, whose every failure has a name.

It never repeats a request by itself: what it reports is what happened, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mesh_lab.apps.http.answers import Answer, ApiError, ClientConnection
from mesh_lab.apps.http.http1_client import Http1Connection

if TYPE_CHECKING:
    import ssl

MAX_IDLE_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests go: the scheme, the host to look up, the port; for TLS the `server_name` if it is not the host."""

    scheme: str
    host: str
    port: int
    server_name: str = ""

    @property
    def authority(self) -> str:
        """The Host header: the port is left out when it is the scheme's own."""
        default = {"http": 80, "https": 443}[self.scheme]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default else f"{host}:{self.port}"


def parse_url(url: str) -> tuple[Origin, str]:
    """Split a URL into its origin and its request target.

    Raises:
        ValueError: it is not an http or https URL with a host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no URL of the form http://HOST[:PORT]/PATH or https://...")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target = parts.path or "/"
    return Origin(parts.scheme, parts.hostname, port), f"{target}?{parts.query}" if parts.query else target


async def connect(
    origin: Origin, addresses: deque[str], *, http2: bool = False, tls: ssl.SSLContext | None = None
) -> ClientConnection:
    """Open a connection to the next of the addresses, in turn.

    Raises:
        ApiError: dns, refused, unreachable or tls.
    """
    if not addresses:
        addresses.extend(await resolve(origin.host))
    addresses.rotate(-1)
    address = addresses[-1]
    loop = asyncio.get_running_loop()
    server_name = (origin.server_name or origin.host) if tls else None
    try:
        if http2:
            from mesh_lab.apps.http.http2_client import Http2Connection  # h2 costs 20 ms, and is rarely used

            _, second = await loop.create_connection(
                lambda: Http2Connection(origin.scheme), address, origin.port, ssl=tls, server_hostname=server_name
            )
            return second
        _, first = await loop.create_connection(
            Http1Connection, address, origin.port, ssl=tls, server_hostname=server_name
        )
    except ConnectionRefusedError as error:
        raise ApiError("refused", f"{address}:{origin.port} refused the connection") from error
    except OSError as error:
        raise _connect_error(error, address, origin.port) from error
    return first


def _connect_error(error: OSError, address: str, port: int) -> ApiError:
    where = f"{address}:{port}"
    if type(error).__module__ == "ssl":
        return ApiError("tls", f"{where}: {error}")
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return ApiError("reset", f"{where} cut the connection before it was set up")
    if isinstance(error, TimeoutError):
        return ApiError("timeout", f"{where} did not accept the connection")
    return ApiError("unreachable", f"{where}: {error.strerror or error}")


async def resolve(host: str) -> list[str]:
    """The host's IPv4 and IPv6 addresses, as the system's resolver orders them.

    Raises:
        ApiError: dns.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ApiError("dns", f"{host!r}: {error.strerror or error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Client:
    """Requests to one origin over kept connections.

    HTTP/1.1 takes one connection for each request under way; HTTP/2 one for all.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        http2: bool = False,
        tls: ssl.SSLContext | None = None,
        keep: bool = True,
        timeout: float = 10.0,
    ) -> None:
        self.origin = origin
        self._http2 = http2
        self._tls = tls
        self._keep = keep
        self._timeout = timeout
        self._idle: deque[ClientConnection] = deque(maxlen=MAX_IDLE_CONNECTIONS)
        self._shared: ClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._addresses: deque[str] = deque()

    async def request(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send one request and read the whole answer.

        Raises:
            ApiError: no answer within the time limit, or none at all.
        """
        fields = {"host": self.origin.authority, **(headers or {})}
        try:
            async with asyncio.timeout(self._timeout):
                if self._http2 and self._keep:
                    return await (await self._shared_connection()).request(method, target, fields, body)
                return await self._on_own_connection(method, target, fields, body)
        except TimeoutError as error:
            raise ApiError("timeout", f"no answer within {self._timeout:g} s") from error

    async def _shared_connection(self) -> ClientConnection:
        async with self._connecting:
            if self._shared is None or not self._shared.usable:
                self._shared = await self._connect()
            return self._shared

    async def _on_own_connection(self, method: str, target: str, fields: Mapping[str, str], body: bytes) -> Answer:
        connection = self._take_idle() or await self._connect()
        try:
            answer = await connection.request(method, target, fields, body)
        except BaseException:
            connection.close()
            raise
        if self._keep and connection.usable and len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _take_idle(self) -> ClientConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self) -> ClientConnection:
        try:
            return await connect(self.origin, self._addresses, http2=self._http2, tls=self._tls)
        except ApiError:
            self._addresses.clear()  # look the name up again: its addresses may have changed
            raise

    def close(self) -> None:
        """Close every connection."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        if self._shared is not None:
            self._shared.close()


async def fetch(
    url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b"", timeout: float = 10.0
) -> Answer:
    """One request on a connection of its own.

    Raises:
        ValueError: not an HTTP URL.
        ApiError: no answer.
    """
    origin, target = parse_url(url)
    client = Client(origin, keep=False, timeout=timeout)
    with contextlib.closing(client):
        return await client.request(method, target, headers, body)

"""HTTP to an API server, with the credentials that a kubeconfig's user has at the moment.

It uses `http.client`: importing a whole HTTP library would take longer than all requests of `mesh-lab status`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import ssl
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from mesh_lab.client.kubeconfig import Identity, Target
from mesh_lab.errors import LabError

_HTTPS_PORT, _HTTP_PORT = 443, 80
_UNAUTHORIZED = 401
_ERRORS = 400
_BROKEN = (OSError, http.client.HTTPException, ValueError)
"""What http.client raises when the other end does not keep to HTTP, or leaves."""
NONE: Mapping[str, str] = MappingProxyType({})


class ApiError(LabError):
    """The API refused a request; `code`, `reason` and `message` are those of its `Status`."""

    def __init__(self, code: int, message: str, *, reason: str = "", request: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.request = request

    def __str__(self) -> str:
        parts = (self.request, f"{self.code} {self.reason}".strip() if self.code else "", self.message)
        return ": ".join(part for part in parts if part)


class ClusterUnreachable(ApiError):  # noqa: N818 - reads as a state in pytest's report
    """No answer came, or half of one. `code` is 0."""

    def __init__(self, message: str, *, request: str = "") -> None:
        super().__init__(0, message, request=request)


class Exchange:
    """A request whose answer has begun. Its `with` block gives the connection back, or hangs up on what is unread."""

    def __init__(
        self,
        request: str,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        keep: Callable[[http.client.HTTPConnection], None],
    ) -> None:
        self.request = request
        self.status = response.status
        self.reason = response.reason
        self.content_type = response.headers.get("Content-Type", "")
        self._connection = connection
        self._response = response
        self._keep = keep
        self._closed = False

    def line(self) -> str:
        """The next line of the answer, empty at its end.

        Raises:
            ClusterUnreachable: it is cut off, or does not come in time.
        """
        return self._read(self._response.readline).decode("utf-8", "replace")

    def lines(self) -> Iterator[str]:
        """Lines as they come, without their ends, until the answer ends or none has come for the request's timeout.

        Raises:
            ClusterUnreachable: it is cut off.
        """
        while True:
            try:
                line = self._response.readline()
            except TimeoutError:
                return
            except _BROKEN as error:
                raise self._cut_off(error) from error
            if not line:
                return
            yield line.decode("utf-8", "replace").rstrip("\r\n")

    def rest(self) -> str:
        """Return all that is left of the answer.

        Raises:
            ClusterUnreachable: it is cut off, or does not come in time.
        """
        return self.content().decode("utf-8", "replace")

    def content(self) -> bytes:
        """As `rest`, as it came."""
        return self._read(self._response.read)

    def _read(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except _BROKEN as error:
            raise self._cut_off(error) from error

    def _cut_off(self, error: Exception) -> ClusterUnreachable:
        self._response.close()
        self._connection.close()
        return ClusterUnreachable(f"the answer broke off: {_words(error)}", request=self.request)

    def raise_for_status(self) -> None:
        """Raise the error that the answer is, if it is one.

        Raises:
            ApiError: the answer's status is an error; the message is that of its `Status`, or its text.
        """
        if self.status < _ERRORS:
            return
        text = self.rest()
        with contextlib.suppress(ValueError):
            status = json.loads(text)
            if isinstance(status, dict) and "message" in status:
                code, reason = int(status.get("code") or self.status), str(status.get("reason", ""))
                raise ApiError(code, str(status["message"]), reason=reason, request=self.request)
        raise ApiError(self.status, text.strip()[:500], reason=self.reason, request=self.request)

    def close(self) -> None:
        """Keep the connection for another request, or hang up: the other end then gives up what it is doing.

        Only the first call counts: later another request may be on the connection.
        """
        if self._closed:
            return
        self._closed = True
        if self._response.isclosed() and not self._response.will_close:
            self._keep(self._connection)
        else:
            self._response.close()
            self._connection.close()

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connections:
    """Connections to an API server. Those that are idle are kept for the next request; it may come from any thread."""

    def __init__(self, target: Target) -> None:
        """Prepare connections; none is opened yet.

        Raises:
            LabError: the user cannot log in, or a certificate cannot be used.
        """
        self._target = target
        self._tls: ssl.SSLContext | None = None
        self._who: Identity | None = None
        self._idle: list[tuple[ssl.SSLContext | None, http.client.HTTPConnection]] = []
        self._identity()

    def close(self) -> None:
        """Close the connections that are kept; a further request opens another."""
        while self._idle:
            self._idle.pop()[1].close()

    def begin(
        self, method: str, path: str, *, body: str | bytes | None, headers: Mapping[str, str], timeout: float
    ) -> Exchange:
        """Send a request and wait for the beginning of its answer. `timeout` seconds are for each piece of it.

        Raises:
            ClusterUnreachable: no answer.
            LabError: the user cannot log in.
        """
        exchange = self._begin(method, path, body, headers, timeout)
        if exchange.status == _UNAUTHORIZED and self._target.user.refused():
            exchange.close()
            exchange = self._begin(method, path, body, headers, timeout)
        return exchange

    def _begin(
        self, method: str, path: str, body: str | bytes | None, headers: Mapping[str, str], timeout: float
    ) -> Exchange:
        who = self._identity()
        sent = {"User-Agent": "mesh-lab", **headers}
        if who.token:
            sent["Authorization"] = f"Bearer {who.token}"
        if (kept := self._kept(timeout)) is not None:
            try:
                return self._ask(kept, method, path, body, sent)
            except ClusterUnreachable as error:
                # The server may have closed a kept connection in this moment, which is no failure.
                if method != "GET" or isinstance(error.__cause__, TimeoutError):
                    raise
        return self._ask(self._open(timeout), method, path, body, sent)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: str | bytes | None,
        headers: Mapping[str, str],
    ) -> Exchange:
        tls = self._tls
        try:
            connection.request(method, self._target.url.path + path, body=body, headers=dict(headers))
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            where = f"{self._target.url.hostname}:{self._port}"
            what = f"{method} {self._target.url.geturl()}{path}"
            raise ClusterUnreachable(f"{where} does not answer: {_words(error)}", request=what) from error
        return Exchange(f"{method} {path}", connection, response, lambda done: self._idle.append((tls, done)))

    def _kept(self, timeout: float) -> http.client.HTTPConnection | None:
        """A connection that is idle and open, if there is any."""
        while self._idle:
            tls, connection = self._idle.pop()
            if tls is self._tls and connection.sock is not None and not _readable(connection):
                connection.sock.settimeout(timeout)
                return connection
            connection.close()
        return None

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        host = self._target.url.hostname or ""
        if self._tls is None:
            return http.client.HTTPConnection(host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(host, self._port, timeout=timeout, context=self._tls)

    @property
    def _port(self) -> int:
        return self._target.url.port or (_HTTPS_PORT if self._tls is not None else _HTTP_PORT)

    def _identity(self) -> Identity:
        """Return the user's credentials of now. A connection stays with the certificate that it was opened with."""
        who, shown = self._target.user.identity(), self._who
        if shown is None or (who.certificate, who.key) != (shown.certificate, shown.key):
            self._tls = self._target.tls(who) if self._target.url.scheme == "https" else None
        self._who = who
        return who


def json_of(exchange: Exchange) -> Any:
    """The JSON document that is the answer, or its text where it is something else."""
    content = exchange.content()
    if not exchange.content_type.startswith("application/json"):
        return content.decode("utf-8", "replace")
    try:
        return json.loads(content)
    except ValueError as error:
        raise ClusterUnreachable(f"the answer is not JSON: {error}", request=exchange.request) from error


def _readable(connection: http.client.HTTPConnection) -> bool:
    """Whether something can be read before a request: then the server has closed the connection."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _words(error: Exception) -> str:
    return str(error) or repr(error)

"""A request to the Kubernetes API whose answer is fetched later: what is under way meanwhile ends when it is closed."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from mesh_lab.client.kubeconfig import Identity
from mesh_lab.harness.kubeconfig import ClusterUnreachable, User


class Dialler:
    """Opens connections to an API server, as whoever a kubeconfig's user is at that moment."""

    def __init__(self, server: str, user: User) -> None:
        self._address = urlsplit(server)
        self._user = user
        self._shown: Identity | None = None
        self._tls: ssl.SSLContext | None = None

    def begin(self, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Exchange:
        """Send a request and wait for the beginning of its answer. `timeout` seconds are for each piece of it.

        Raises:
            ClusterUnreachable: no answer.
        """
        host, port = self._address.hostname or "", self._address.port
        who = self._user.identity()
        connection: http.client.HTTPConnection
        if self._address.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=self._context(who))
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        what = f"{method} {path}"
        sent = {**headers, "Authorization": f"Bearer {who.token}"} if who.token else headers
        try:
            connection.request(method, self._address.path + path, body, sent)
            return Exchange(what, connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ClusterUnreachable(f"{what}: {error!r}") from error

    def _context(self, who: Identity) -> ssl.SSLContext:
        """To read certificates takes its time, so it is kept as long as they are the same."""
        if self._tls is None or self._shown is None or self._shown.certificate != who.certificate:
            self._tls, self._shown = self._user.context(), who
        return self._tls


class Exchange:
    """An answer that has begun; its connection is its own, and closed with its `with` block."""

    def __init__(self, what: str, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self.what = what
        self.status = response.status
        self._connection = connection
        self._response = response

    def line(self) -> str:
        """The next line of the answer.

        Raises:
            ClusterUnreachable: it is cut off, or does not come in time.
        """
        return self._read(self._response.readline)

    def rest(self) -> str:
        """All that is left of the answer. Raises as `line`."""
        return self._read(self._response.read)

    def _read(self, read: Callable[[], bytes]) -> str:
        try:
            return read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ClusterUnreachable(f"{self.what}: {error!r}") from error

    def close(self) -> None:
        """Hang up: the other end gives up what it is doing."""
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""Users that speak TCP: `from meshtcp import TcpUser` in a locustfile."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from locust import User, events

_LARGEST_READ = 65536


class TcpUser(User):
    """A user with one TCP connection to its host (`tcp://HOST:PORT`), which is opened by its first exchange."""

    abstract = True
    timeout = 10.0
    """Seconds for opening the connection, and for each piece of an answer."""
    keep = True
    """Whether the connection stays open for the next exchange."""
    _connection: socket.socket | None = None

    def exchange(
        self, message: bytes, *, complete: Callable[[bytes], bool] = bool, name: str | None = None
    ) -> bytes | None:
        """Send a message and read its answer; None when that failed, which is counted as an error.

        `complete` says whether what was read until now is the whole answer; by default any bytes are. The latency goes
        from the message, or from opening the connection for it, to the end of the answer.
        """
        begun, failure, answer = time.perf_counter(), None, b""
        try:
            connection = self._open()
            connection.sendall(message)
            while not complete(answer):
                if not (piece := connection.recv(_LARGEST_READ)):
                    raise ConnectionError(f"the connection was closed after {len(answer)} bytes of the answer")
                answer += piece
        except OSError as error:
            failure = error
        if failure is not None or not self.keep:
            self.disconnect()
        events.request.fire(
            request_type="TCP",
            name=name or urlsplit(self.host or "").netloc,
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=len(answer),
            exception=failure,
            context=self.context(),
        )
        return None if failure is not None else answer

    def disconnect(self) -> None:
        """Close the connection; the next exchange opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def on_stop(self) -> None:
        """Leave nothing open."""
        self.disconnect()

    def _open(self) -> socket.socket:
        if self._connection is None:
            target = urlsplit(self.host or "")
            self._connection = socket.create_connection((target.hostname, target.port), self.timeout)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

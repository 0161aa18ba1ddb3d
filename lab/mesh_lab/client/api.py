"""As much of a Kubernetes client as the command line needs: read an object, watch a collection.

kubectl does the rest. This is here because a process of kubectl takes a tenth of a second for each question, and the
command line asks many. Importing a whole client library would cost more than all of those questions.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mesh_lab.client import kubeconfig

Object = dict[str, Any]
_GOOD = (200, 201)
_HTTPS_PORT = 443
_UNAUTHORIZED = 401
_NONE: Mapping[str, str] = MappingProxyType({})


class RequestError(Exception):
    """The API did not give what was asked for. `code` is the HTTP status, 0 when there was no answer at all."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Api:
    """A Kubernetes API, reached as a kubeconfig's current context says. One connection, kept open between requests."""

    def __init__(self, file: Path) -> None:
        """Raises `LabError` for a kubeconfig that cannot be used, or whose user cannot log in."""
        self._target = kubeconfig.read(file)
        self._who = self._target.user.identity()
        self._context = self._target.tls(self._who)
        self._connection: http.client.HTTPSConnection | None = None

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str, *, timeout: float = 10.0, headers: Mapping[str, str] = _NONE) -> Any:
        """The JSON document at `path`. Raises `RequestError`."""
        return self._ask("GET", path, timeout, headers)

    def post(self, path: str, body: Any, *, timeout: float = 10.0) -> Any:
        """The JSON document that answers `body` at `path`. Raises `RequestError`."""
        return self._ask("POST", path, timeout, {"Content-Type": "application/json"}, json.dumps(body))

    def _ask(self, method: str, path: str, timeout: float, headers: Mapping[str, str], body: str | None = None) -> Any:
        kept = self._connection is not None
        try:
            return self._send(method, path, timeout, headers, body)
        except RequestError as error:
            # A kept connection may have been closed by the server in the meantime, which is no failure.
            again = kept and not error.code
            if not again and not (error.code == _UNAUTHORIZED and self._target.user.refused()):
                raise
            return self._send(method, path, timeout, headers, body)

    def watch(self, path: str, resource_version: str, *, silence: float) -> Iterator[tuple[str, Object]]:
        """Changes of a collection after `resource_version`, as (type, object).

        Ends when the server ends it or after `silence` seconds without a change. Raises `RequestError`.
        """
        joint = "&" if "?" in path else "?"
        self._renew()
        connection = self._open(silence)
        try:
            with self._request(connection, f"{path}{joint}watch=true&resourceVersion={resource_version}") as response:
                while line := response.readline():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise RequestError(
                            event["object"].get("code", 0), event["object"].get("message", "watch failed")
                        )
                    yield event["type"], event["object"]
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RequestError(0, f"the watch of {path} broke off: {error}") from error
        finally:
            connection.close()

    def _send(self, method: str, path: str, timeout: float, headers: Mapping[str, str], body: str | None) -> Any:
        self._renew()
        connection = self._connection or self._open(timeout)
        self._connection = connection
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            with self._request(connection, path, method, headers, body) as response:
                return json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            # A failed TLS handshake leaves a socket in it that is no longer one.
            self.close()
            raise RequestError(0, f"{self._host}:{self._port} does not answer: {error}") from error

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._context)

    def _renew(self) -> None:
        """Go on as whoever the user is by now. A connection stays with the certificate that it was opened with."""
        who = self._target.user.identity()
        if (who.certificate, who.key) != (self._who.certificate, self._who.key):
            self.close()
            self._context = self._target.tls(who)
        self._who = who

    @property
    def _host(self) -> str:
        return self._target.url.hostname or ""

    @property
    def _port(self) -> int:
        return self._target.url.port or _HTTPS_PORT

    @contextlib.contextmanager
    def _request(
        self,
        connection: http.client.HTTPSConnection,
        path: str,
        method: str = "GET",
        more: Mapping[str, str] = _NONE,
        body: str | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        headers = {"Accept": "application/json", "User-Agent": "mesh-lab", **more}
        if self._who.token:
            headers["Authorization"] = f"Bearer {self._who.token}"
        connection.request(method, self._target.url.path + path, body=body, headers=headers)
        with connection.getresponse() as response:
            if response.status not in _GOOD:
                raise RequestError(response.status, _message(response.read()))
            yield response


def _message(body: bytes) -> str:
    """The message of a `Status` object, or the plain text that a proxied program answered."""
    with contextlib.suppress(ValueError):
        status = json.loads(body)
        if isinstance(status, dict) and "message" in status:
            return str(status["message"])
    return body.decode("utf-8", "replace").strip()[:500]

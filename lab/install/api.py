"""As much of a Kubernetes client as the command line needs: read an object, watch a collection.

kubectl does the rest. This is here because a process of kubectl takes a tenth of a second for each question, and the
command line asks many. Importing a whole client library would cost more than all of those questions.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.errors import LabError
from lab.login import Login

Object = dict[str, Any]
_HTTP_OK = 200


class RequestError(Exception):
    """The API did not give what was asked for. `code` is the HTTP status, 0 when there was no answer at all."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Access:
    """What a kubeconfig says about its current context. `login` is a user's who has to ask for a token."""

    host: str
    port: int
    context: ssl.SSLContext
    token: str | None
    login: Login | None = None

    def bearer(self) -> str | None:
        """The token for a request. Raises `LabError` when there is none to be had."""
        return self.login.credential().token if self.login else self.token


class Api:
    """A Kubernetes API, reached as a kubeconfig's current context says. One connection, kept open between requests."""

    def __init__(self, kubeconfig: Path) -> None:
        self._access = _read(kubeconfig)
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

    def get(self, path: str, *, timeout: float = 10.0) -> Any:
        """The JSON document at `path`. Raises `RequestError`."""
        kept = self._connection is not None
        try:
            return self._get(path, timeout)
        except RequestError as error:
            # A kept connection may have been closed by the server in the meantime, which is no failure.
            if error.code or not kept:
                raise
            return self._get(path, timeout)

    def watch(self, path: str, resource_version: str, *, silence: float) -> Iterator[tuple[str, Object]]:
        """Changes of a collection after `resource_version`, as (type, object).

        Ends when the server ends it or after `silence` seconds without a change. Raises `RequestError`.
        """
        joint = "&" if "?" in path else "?"
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

    def _get(self, path: str, timeout: float) -> Any:
        connection = self._connection or self._open(timeout)
        self._connection = connection
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            with self._request(connection, path) as response:
                return json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            # A failed TLS handshake leaves a socket in it that is no longer one.
            self.close()
            raise RequestError(0, f"{self._access.host}:{self._access.port} does not answer: {error}") from error

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._access.host, self._access.port, timeout=timeout, context=self._access.context
        )

    @contextlib.contextmanager
    def _request(self, connection: http.client.HTTPSConnection, path: str) -> Iterator[http.client.HTTPResponse]:
        headers = {"Accept": "application/json", "User-Agent": "mesh-lab"}
        if token := self._access.bearer():
            headers["Authorization"] = f"Bearer {token}"
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            if response.status != _HTTP_OK:
                raise RequestError(response.status, _message(response.read()))
            yield response


def _message(body: bytes) -> str:
    """The message of a `Status` object, or the plain text that a proxied program answered."""
    with contextlib.suppress(ValueError):
        status = json.loads(body)
        if isinstance(status, dict) and "message" in status:
            return str(status["message"])
    return body.decode("utf-8", "replace").strip()[:500]


def _read(kubeconfig: Path) -> Access:
    """Raises `LabError` for a kubeconfig that is missing, broken, or whose user cannot log in."""
    import yaml

    try:
        document = yaml.load(kubeconfig.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"]).get("user") or {}
        url = urlsplit(cluster["server"])
        trust = _content(cluster, "certificate-authority", kubeconfig)
        certificate, key = _content(user, "client-certificate", kubeconfig), _content(user, "client-key", kubeconfig)
        login = Login(user["exec"], cluster, kubeconfig.parent) if "exec" in user else None
        if login is not None and not (certificate and key):
            given = login.credential()
            certificate, key = given.certificate.encode(), given.key.encode()
        if not (certificate and key) and not user.get("token") and login is None:
            raise LabError(f"{kubeconfig}: its user has neither a client certificate, a token nor a login program")
        return Access(url.hostname or "", url.port or 443, _tls(trust, certificate, key), user.get("token"), login)
    except OSError as error:
        raise LabError(f"cannot read {error.filename or kubeconfig}: {error.strerror or error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, LookupError, yaml.YAMLError, ssl.SSLError) as error:
        raise LabError(f"{kubeconfig} is not a kubeconfig that leads anywhere: {error!r}") from error


def _named(document: Object, collection: str, name: str) -> Object:
    for entry in document[collection]:
        if entry["name"] == name:
            found: Object = entry
            return found
    raise LookupError(f"no {name!r} among its {collection}")


def _content(section: Object, field: str, kubeconfig: Path) -> bytes | None:
    """A field that is either embedded (`-data`) or the name of a file beside the kubeconfig."""
    data = section.get(f"{field}-data")
    if isinstance(data, str):
        return base64.b64decode(data)
    if file := section.get(field):
        return kubeconfig.parent.joinpath(str(file)).read_bytes()
    return None


def _tls(trust: bytes | None, certificate: bytes | None, key: bytes | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=trust.decode() if trust else None)
    if certificate and key:
        # OpenSSL reads a key from a file only; an anonymous one never reaches the disk.
        descriptor = os.memfd_create("client-certificate")
        try:
            os.write(descriptor, certificate + b"\n" + key)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
    return context

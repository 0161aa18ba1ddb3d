"""A small client of the Kubernetes API: what the control plane needs of it, over HTTPS with its pod's own token.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from mesh_lab.controlplane.kube.kinds import Kind

Object = dict[str, Any]

_REQUEST_LIMIT = aiohttp.ClientTimeout(total=15)
# A watch ends by itself after WATCH_SECONDS; a connection that says nothing for longer than that is dead.
WATCH_SECONDS = 300
_WATCH_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=WATCH_SECONDS + 30)
_TOKEN_AGE = 10.0
_TLS_BUFFER = 16 * 1024
"""A TLS record. asyncio takes 256 KB for each connection, and each kind is a watch with a
connection of its own: 7 MB. It has no setting for that but the attribute of its protocol.
"""
_USER_AGENT = "pilot-discovery"
"""Istio's own, by which `managedFields` names the writer of a status."""


class ApiError(Exception):
    """The API server answered with an error; `status` is the HTTP status, `reason` Kubernetes' word for it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message or f"{status} {reason}")
        self.status = status
        self.reason = reason


class Unreachable(Exception):  # noqa: N818 - a state, not a fault of ours
    """The API server did not answer: it is starting, stopping, or gone."""


@dataclass(frozen=True)
class WatchEvent:
    """One line of a watch."""

    type: str
    object: Object


class KubeClient:
    """Use as an async context manager.

    Raises:
        ApiError: from every call, when the API server answers with an error.
        Unreachable: from every call, when there is no answer.
    """

    def __init__(self, server: str, token_file: Path, ca_file: Path) -> None:
        self._server = server.rstrip("/")
        self._token_file = token_file
        self._ca_file = ca_file
        self._token = ""
        self._token_read = -_TOKEN_AGE
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> KubeClient:
        sslproto.SSLProtocol.max_size = _TLS_BUFFER
        trust = ssl.create_default_context(cafile=str(self._ca_file))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=0, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            headers={"User-Agent": _USER_AGENT},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """An object, or None when there is none of that name."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list_all(self, kind: Kind, namespace: str = "") -> tuple[list[Object], str]:
        """All objects of a kind, and the resource version from which a watch goes on."""
        answer = await self._call("GET", kind.path(namespace))
        return answer.get("items") or [], answer["metadata"].get("resourceVersion", "")

    async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
        """Create an object."""
        return await self._call("POST", kind.path(namespace), body=obj)

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        """Patch an object (JSON merge patch, RFC 7386)."""
        return await self._call(
            "PATCH",
            kind.path(namespace, name, subresource),
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def apply(self, kind: Kind, obj: Object, manager: str) -> Object:
        """Make an object so, by server-side apply; fields that others own are taken over."""
        meta = obj["metadata"]
        path = kind.path(meta.get("namespace", ""), meta["name"])
        query = f"?fieldManager={quote(manager, safe='')}&force=true"
        return await self._call("PATCH", path + query, body=obj, content_type="application/apply-patch+yaml")

    async def replace(self, kind: Kind, obj: Object) -> Object:
        """Store an object in place of the version that it names."""
        meta = obj["metadata"]
        whole = {"apiVersion": f"{kind.group}/{kind.version}".lstrip("/"), "kind": kind.kind, **obj}
        return await self._call("PUT", kind.path(meta.get("namespace", ""), meta["name"]), body=whole)

    async def delete(self, kind: Kind, name: str, namespace: str, resource_version: str) -> None:
        """Delete an object as of a version."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": resource_version}}
        await self._call("DELETE", kind.path(namespace, name), body=options)

    async def watch(self, kind: Kind, resource_version: str, namespace: str = "") -> AsyncGenerator[WatchEvent, None]:
        """What happens to a kind after `resource_version`, bookmarks included, until the server ends the watch.

        Raises:
            ApiError: 410 when the server has forgotten that version: list again.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        try:
            async with self._open.get(
                self._server + kind.path(namespace), params=query, headers=self._headers(), timeout=_WATCH_LIMIT
            ) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.read())
                async for line in _lines(response.content):
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise _error(event["object"].get("code", 500), orjson.dumps(event["object"]))
                    yield WatchEvent(event["type"], event["object"])
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise Unreachable(_words(error)) from error

    async def _call(
        self, method: str, path: str, *, body: object = None, content_type: str = "application/json"
    ) -> Object:
        try:
            headers = self._headers()
            if body is not None:
                headers["Content-Type"] = content_type
            async with self._open.request(
                method,
                self._server + path,
                data=None if body is None else orjson.dumps(body),
                headers=headers,
                timeout=_REQUEST_LIMIT,
            ) as response:
                content = await response.read()
                if response.status >= 400:
                    raise _error(response.status, content)
                answer: Object = orjson.loads(content)
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise Unreachable(_words(error)) from error

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("KubeClient is used outside its context")
        return self._session

    def _headers(self) -> dict[str, str]:
        """The node replaces the token's file before the token ends."""
        now = asyncio.get_running_loop().time()
        if now - self._token_read >= _TOKEN_AGE:
            self._token, self._token_read = self._token_file.read_text().strip(), now
        return {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: aiohttp's own iteration fails for those over 64 KiB."""
    parts: list[bytes] = []
    async for chunk in content.iter_any():
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            whole = b"".join([*parts, line])
            parts.clear()
            if whole:
                yield whole
        if rest:
            parts.append(rest)


def _error(status: int, content: bytes) -> ApiError:
    try:
        answer = orjson.loads(content)
        return ApiError(status, answer.get("reason", ""), answer.get("message", ""))
    except (orjson.JSONDecodeError, AttributeError):
        return ApiError(status, "", content.decode(errors="replace")[:200])


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__

"""Calls webhooks over HTTPS, at a ready endpoint of their service or at a URL, within a time limit."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import ClientError, ClientResponse, ClientSession, DummyCookieJar, TCPConnector

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import SERVICES

USUAL_LIMIT_SECONDS = 10
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
_MOST_BYTES = 8 * 1024 * 1024
"""An object of the largest size, as a patch in base64, fits in."""


class CallError(Exception):
    """A webhook could not be called, or its answer is invalid."""


class Caller:
    """Posts reviews to webhooks; holds the connections to them. Close it with `close`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._session: ClientSession | None = None

    async def call(self, hook: Mapping[str, Any], review: Mapping[str, Any]) -> Any:
        """Call the webhook and return its decoded answer.

        Raises:
            CallError: the webhook cannot be reached, or does not answer as one.
        """
        limit = int(hook.get("timeoutSeconds", USUAL_LIMIT_SECONDS))
        config = hook.get("clientConfig") or {}
        shown, target, server_name = self._target(config, f"timeout={limit}s")
        context = _context(config.get("caBundle") or "")
        try:
            async with (
                asyncio.timeout(limit),
                self._client().post(
                    target,
                    data=orjson.dumps(review),
                    headers=_HEADERS,
                    ssl=context,
                    server_hostname=server_name,
                    allow_redirects=False,
                ) as response,
            ):
                body = await _read(response)
                if response.status != 200:
                    words = body[:200].decode(errors="replace").strip()
                    raise CallError(f'failed to call webhook: the server answered {response.status}: "{words}"')
        except TimeoutError as error:
            raise CallError(f'failed to call webhook: Post "{shown}": context deadline exceeded') from error
        except (ClientError, OSError, ssl.SSLError) as error:
            raise CallError(f'failed to call webhook: Post "{shown}": {error}') from error
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise CallError(f"failed to call webhook: the answer is not JSON: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _target(self, config: Mapping[str, Any], query: str) -> tuple[str, str, str | None]:
        """Return (URL as it is named, URL to connect to, name that the certificate must have)."""
        if config.get("url"):
            url = f"{config['url']}?{query}"
            return url, url, None
        service = config.get("service") or {}
        namespace, name, port = service.get("namespace", ""), service.get("name", ""), service.get("port", 443)
        path = "/" + str(service.get("path", "")).lstrip("/")
        server_name = f"{name}.{namespace}.svc"
        named = f"https://{server_name}:{port}{path}?{query}"
        try:
            address = behaviour_of(SERVICES).backend(self._registry.store, namespace, name, port)
        except ApiError as error:
            raise CallError(f'failed to call webhook: Post "{named}": {error.message}') from error
        return named, f"https://{address}{path}?{query}", server_name

    def _client(self) -> ClientSession:
        if self._session is None:
            # Endpoints come and go with their pods, so connections are not kept for long.
            connector = TCPConnector(limit=0, keepalive_timeout=5)
            # No compression: a small answer must not become large here.
            self._session = ClientSession(connector=connector, cookie_jar=DummyCookieJar(), auto_decompress=False)
        return self._session


async def _read(response: ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise CallError(f"failed to call webhook: the answer is larger than {_MOST_BYTES} bytes")
    return bytes(body)


@lru_cache(maxsize=64)
def _context(bundle: str) -> ssl.SSLContext:
    """Return a TLS context that trusts a caBundle (base64 of PEM), or the system's authorities when it is empty."""
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (binascii.Error, ValueError, ssl.SSLError) as error:
        raise CallError(f"failed to call webhook: its caBundle holds no certificate: {error}") from error

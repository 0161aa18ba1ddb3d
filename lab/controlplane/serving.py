"""istiod's own certificate, the HTTP servers that show it, and the webhook configuration that trusts it."""

from __future__ import annotations

import base64
import logging
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from aiohttp import web

from lab.controlplane.ca import Leaf
from lab.controlplane.kubeclient import WEBHOOKS, ApiError, Kind, Object, Unreachable
from lab.controlplane.signals import Signal
from lab.controlplane.trust import Trust
from lab.controlplane.watching import Backoff

log = logging.getLogger(__name__)

WEBHOOK_CONFIGURATION = "istio-sidecar-injector"
_SERVING_LIFE = timedelta(days=1)
_SHUTDOWN_LIMIT = 0.5


class ServingCertificate:
    """The certificate of istiod's own servers: renewed at half of its life, and when another authority signs."""

    def __init__(self, trust: Trust, dns_names: tuple[str, ...]) -> None:
        self._trust = trust
        self._dns_names = dns_names
        self._leaf: Leaf | None = None
        self._issuer = b""

    def current(self) -> Leaf:
        """The certificate to show now."""
        authority = self._trust.authority
        if self._leaf is None or self._issuer != authority.certificate or self._leaf.renew_at <= datetime.now(UTC):
            self._leaf = authority.issue_server(self._dns_names, _SERVING_LIFE)
            self._issuer = authority.certificate
        return self._leaf

    def context(self) -> ssl.SSLContext:
        """A server's TLS context that shows the current certificate at every handshake."""
        leaf = self.current()
        first = within = _context(leaf)

        def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _first: ssl.SSLContext) -> None:
            # A connection has taken its certificate from its context already: only another context changes it.
            nonlocal leaf, within
            if (now := self.current()) is not leaf:
                leaf, within = now, _context(now)
            connection.context = within

        first.sni_callback = choose
        return first


def _context(leaf: Leaf) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, leaf)
    return context


def _load(context: ssl.SSLContext, leaf: Leaf) -> None:
    """Python's ssl reads certificates from files only; this one lies in memory and has no name."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, leaf.key + leaf.chain)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


async def serve_http(app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    """Start an application; `runner.addresses` tells where, `runner.cleanup()` ends it."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_LIMIT)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=tls).start()
    return runner


class Api(Protocol):
    """What this needs of the API."""

    async def json_patch(self, kind: Kind, name: str, patch: list[Object], namespace: str = "") -> Object:
        """Patch an object."""


class BundlePublisher:
    """Keeps the webhook configuration's caBundle equal to the mesh's roots."""

    def __init__(self, api: Api, roots: Callable[[], bytes], name: str = WEBHOOK_CONFIGURATION) -> None:
        self._api = api
        self._roots = roots
        self._name = name
        self._seen: Object | None = None
        self._changed = Signal()

    def observe(self, event: str, configuration: Object) -> None:
        """A hook for MutatingWebhookConfigurations."""
        if configuration["metadata"]["name"] == self._name:
            self._seen = None if event == "DELETED" else configuration
            self._changed.fire()

    @property
    def done(self) -> bool:
        """The configuration, if there is one, trusts the roots."""
        return not self._patch()

    async def run(self) -> None:
        """Patch until cancelled."""
        backoff, seen = Backoff(), -1
        while True:
            if self._changed.count == seen and self.done:
                await self._changed.wait()
            seen = self._changed.count
            patch = self._patch()
            if not patch:
                continue
            try:
                self._seen = await self._api.json_patch(WEBHOOKS, self._name, patch)
                backoff.reset()
            except (ApiError, Unreachable) as error:
                log.warning("patching %s: %s", self._name, error)
                await backoff.pause()

    def refresh(self) -> None:
        """The roots have changed."""
        self._changed.fire()

    def _patch(self) -> list[Object]:
        bundle = base64.b64encode(self._roots()).decode()
        webhooks = (self._seen or {}).get("webhooks") or ()
        return [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle}
            for index, webhook in enumerate(webhooks)
            if webhook["clientConfig"].get("caBundle") != bundle
        ]

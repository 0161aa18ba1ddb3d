"""istiod's own certificate, the HTTP servers that present it, and the webhook configuration that trusts it."""

from __future__ import annotations

import base64
import logging
import os
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

from aiohttp import web

from mesh_lab.controlplane.kube.client import ApiError, Object, Unreachable
from mesh_lab.controlplane.kube.kinds import VALIDATING_WEBHOOKS, WEBHOOKS, Kind
from mesh_lab.controlplane.kube.signals import Signal
from mesh_lab.controlplane.kube.watching import Pauses
from mesh_lab.controlplane.process.plane import THE_DEFAULT, ControlPlane
from mesh_lab.controlplane.trust.ca import Leaf
from mesh_lab.controlplane.trust.root import Trust
from mesh_lab.controlplane.world.revisions import REVISION_LABEL, service_namespace

log = logging.getLogger(__name__)

_OF_THE_LAB = frozenset({"istio-sidecar-injector", "istio-validator-istio-system", "istiod-default-validator"})
"""Istio's names for the webhook configurations of the default revision: they lead here, labelled or not."""
_INJECTING, _VALIDATING = "/inject", "/validate"
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
            # A connection takes its certificate from its context when it is made: only another context changes it.
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
    """Load a certificate. Python's ssl reads it from a file only; this one is in memory, without a name."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, leaf.key + leaf.chain)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


async def serve_http(app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    """Start an application; `runner.addresses` has its addresses, `runner.cleanup()` ends it."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_LIMIT)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=tls).start()
    return runner


async def serve_also(runner: web.AppRunner, host: str, port: int) -> None:
    """Serve what a runner serves at another port, too."""
    await web.TCPSite(runner, host, port).start()


class Api(Protocol):
    """What this needs of the API."""

    async def replace(self, kind: Kind, obj: Object) -> Object:
        """Store an object in place of the version that it names."""


class BundlePublisher:
    """Keeps the caBundles of webhook configurations equal to the mesh's roots, and validation from being skipped.

    While `superseded` says so, another istiod's bundle is left as it is. Configurations of other control planes than
    `plane` are theirs.
    """

    def __init__(
        self,
        api: Api,
        roots: Callable[[], bytes],
        superseded: Callable[[], bool] = lambda: False,
        plane: ControlPlane = THE_DEFAULT,
    ) -> None:
        self._api = api
        self._roots = roots
        self._superseded = superseded
        self._plane = plane
        self._seen: dict[str, Object] = {}
        self._changed = Signal()

    def observe(self, event: str, configuration: Object) -> None:
        """A hook for configurations of webhooks, of both kinds."""
        name = configuration["metadata"]["name"]
        if event == "DELETED" or not _leads_to(self._plane, configuration):
            if self._seen.pop(name, None) is None:
                return
        else:
            self._seen[name] = configuration
        self._changed.fire()

    @property
    def done(self) -> bool:
        """The configurations that there are trust the roots."""
        return not self._outdated()

    async def run(self) -> None:
        """Write until cancelled. Istio's role for istiod allows updates of both kinds, and patches of one."""
        backoff, seen = Pauses(), -1
        while True:
            if self._changed.count == seen and self.done:
                await self._changed.wait()
            seen = self._changed.count
            for name, wanted in self._outdated().items():
                try:
                    self._seen[name] = await self._api.replace(_kind_of(wanted), wanted)
                    backoff.reset()
                except (ApiError, Unreachable) as error:
                    log.warning("updating %s: %s", name, error)
                    await backoff.pause()

    def refresh(self) -> None:
        """The roots have changed."""
        self._changed.fire()

    def _outdated(self) -> dict[str, Object]:
        """As they should be, the configurations that are not."""
        bundle = base64.b64encode(self._roots()).decode()
        kept = self._superseded()
        wanted = {name: _as_it_should_be(seen, bundle, kept=kept) for name, seen in self._seen.items()}
        return {name: new for name, new in wanted.items() if new != self._seen[name]}


def _leads_to(plane: ControlPlane, configuration: Object) -> bool:
    """Whether it is a control plane's: by Istio's label, and the Service that it calls. So are a revision's tags."""
    meta = configuration["metadata"]
    revision = (meta.get("labels") or {}).get(REVISION_LABEL)
    if revision is None:
        return plane == THE_DEFAULT and meta["name"] in _OF_THE_LAB
    if revision != plane.revision or service_namespace(configuration) not in ("", plane.namespace):
        return False
    return meta["name"] in _OF_THE_LAB or any(
        path.startswith((_INJECTING, _VALIDATING)) for path in _paths(configuration)
    )


def _paths(configuration: Object) -> Iterator[str]:
    for webhook in configuration.get("webhooks") or ():
        yield str((webhook["clientConfig"].get("service") or {}).get("path", ""))


def _kind_of(configuration: Object) -> Kind:
    name = configuration["metadata"]["name"]
    validates = name in _OF_THE_LAB - {"istio-sidecar-injector"} or any(
        path.startswith(_VALIDATING) for path in _paths(configuration)
    )
    return VALIDATING_WEBHOOKS if validates else WEBHOOKS


def _as_it_should_be(configuration: Object, bundle: str, *, kept: bool) -> Object:
    webhooks = []
    for webhook in configuration.get("webhooks") or ():
        there = webhook["clientConfig"].get("caBundle")
        roots = there if there and kept else bundle
        new = {**webhook, "clientConfig": {**webhook["clientConfig"], "caBundle": roots}}
        # Istio's own manifests begin with Ignore, and istiod sets Fail once it runs.
        if _kind_of(configuration) is VALIDATING_WEBHOOKS and webhook.get("failurePolicy") == "Ignore":
            new["failurePolicy"] = "Fail"
        webhooks.append(new)
    return {**configuration, "webhooks": webhooks} if webhooks else configuration

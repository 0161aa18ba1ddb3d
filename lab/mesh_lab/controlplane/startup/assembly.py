"""The control plane's parts put together: translation, proxies, the webhooks, reports, and the pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from mesh_lab.controlplane.admission import webhook
from mesh_lab.controlplane.debug import access, controlz, pages
from mesh_lab.controlplane.debug.adsdebug import DebugStreams
from mesh_lab.controlplane.debug.istiopages import IstioPages
from mesh_lab.controlplane.delivery import ads
from mesh_lab.controlplane.delivery.addresses import AddressAllocator
from mesh_lab.controlplane.delivery.health import HealthReports
from mesh_lab.controlplane.delivery.identity import Authenticator
from mesh_lab.controlplane.delivery.jwks import KeyFetcher
from mesh_lab.controlplane.delivery.push import Generate, Pusher
from mesh_lab.controlplane.delivery.registration import Registrar
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.delivery.tracking import Analysis, Remarks, Tracker
from mesh_lab.controlplane.deployment.gateways import Gateways
from mesh_lab.controlplane.dialects import table
from mesh_lab.controlplane.injection.injector import Place
from mesh_lab.controlplane.kube.client import KubeClient, Object
from mesh_lab.controlplane.kube.definitions import Definitions
from mesh_lab.controlplane.kube.kinds import VALIDATING_WEBHOOKS, WEBHOOKS
from mesh_lab.controlplane.kube.watching import Follower, Gate
from mesh_lab.controlplane.model import EnvoyFilter
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.process.config import Ports, Settings
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.process.metrics import Metrics
from mesh_lab.controlplane.report.dialectstatuses import DialectStatuses
from mesh_lab.controlplane.report.gatewaystatuses import GatewayStatuses
from mesh_lab.controlplane.report.ingressstatus import IngressStatuses
from mesh_lab.controlplane.report.notices import Notices
from mesh_lab.controlplane.report.reporting import Reporter
from mesh_lab.controlplane.report.unserved import Unserved
from mesh_lab.controlplane.trust import serving
from mesh_lab.controlplane.trust.root import RootPublisher, Trust
from mesh_lab.controlplane.trust.serving import BundlePublisher, ServingCertificate
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.world.values import CONFIG_MAP, Values, parse_values

log = logging.getLogger(__name__)

_ORGANIZATION = "cluster.local"
_GRACE = 0.3


class Injection:
    """The webhook's settings: the injector's values, as the ConfigMap has them now, and the mesh's."""

    def __init__(self, settings: Settings, snapshot: Callable[[], Snapshot]) -> None:
        self._plane = settings.plane
        self._settings = settings
        self._snapshot = snapshot
        self._values = Values()

    def observe(self, event: str, config_map: Object) -> None:
        """A hook for ConfigMaps; broken values leave the last good ones in use."""
        meta = config_map["metadata"]
        if (meta["namespace"], meta["name"]) != (self._plane.namespace, self._plane.named(CONFIG_MAP)):
            return
        text = "" if event == "DELETED" else (config_map.get("data") or {}).get("values", "")
        try:
            self._values = parse_values(text)
        except ValueError as error:
            log.error("%s; the last good values stay in use", error)  # noqa: TRY400

    def place(self) -> Place:
        """All that an injected pod needs, as of now."""
        snapshot = self._snapshot()
        configs = tuple(snapshot.of(ProxyConfig).values())
        names, domain = self._settings.dns_names, self._settings.cluster_domain
        filters = snapshot.of(EnvoyFilter)
        return Place(names[0], domain, self._values, snapshot.mesh, configs, filters, revision=self._plane.revision)


class Translation(NamedTuple):
    """What is made of a snapshot: a proxy's configuration, and remarks on the resources in it.

    `remembering` lends the memory of what was made to others who read snapshots.
    """

    generate: Generate
    analyse: Analysis
    remembering: Callable[[], AbstractContextManager[None]] = nullcontext


async def serve(
    api: KubeClient,
    settings: Settings,
    gate: Gate,
    followers: list[Follower],
    definitions: Definitions,
    translation: Translation,
    started: Callable[[Ports], None] | None,
) -> None:
    """Serve until cancelled. Takes what the followers have seen from the gate."""
    trust = await Trust.load(api, settings.namespace, _ORGANIZATION)
    metrics, faults = Metrics(), Faults(settings.crash_directory)
    dialects = table.chosen(settings.dialects)
    state = ClusterState(settings.plane, faults, dialects)
    pusher = Pusher(
        state,
        trust,
        translation.generate,
        metrics,
        faults,
        issue_for=settings.issue_for,
        debounce=(settings.debounce, settings.debounce_max),
        remembering=translation.remembering,
    )
    remarks = Remarks(translation.analyse, faults)
    tracker = Tracker(state, pusher, remarks)
    reporter = Reporter(api, state, pusher, tracker, remarks, faults)
    notices = Notices(api, state, remarks, settings.plane)
    ingresses = IngressStatuses(api, state, settings.namespace)
    roots = RootPublisher(api, trust, state.is_home_of)
    bundle = BundlePublisher(api, lambda: trust.authority.roots, lambda: trust.superseded, settings.plane)
    registrar = Registrar(api, state, lambda: pusher.connections, settings.pod)
    injection = Injection(settings, state.snapshot)
    certificate = ServingCertificate(trust, settings.dns_names)

    definitions.changed = state.progress.fire
    gateway_statuses = GatewayStatuses(api, state, definitions, faults, translation.remembering)
    dialect_statuses = DialectStatuses(api, state, dialects, faults, translation.remembering)

    state.hook("Secret", trust.observe)
    state.hook("Namespace", roots.observe_namespace)
    state.hook("ConfigMap", roots.observe_config_map)
    state.hook("ConfigMap", injection.observe)
    state.hook(WEBHOOKS.kind, bundle.observe)
    state.hook(WEBHOOKS.kind, roots.observe_injector)
    state.hook(VALIDATING_WEBHOOKS.kind, bundle.observe)
    gate.open(state)

    async def listen() -> None:
        """Start the proxies last: before everything has been listed they would be sent too little."""
        authenticator = Authenticator(api)
        guarded = access.guard(authenticator, settings.namespace)
        istio = IstioPages(api, state, pusher, settings.namespace)
        reports = HealthReports(api)
        looking = DebugStreams(istio, pusher, authenticator, reports, settings.namespace, settings.pod)
        monitoring = pages.build_app(
            api, state, pusher, tracker, metrics, lambda: state.complete and bundle.done, guarded, istio
        )
        ends: list[Callable[[], Awaitable[Any]]] = []
        try:
            web = await serving.serve_http(monitoring, settings.host, settings.ports.monitoring)
            ends.append(web.cleanup)
            await serving.serve_also(web, settings.host, settings.ports.debug)
            hooks = webhook.build_app(injection.place, metrics)
            hook = await serving.serve_http(hooks, settings.host, settings.ports.webhook, certificate.context())
            ends.append(hook.cleanup)
            levels = await serving.serve_http(controlz.build_app(), controlz.HOST, settings.ports.controlz)
            ends.append(levels.cleanup)
            service = ads.AdsService(state, pusher, authenticator, metrics, registrar, state.progress.fire)
            for follower in followers:
                await follower.synced.wait()
            await definitions.synced()
            state.snapshot()
            server = ads.Server(service, certificate.current, looking.handlers())
            ends.append(lambda: server.stop(_GRACE))
            port = await server.start(settings.host, settings.ports.xds)
            state.complete = True
            log.info("serving %d kinds to proxies on port %d", len(followers), port)
            if started is not None:
                monitored, debug = (address[1] for address in web.addresses)
                started(Ports(port, hook.addresses[0][1], monitored, levels.addresses[0][1], debug))
            # Reports begin after all lists: before, a host that is missing may only not have been listed yet.
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(KeyFetcher(state).run())
                tasks.create_task(AddressAllocator(api, state).run())
                tasks.create_task(registrar.run())
                tasks.create_task(reporter.run())
                tasks.create_task(notices.run())
                tasks.create_task(ingresses.run())
                tasks.create_task(Unserved(api, settings.dialects).run())
                tasks.create_task(gateway_statuses.run())
                tasks.create_task(dialect_statuses.run())
                tasks.create_task(Gateways(api, state, definitions, faults, translation.remembering).run())
        finally:
            for end in reversed(ends):
                await end()

    async with asyncio.TaskGroup() as parts:
        parts.create_task(listen())
        parts.create_task(pusher.run())
        parts.create_task(_publish(roots, followers))
        parts.create_task(trust.report(api))
        parts.create_task(bundle.run())
        parts.create_task(_on_new_roots(trust, bundle))


async def _publish(roots: RootPublisher, followers: list[Follower]) -> None:
    """Publish once it is known which other control planes there are: their namespaces have other roots."""
    for follower in followers:
        await follower.synced.wait()
    await roots.run()


async def _on_new_roots(trust: Trust, bundle: BundlePublisher) -> None:
    while True:
        await trust.changed.wait()
        bundle.refresh()

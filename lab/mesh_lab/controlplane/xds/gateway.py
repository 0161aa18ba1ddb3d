"""LDS and RDS of a gateway: a listener for each port, a chain for each set of hosts whose TLS ends or passes here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, FilterChainMatch
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from mesh_lab.controlplane.model.gateway import ServerTLSSettings
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds import access as accesses
from mesh_lab.controlplane.xds import actions, families, http, misdirected, names, snidnat, telemetry, tls
from mesh_lab.controlplane.xds.access import Access
from mesh_lab.controlplane.xds.attachment import Attached, GatewayServer, origins_of
from mesh_lab.controlplane.xds.built import Built, build, by_name, wire
from mesh_lab.controlplane.xds.clusters import address_of
from mesh_lab.controlplane.xds.gatewaytls import authority_of, credentials_of, downstream_context, has_credentials
from mesh_lab.controlplane.xds.matching import Viewpoint
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.routecontext import RouteContext
from mesh_lab.controlplane.xds.routes import Fragment, context_of, fragment, shared_configuration
from mesh_lab.controlplane.xds.rules import all_hosts, has_routes, routes, takes_all
from mesh_lab.controlplane.xds.scope import RouteConfig, Scope
from mesh_lab.controlplane.xds.tcp import (
    Share,
    concerns_connection,
    forward,
    mark,
    must_announce_tcp,
    policy_of,
    shares,
)
from mesh_lab.controlplane.xds.typeurls import LDS


@dataclass(frozen=True, eq=False)
class Setting:
    """What all listeners of one gateway share. `credentials` are the names of the Secrets that exist."""

    scope: Scope
    context: ProxyContext
    access: Access
    credentials: frozenset[str]

    @property
    def mesh(self) -> MeshConfig:
        """The mesh's settings."""
        return self.context.mesh


def route_name(server: GatewayServer) -> str:
    """The routes of plain HTTP belong to a port, those of HTTPS to a server."""
    if server.plain_http:
        return f"http.{server.target}" if server.target else f"http.{server.server.bind}"
    port = server.server.port
    return f"https.{port.number}.{port.name}.{server.config.name}.{server.config.namespace}"


@memoised
@by_name
def gateway_routes(setting: Setting, servers: Iterable[GatewayServer], found: Iterable[Attached]) -> Iterator[Built]:
    """One configuration for each name that a listener refers to."""
    by_name: dict[str, list[GatewayServer]] = {}
    for server in servers:
        if server.plain_http or (server.ends_tls and _has_credentials(server, setting.credentials)):
            by_name.setdefault(route_name(server), []).append(server)
    by_server: dict[GatewayServer, list[Attached]] = {}
    contexts = {each: context for each in found if (context := _context(setting, each)) is not None}
    for each in contexts:
        by_server.setdefault(each.server, []).append(each)
    for name, some in by_name.items():
        redirected = dict.fromkeys(host for server in some if _redirects(server) for _, host in server.hosts())
        hosts: dict[str, list[Attached]] = {}
        for each in (each for server in some for each in by_server.get(server, ())):
            hosts.setdefault(each.host, []).append(each)
        fragments = [
            _host(
                host,
                tuple(which),
                tuple(contexts[each] for each in which),
                host in redirected or any(_redirects(each.server) for each in which),
            )
            for host, which in hosts.items()
        ]
        fragments += [_redirected(host, origins_of(some)) for host in redirected if host not in hosts]
        fragments += misdirected.told(some[0], servers, hosts)
        yield shared_configuration(name, tuple(fragments), setting.access, setting.mesh.trust_domains)


def _viewpoint(server: GatewayServer, setting: Setting) -> Viewpoint:
    number, retries = server.server.port.number, setting.mesh.default_http_retry_policy
    scope = setting.scope
    return Viewpoint(
        server.gateway, number, scope.namespace, scope.labels, server.ends_tls, retries=retries, traced=scope.traced
    )


def _redirects(server: GatewayServer) -> bool:
    return bool(server.server.tls and server.server.tls.https_redirect)


@memoised
def _context(setting: Setting, each: Attached) -> RouteContext | None:
    """By what the rules of a VirtualService are translated; None where none of them is for this server."""
    view = _viewpoint(each.server, setting)
    return context_of(setting.scope, each.config, view, setting.mesh) if has_routes(each.config, view) else None


@memoised
def _host(host: str, which: tuple[Attached, ...], contexts: tuple[RouteContext, ...], redirected: bool) -> Fragment:
    """A host with the routes of all VirtualServices that name it, oldest first, but those that take all come last.

    As in Istio, so that a host's routes may be split into several VirtualServices, in whatever order they were made:
    https://istio.io/latest/docs/ops/best-practices/traffic-management/#split-virtual-services
    """
    result = VirtualHost(name=f"{host}:{which[0].server.server.port.number}", domains=[host])
    result.include_request_attempt_count = any(actions.counts_attempts(each.config.spec) for each in which)
    found = [route for context in contexts for route in routes(context)]
    origins = [origin for each in which for origin in (*each.config.origins, each.server.config.origin)]
    targets = dict.fromkeys(target for context in contexts for target in context.targets)
    result.routes.extend(sorted(found, key=takes_all))
    if redirected:
        result.require_tls = VirtualHost.ALL
    rules = [target.rules for target in targets if target.rules is not None]
    return fragment(result, [*origins, *(origin for rule in rules for origin in rule.origins)])


@memoised
def _redirected(host: str, origins: tuple[Origin, ...]) -> Fragment:
    """A host without routes on this port: clients are redirected to HTTPS."""
    return fragment(VirtualHost(name=f"{host}:redirect", domains=[host], require_tls=VirtualHost.ALL), origins)


@memoised
@by_name
def gateway_listeners(setting: Setting, servers: Iterable[GatewayServer], found: Iterable[Attached]) -> Iterator[Built]:
    """One listener for each port of the pod. A port speaks plain HTTP or TLS, as its oldest server says."""
    ports: dict[tuple[str, int], list[GatewayServer]] = {}
    for server in servers:
        ports.setdefault((server.server.bind or "0.0.0.0", server.target), []).append(server)
    attachments = list(found)
    for (bind, target), some in ports.items():
        chains = list(_chains(setting, some, attachments))
        if not chains:
            continue
        name = names.listener(bind, target)
        listener = Listener(
            name=name,
            address=address_of(bind, target),
            traffic_direction=TrafficDirection.OUTBOUND,
            filter_chains=chains,
        )
        families.listen_anywhere(listener, setting.mesh)
        if setting.context.topology.proxy_protocol is not None:
            listener.listener_filters.append(http.listener_filter("proxy_protocol"))
        if not (some[0].plain_http or some[0].plain_tcp):
            listener.listener_filters.append(http.listener_filter("tls_inspector"))
        used = [each.config for each in attachments if each.server in some and not each.server.plain_http]
        called = (
            setting.scope.rules.get(setting.scope.called(host))
            for each in used
            for host in all_hosts(each, setting.mesh.cluster_domain)
        )
        ruling = (origin for rules in called if rules is not None for origin in rules.origins)
        requests = all(server.plain_http or server.ends_tls for server in some)
        permitting = () if requests else setting.access.origins
        telling = setting.context.telemetry.origins
        origins = [*origins_of(some), *(each.origin for each in used), *ruling, *permitting, *telling]
        made = {chain.name for chain in chains}
        secrets = (secret for server in some if _chain_name(server) in made for secret in _secrets_of(server))
        yield build(LDS, name, wire(listener), origins, secrets)


def _secrets_of(server: GatewayServer) -> list[str]:
    """The secrets that a server's chain needs before it serves."""
    settings = server.server.tls or ServerTLSSettings()
    return [names.gateway_secret(name) for name in (*credentials_of(settings), authority_of(settings)) if name]


def _chains(setting: Setting, servers: list[GatewayServer], found: list[Attached]) -> Iterator[FilterChain]:
    first = servers[0]
    if first.plain_http:
        yield FilterChain(filters=[_manager(setting, first, route_name(first))])
        return
    if first.plain_tcp:
        yield from _tcp_chain(setting, first, found)
        return
    taken: set[str] = set()
    for server in servers:
        if server.ends_tls or server.ends_tls_of_connections:
            free = [host for host in _server_names(server) if host not in taken]
            chain = _tls_chain(setting, server, free, found) if free else None
            if chain is not None:
                taken.update(free)
                yield chain
        elif server.passes_tls:
            yield from _passthrough_chains(setting, server, found, taken)
        elif server.passes_mesh:
            yield from snidnat.chains(setting.scope, setting.context, server, taken)


def _server_names(server: GatewayServer) -> list[str]:
    return list(dict.fromkeys(host for _, host in server.hosts()))


def _sni(names_served: Iterable[str]) -> FilterChainMatch | None:
    """The server names (SNI) of a chain; `*` also takes clients that send none."""
    wanted = list(names_served)
    return None if "*" in wanted else FilterChainMatch(server_names=wanted)


def _has_credentials(server: GatewayServer, known: frozenset[str]) -> bool:
    """A server whose Secret is missing is left out: Envoy would hold its whole port back for the Secret's sake."""
    return has_credentials(server.server.tls or ServerTLSSettings(), known)


def _tls_chain(setting: Setting, server: GatewayServer, wanted: list[str], found: list[Attached]) -> FilterChain | None:
    """TLS that ends here, with requests in it or connections; None where a Secret is missing, or a way on."""
    if not _has_credentials(server, setting.credentials):
        return None
    settings = server.server.tls or ServerTLSSettings()
    context = downstream_context(settings, tls.HTTP_ALPN if server.ends_tls else (), setting.mesh.tls_defaults)
    chosen = () if server.ends_tls else _attached_shares(setting, server, found)
    if not (server.ends_tls or chosen):
        return None
    onward = [_manager(setting, server, route_name(server))] if server.ends_tls else _tcp(setting, server, chosen)
    return FilterChain(
        name=_chain_name(server),
        filter_chain_match=_sni(wanted),
        filters=onward,
        transport_socket=tls.downstream(context),
    )


def _chain_name(server: GatewayServer) -> str:
    return f"{server.server.port.number}-{server.server.port.name}-{server.gateway}"


def _manager(setting: Setting, server: GatewayServer, name: str) -> Filter:
    return _asking_for(name, server.target, setting.context, setting.access)


@memoised
def _asking_for(routes_name: str, target: int, context: ProxyContext, access: Access) -> Filter:
    """The filter that asks for the routes of a name: no route has a part in it, so a changed one leaves it as it is."""
    logs = telemetry.access_logs(context, telemetry.Reporting("source", "http"))
    filters = accesses.http_filters(access, idle=not access.authentication.rules)
    manager = http.connection_manager("gateway", f"outbound_0.0.0.0_{target}", context, logs, filters)
    manager.rds.CopyFrom(http.rds(routes_name))
    return http.http_filter(manager)


def _tcp_chain(setting: Setting, server: GatewayServer, found: list[Attached]) -> Iterator[FilterChain]:
    chosen = _attached_shares(setting, server, found)
    if chosen:
        yield FilterChain(filters=_tcp(setting, server, chosen))


def _attached_shares(setting: Setting, server: GatewayServer, found: list[Attached]) -> tuple[Share, ...]:
    """Where connections go by the oldest VirtualService with a TCP route, of those for the server's very host first."""
    own = frozenset(_server_names(server))
    here = sorted((each for each in found if each.server == server), key=lambda each: each.host not in own)
    return next(filter(None, (_tcp_shares(each.config, server, setting) for each in here)), ())


def _tcp_shares(config: RouteConfig, server: GatewayServer, setting: Setting) -> tuple[Share, ...]:
    view = _viewpoint(server, setting)
    for rule in config.spec.tcp:
        if not rule.match or any(concerns_connection(match, view, config.namespace) for match in rule.match):
            return shares(setting.scope, config, rule.route, view.port, setting.mesh.cluster_domain)
    return ()


def _passthrough_chains(
    setting: Setting, server: GatewayServer, found: list[Attached], taken: set[str]
) -> Iterator[FilterChain]:
    """TLS that is passed through goes where VirtualService.tls sends the client's server name (SNI)."""
    configs = dict.fromkeys(each.config for each in found if each.server == server)
    view, domain = _viewpoint(server, setting), setting.mesh.cluster_domain
    for config in configs:
        for rule in config.spec.tls:
            for match in rule.match:
                free = [host for host in match.sni_hosts if host not in taken]
                if free and concerns_connection(match, view, config.namespace):
                    taken.update(free)
                    chosen = shares(setting.scope, config, rule.route, view.port, domain)
                    yield FilterChain(filter_chain_match=_sni(free), filters=_tcp(setting, server, chosen))


def _tcp(setting: Setting, server: GatewayServer, chosen: tuple[Share, ...]) -> list[Filter]:
    """The filters of connections to clusters, with the policies that admit them."""
    proxy = TcpProxy(
        stat_prefix=f"outbound_0.0.0.0_{server.target}",
        access_log=telemetry.access_logs(setting.context, telemetry.Reporting("source", "tcp")),
    )
    forward(proxy, chosen, policy_of(setting.scope.rules, chosen))
    return [
        *accesses.network_filters(setting.access, setting.mesh.trust_domains),
        *mark(marked=must_announce_tcp(setting.scope, chosen)),
        http.tcp_filter(proxy),
    ]

"""TrafficExtension: scripts in Lua as HTTP filters, at their phase of the chain.

Source: pilot/pkg/networking/core/extension and listener_builder.go of Istio 1.30. There the phases lie between the
filters of CUSTOM policies, of tokens, of other policies, and the rest; a script goes behind the last filter of the
phases before its own. It is part of the listener, not fetched apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
)
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.model import TrafficExtension
from mesh_lab.controlplane.model.extensions import ExecutionPhase, TrafficSelector
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.proxy import Proxy, ProxyKind
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds.built import Built, any_of, build, wire
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import selects

Scripts = tuple[Config[TrafficExtension], ...]
PortMap = tuple[tuple[int, tuple[int, ...]], ...]

NAME = "extensions.istio.io/trafficextension/"
_MANAGER = "envoy.filters.network.http_connection_manager"
_INBOUND = 1
_LEADING = ("envoy.filters.http.set_filter_state",)
_CUSTOM = ("envoy.filters.http.ext_authz", "envoy.filters.http.rbac.custom")
_TOKENS = ("envoy.filters.http.jwt_authn",)
_POLICIES = ("envoy.filters.http.rbac.audit", "envoy.filters.http.rbac.deny", "envoy.filters.http.rbac.allow")
_BEFORE: Mapping[ExecutionPhase, tuple[str, ...]] = {
    "AUTHN": (*_LEADING, *_CUSTOM),
    "AUTHZ": (*_LEADING, *_CUSTOM, *_TOKENS),
    "STATS": (*_LEADING, *_CUSTOM, *_TOKENS, *_POLICIES),
    "UNSPECIFIED": (*_LEADING, *_CUSTOM, *_TOKENS, *_POLICIES),
}
"""The filters that come before the scripts of a phase; the phases are in order."""


class _Where(NamedTuple):
    """A listener's side, and the numbers of its ports: of each chain, where those decide."""

    server: bool
    ports: tuple[int, ...]


def selected(
    table: Table[ObjectKey, Config[TrafficExtension]], proxy: Proxy, labels: Mapping[str, str], root_namespace: str
) -> Scripts:
    """The scripts for a proxy: its namespace's and the root namespace's, those of the highest priority first."""
    if not table:
        return ()
    found = [
        config
        for config in _by_age(table)
        if config.namespace in (proxy.namespace, root_namespace)
        and selects(config.spec.selector.match_labels if config.spec.selector else {}, labels)
    ]
    found.sort(key=lambda config: config.namespace != proxy.namespace)
    found.sort(key=lambda config: -(config.spec.priority or 0))
    return tuple(found)


@memoised
def _by_age(table: Table[ObjectKey, Config[TrafficExtension]]) -> Scripts:
    scripts = (config for config in table.values() if config.spec.lua is not None and not config.spec.target_refs)
    return tuple(sorted(scripts, key=lambda config: config.precedence))


def insert(
    listeners: Mapping[str, Built], scripts: Scripts, kind: ProxyKind, ports: PortMap = ()
) -> Mapping[str, Built]:
    """The listeners, with scripts in them. `ports`: a gateway's, each with the numbers by which Services call it."""
    return {name: _with_scripts(built, scripts, kind, ports) for name, built in listeners.items()}


@memoised
def _with_scripts(built: Built, scripts: Scripts, kind: ProxyKind, ports: PortMap) -> Built:
    listener = Listener.FromString(AnyMessage.FromString(built.body).value)
    server = kind == "sidecar" and listener.traffic_direction == _INBOUND
    used: dict[Config[TrafficExtension], None] = {}
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        port = chain.filter_chain_match.destination_port.value or listener.address.socket_address.port_value
        where = _Where(server, dict(ports).get(port, (port,)))
        chosen = [script for script in scripts if _is_for(script.spec.match, where)]
        for each in chain.filters:
            manager = HttpConnectionManager()
            if chosen and each.name == _MANAGER and each.typed_config.Unpack(manager):
                _add(manager, chosen)
                each.typed_config.CopyFrom(any_of(manager))
                used |= dict.fromkeys(chosen)
    if not used:
        return built
    origins = [*built.origins, *(script.origin for script in used)]
    return build(built.type_url, built.name, wire(listener), origins, built.secrets)


def _is_for(selectors: Iterable[TrafficSelector], where: _Where) -> bool:
    """Whether one of the selectors, if there are any, is for a side and a port."""
    side = "SERVER" if where.server else "CLIENT"
    selectors = tuple(selectors)
    return not selectors or any(
        each.mode in (side, "UNDEFINED", "CLIENT_AND_SERVER")
        and (not each.ports or any(port.number in where.ports for port in each.ports))
        for each in selectors
    )


def _add(manager: Any, scripts: Iterable[Config[TrafficExtension]]) -> None:
    place = 0
    for phase, before in _BEFORE.items():
        for index, each in enumerate(manager.http_filters):
            if each.name in before:
                place = max(place, index + 1)
        for script in scripts:
            if script.spec.phase == phase:
                manager.http_filters.insert(place, _filter(script))
                place += 1


@memoised
def _filter(script: Config[TrafficExtension]) -> HttpFilter:
    from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua  # when there is a script

    code = script.spec.lua.inline_code if script.spec.lua is not None else ""
    config = Lua(default_source_code=DataSource(inline_string=code))
    return HttpFilter(name=f"{NAME}{script.namespace}.{script.name}", typed_config=any_of(config))

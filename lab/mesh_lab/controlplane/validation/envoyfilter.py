"""Rules for EnvoyFilter, Istio's and Envoy's: a patch's value is a message of the type that it is applied to.

What a patch does to the configuration of a proxy, and whether that has anything it matches, is for the translation to
say; whether Envoy accepts the result, for Envoy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mesh_lab.controlplane.model import EnvoyFilter
from mesh_lab.controlplane.model.envoyfilter import (
    ApplyTo,
    EnvoyConfigObjectMatch,
    EnvoyConfigObjectPatch,
    ListenerMatch,
    Operation,
)
from mesh_lab.controlplane.validation.common import Problem, error, regex, warning
from mesh_lab.controlplane.validation.names import workload_labels

LONGEST_VERSION = 1024
"""The longest expression for versions of proxies; one that is longer matches none."""

_ADDED: frozenset[Operation] = frozenset({"ADD", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"})
_MERGED: frozenset[Operation] = frozenset({"MERGE", "MERGE_AND_REPLACE_LIST"})
_FILTERS: frozenset[Operation] = _ADDED | {"REMOVE", "REPLACE", "MERGE"}
EFFECTIVE: Mapping[ApplyTo, frozenset[Operation]] = {
    "LISTENER": _ADDED | _MERGED | {"REMOVE"},
    "FILTER_CHAIN": _ADDED | _MERGED | {"REMOVE"},
    "LISTENER_FILTER": _FILTERS,
    "NETWORK_FILTER": _FILTERS,
    "HTTP_FILTER": _FILTERS,
    "ROUTE_CONFIGURATION": _MERGED,
    "VIRTUAL_HOST": _ADDED | _MERGED | {"REMOVE", "REPLACE"},
    "HTTP_ROUTE": _ADDED | _MERGED | {"REMOVE"},
    "CLUSTER": _ADDED | _MERGED | {"REMOVE"},
    "EXTENSION_CONFIG": frozenset({"ADD"}),
    "BOOTSTRAP": _MERGED,
}
"""The operations that do something to what a patch is applied to; Istio ignores the others."""

DEPRECATED_NAMES: Mapping[str, str] = {
    "envoy.buffer": "envoy.filters.http.buffer",
    "envoy.cors": "envoy.filters.http.cors",
    "envoy.csrf": "envoy.filters.http.csrf",
    "envoy.http_dynamo_filter": "envoy.filters.http.dynamo",
    "envoy.ext_authz": "envoy.filters.http.ext_authz",
    "envoy.fault": "envoy.filters.http.fault",
    "envoy.grpc_http1_bridge": "envoy.filters.http.grpc_http1_bridge",
    "envoy.grpc_json_transcoder": "envoy.filters.http.grpc_json_transcoder",
    "envoy.grpc_web": "envoy.filters.http.grpc_web",
    "envoy.gzip": "envoy.filters.http.gzip",
    "envoy.health_check": "envoy.filters.http.health_check",
    "envoy.ip_tagging": "envoy.filters.http.ip_tagging",
    "envoy.lua": "envoy.filters.http.lua",
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
    "envoy.router": "envoy.filters.http.router",
    "envoy.squash": "envoy.filters.http.squash",
    "envoy.listener.http_inspector": "envoy.filters.listener.http_inspector",
    "envoy.listener.original_dst": "envoy.filters.listener.original_dst",
    "envoy.listener.original_src": "envoy.filters.listener.original_src",
    "envoy.listener.proxy_protocol": "envoy.filters.listener.proxy_protocol",
    "envoy.listener.tls_inspector": "envoy.filters.listener.tls_inspector",
    "envoy.client_ssl_auth": "envoy.filters.network.client_ssl_auth",
    "envoy.http_connection_manager": "envoy.filters.network.http_connection_manager",
    "envoy.mongo_proxy": "envoy.filters.network.mongo_proxy",
    "envoy.ratelimit": "envoy.filters.network.ratelimit",
    "envoy.redis_proxy": "envoy.filters.network.redis_proxy",
    "envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
}
"""Names of filters that nothing is called by any more, and those that took their place."""

_CONNECTION_MANAGERS = ("envoy.filters.network.http_connection_manager", "envoy.http_connection_manager")


class _Subject(NamedTuple):
    """The field of `match` that suits what a patch is applied to, and a word for these things."""

    field: str
    word: str


_LISTENER = _Subject("listener", "listener class objects")
_ROUTE = _Subject("routeConfiguration", "http route class objects")
_SUBJECTS: Mapping[ApplyTo, _Subject] = {
    "LISTENER": _LISTENER,
    "FILTER_CHAIN": _LISTENER,
    "NETWORK_FILTER": _LISTENER,
    "HTTP_FILTER": _LISTENER,
    "ROUTE_CONFIGURATION": _ROUTE,
    "VIRTUAL_HOST": _ROUTE,
    "HTTP_ROUTE": _ROUTE,
    "CLUSTER": _Subject("cluster", "cluster class objects"),
}


def envoy_filter(spec: EnvoyFilter) -> Iterator[Problem]:
    """Problems of an EnvoyFilter."""
    yield warning("spec", "an EnvoyFilter changes what may differ with each release: prefer other resources to it")
    if spec.target_refs:
        text = "waypoints and gateways of the Gateway API, of which there are none here: use a workloadSelector"
        yield warning("spec.targetRefs", f"an EnvoyFilter with targetRefs is for {text}")
    if spec.workload_selector is not None:
        yield from workload_labels("spec.workloadSelector", spec.workload_selector.labels)
        if spec.target_refs:
            yield error("spec.targetRefs", "only one of targetRefs or workloadSelector can be set")
    for index, target in enumerate(spec.target_refs):
        if not target.name:
            yield error(f"spec.targetRefs[{index}].name", "targetRef name must be set")
        if target.namespace:
            text = "targetRef namespace must not be set; cross namespace is not supported"
            yield error(f"spec.targetRefs[{index}].namespace", text)
    for index, patch in enumerate(spec.config_patches):
        yield from _match(f"spec.configPatches[{index}].match", patch.match)
        # Istio's rules for waypoints are those of the match only.
        if patch.match is None or patch.match.context != "WAYPOINT":
            yield from _patch(f"spec.configPatches[{index}]", patch)


def _match(path: str, match: EnvoyConfigObjectMatch | None) -> Iterator[Problem]:
    if match is None:
        return
    given = _objects(match)
    if len(given) > 1:
        yield error(path, f"only one of listener, routeConfiguration, cluster and waypoint may be given: {given}")
    if (match.context == "WAYPOINT") != (match.waypoint is not None):
        yield error(f"{path}.waypoint", "only support waypointMatch when context is WAYPOINT")
    version = match.proxy.proxy_version if match.proxy is not None else ""
    if len(version) > LONGEST_VERSION:
        text = f"proxyVersion match exceeds {LONGEST_VERSION} characters and will be ignored"
        yield warning(f"{path}.proxy.proxyVersion", text)
    elif version:
        yield from regex(f"{path}.proxy.proxyVersion", version)


def _objects(match: EnvoyConfigObjectMatch) -> list[str]:
    objects = {
        "listener": match.listener,
        "routeConfiguration": match.route_configuration,
        "cluster": match.cluster,
        "waypoint": match.waypoint,
    }
    return [name for name, value in objects.items() if value is not None]


def _patch(path: str, change: EnvoyConfigObjectPatch) -> Iterator[Problem]:
    if change.apply_to == "INVALID":
        yield error(f"{path}.applyTo", "Envoy filter: missing applyTo")
    if change.patch is None:
        yield error(f"{path}.patch", "Envoy filter: missing patch")
    elif change.patch.operation == "INVALID":
        yield error(f"{path}.patch.operation", "Envoy filter: missing patch operation")
    elif change.patch.operation != "REMOVE" and change.patch.value is None:
        yield error(f"{path}.patch.value", "Envoy filter: missing patch value for non-remove operation")
    else:
        yield from _value(f"{path}.patch", change)
    subject = _SUBJECTS.get(change.apply_to)
    if subject is None or change.match is None:
        return
    for other in _objects(change.match):
        if other != subject.field:
            text = f"Envoy filter: applyTo for {subject.word} cannot have non {subject.field} match"
            yield error(f"{path}.match.{other}", text)
    if subject is _LISTENER and change.match.listener is not None:
        yield from _filter(f"{path}.match.listener.filterChain.filter", change.match.listener, change.apply_to)


def _value(path: str, change: EnvoyConfigObjectPatch) -> Iterator[Problem]:
    """Whether the operation does anything to its subject, and whether the value is a message of Envoy's."""
    if change.patch is None or change.apply_to == "INVALID":
        return
    operation, value = change.patch.operation, change.patch.value
    if operation not in EFFECTIVE[change.apply_to]:
        text = f"has no effect with applyTo {change.apply_to}, as in Istio"
        yield warning(f"{path}.operation", f"Envoy filter: {operation} {text}")
    if value is None:
        return
    from mesh_lab.controlplane.validation import envoyvalues  # when there is something to judge

    try:
        message = envoyvalues.read(change.apply_to, value)
    except envoyvalues.BadValueError as bad:
        yield error(f"{path}.value{bad.path}", f"Envoy filter: {bad.message}")
        return
    try:
        envoyvalues.read(change.apply_to, value, strict=True)
    except envoyvalues.BadValueError as bad:
        yield warning(f"{path}.value{bad.path}", f"Envoy filter: {bad.message}")
    if (first := next(envoyvalues.deadly(message), None)) is not None:
        text = f"{first} ends Envoy at once, where it should be rejected"
        yield error(f"{path}.value", f"Envoy filter: {text}")
    if old := ", ".join(envoyvalues.deprecated_types(message)):
        yield warning(f"{path}.value", f"using deprecated type_url(s); {old}")
    if operation not in _MERGED and (missing := ", ".join(envoyvalues.untyped(message))):
        yield warning(f"{path}.value", f"using deprecated types by name without typed_config; {missing}")


def _current_name(path: str, name: str) -> Iterator[Problem]:
    if (current := DEPRECATED_NAMES.get(name)) is not None:
        text = f'using deprecated filter name "{name}"; use "{current}" instead: nothing here is called that'
        yield warning(path, text)


def _filter(path: str, listener: ListenerMatch, apply_to: ApplyTo) -> Iterator[Problem]:
    match = listener.filter_chain.filter if listener.filter_chain is not None else None
    if match is None:
        return
    if apply_to in ("LISTENER", "FILTER_CHAIN"):
        yield warning(path, f"Envoy filter: filter match has no effect when used with {apply_to}")
    yield from _current_name(f"{path}.name", match.name)
    if match.sub_filter is not None:
        yield from _current_name(f"{path}.subFilter.name", match.sub_filter.name)
    if not match.name:
        yield error(f"{path}.name", "Envoy filter: filter match has no name to match on")
    elif match.sub_filter is not None:
        if apply_to != "HTTP_FILTER":
            yield error(f"{path}.subFilter", "Envoy filter: subfilter match can be used with applyTo HTTP_FILTER only")
        if match.name not in _CONNECTION_MANAGERS:
            text = f"Envoy filter: subfilter match requires filter match with {_CONNECTION_MANAGERS[0]}"
            yield error(f"{path}.name", text)
        if not match.sub_filter.name:
            yield error(f"{path}.subFilter.name", "Envoy filter: subfilter match has no name to match on")

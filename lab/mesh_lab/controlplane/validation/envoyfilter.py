"""Rules for EnvoyFilter. Whether a patch's value is something of Envoy's is not judged here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mesh_lab.controlplane.model import EnvoyFilter
from mesh_lab.controlplane.model.envoyfilter import (
    ApplyTo,
    EnvoyConfigObjectMatch,
    EnvoyConfigObjectPatch,
    ListenerMatch,
)
from mesh_lab.controlplane.validation.common import Problem, error, regex, warning
from mesh_lab.controlplane.validation.names import workload_labels

_LONGEST_VERSION = 1024
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
    if len(version) > _LONGEST_VERSION:
        text = f"proxyVersion match exceeds {_LONGEST_VERSION} characters and will be ignored"
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
    subject = _SUBJECTS.get(change.apply_to)
    if subject is None or change.match is None:
        return
    for other in _objects(change.match):
        if other != subject.field:
            text = f"Envoy filter: applyTo for {subject.word} cannot have non {subject.field} match"
            yield error(f"{path}.match.{other}", text)
    if subject is _LISTENER and change.match.listener is not None:
        yield from _filter(f"{path}.match.listener.filterChain.filter", change.match.listener, change.apply_to)


def _filter(path: str, listener: ListenerMatch, apply_to: ApplyTo) -> Iterator[Problem]:
    match = listener.filter_chain.filter if listener.filter_chain is not None else None
    if match is None:
        return
    if apply_to in ("LISTENER", "FILTER_CHAIN"):
        yield warning(path, f"Envoy filter: filter match has no effect when used with {apply_to}")
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

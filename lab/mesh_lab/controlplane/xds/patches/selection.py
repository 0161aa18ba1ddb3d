"""Which patches a proxy gets, and in which order. Source: pilot/pkg/model/push_context.go (`EnvoyFilters`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from mesh_lab.controlplane.model import EnvoyFilter
from mesh_lab.controlplane.model.envoyfilter import ApplyTo, EnvoyConfigObjectMatch, Operation, ProxyMatch
from mesh_lab.controlplane.validation import envoyvalues
from mesh_lab.controlplane.validation.envoyfilter import LONGEST_VERSION
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.patches.matches import ClusterName
from mesh_lab.controlplane.xds.patches.patch import Patch, Patches

Filters = Table[ObjectKey, Config[EnvoyFilter]]
Group = Literal["listeners", "routes", "clusters", "extensions", "bootstrap"]
_GROUPS: Mapping[ApplyTo, Group] = {
    "LISTENER": "listeners",
    "FILTER_CHAIN": "listeners",
    "LISTENER_FILTER": "listeners",
    "NETWORK_FILTER": "listeners",
    "HTTP_FILTER": "listeners",
    "ROUTE_CONFIGURATION": "routes",
    "VIRTUAL_HOST": "routes",
    "HTTP_ROUTE": "routes",
    "CLUSTER": "clusters",
    "EXTENSION_CONFIG": "extensions",
    "BOOTSTRAP": "bootstrap",
}
_ORDERED: frozenset[ApplyTo] = frozenset({"HTTP_FILTER", "NETWORK_FILTER", "HTTP_ROUTE", "LISTENER_FILTER"})
_INSERTS: frozenset[Operation] = frozenset({"INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"})
_ALL = EnvoyConfigObjectMatch()


class Selection(NamedTuple):
    """The patches of a proxy in their order, by what they change: proxies with the same share their results."""

    listeners: Patches = ()
    routes: Patches = ()
    clusters: Patches = ()
    extensions: Patches = ()
    bootstrap: Patches = ()


NONE = Selection()


def selected(table: Filters, proxy: Proxy, labels: Mapping[str, str], root_namespace: str) -> Selection:
    """The patches for a proxy: those of the root namespace, and of its own."""
    if not table:
        return NONE
    ordered = _ordered(table, proxy.namespace, root_namespace)
    chosen = tuple(
        patch
        for config in ordered
        if _is_for(config, labels)
        for patch in compiled(config)
        if suits(patch.match.proxy, proxy.metadata)
    )
    return _grouped(chosen) if chosen else NONE


@memoised
def _ordered(table: Filters, namespace: str, root_namespace: str) -> tuple[Config[EnvoyFilter], ...]:
    """By priority, then the root namespace's before others, then by age and name."""
    found = [
        config
        for config in table.values()
        if config.namespace in (namespace, root_namespace) and not config.spec.target_refs
    ]
    found.sort(
        key=lambda config: (
            config.spec.priority,
            config.namespace != root_namespace,
            config.created,
            f"{config.name}.{config.namespace}",
        )
    )
    return tuple(found)


@memoised
def compiled(config: Config[EnvoyFilter]) -> Patches:
    """The patches of an EnvoyFilter, their values as messages."""
    found: list[Patch] = []
    for index, each in enumerate(config.spec.config_patches):
        if each.patch is None or each.apply_to == "INVALID":
            continue
        operation, value = each.patch.operation, each.patch.value
        if operation in _INSERTS and each.apply_to not in _ORDERED:
            operation = "ADD"
        if operation != "REMOVE" and value is None:
            continue
        message = envoyvalues.read(each.apply_to, value) if value is not None else None
        found.append(Patch(config.origin, index, each.apply_to, operation, each.match or _ALL, message))
    return tuple(found)


def referenced(table: Filters, namespace: str, labels: Mapping[str, str], root_namespace: str) -> tuple[str, ...]:
    """The hosts of the services whose clusters the patches for a proxy name."""
    if not table:
        return ()
    chosen = (config for config in _ordered(table, namespace, root_namespace) if _is_for(config, labels))
    return tuple(dict.fromkeys(host for config in chosen for host in _referenced(config)))


@memoised
def _referenced(config: Config[EnvoyFilter]) -> tuple[str, ...]:
    values = [each.patch.value for each in config.spec.config_patches if each.patch is not None]
    names = (ClusterName.of(text) for text in _texts(values))
    return tuple(dict.fromkeys(name.host for name in names if name.direction == "outbound" and name.host))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _is_for(config: Config[EnvoyFilter], labels: Mapping[str, str]) -> bool:
    selector = config.spec.workload_selector
    return selects(selector.labels if selector is not None else {}, labels)


@memoised
def _grouped(patches: Patches) -> Selection:
    groups: dict[Group, list[Patch]] = {}
    for patch in patches:
        groups.setdefault(_GROUPS[patch.apply_to], []).append(patch)
    return Selection(**{name: tuple(some) for name, some in groups.items()})


def suits(match: ProxyMatch | None, metadata: Mapping[str, str]) -> bool:
    """Whether a proxy with this metadata of its node is one that a patch is for."""
    if match is None:
        return True
    if match.proxy_version and not _is_version(match.proxy_version, metadata.get("ISTIO_VERSION", "")):
        return False
    return all(metadata.get(key) == value for key, value in match.metadata.items())


def _is_version(pattern: str, version: str) -> bool:
    if not version or len(pattern) > LONGEST_VERSION:
        return False
    import re2  # when there is something to match

    return re2.search(pattern, version) is not None

"""What of the Gateway API is refused, or leads nowhere: statuses as findings, for `mesh-lab wait`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.gatewayapi import Gateway, GatewayClass, ListenerSet
from mesh_lab.controlplane.report.index import missing
from mesh_lab.controlplane.validation.common import Severity
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.gatewayapi import backendtls, trafficpolicies
from mesh_lab.controlplane.xds.gatewayapi.listeners import gateways
from mesh_lab.controlplane.xds.gatewayapi.routes import ROUTES, routes
from mesh_lab.controlplane.xds.gatewayapi.sources import GROUP, Sources, Verdict

_REFUSED, _NOWHERE = "IST0106", "IST0101"


def routes_are_accepted(snapshot: Snapshot) -> Iterator[Finding]:
    """A route that a parent refuses is in error; one with a backend that is none draws a warning."""
    sources = Sources.of(snapshot)
    states = gateways(sources)
    if not any(sources.all(kind) for kind in ROUTES):
        return
    for route in routes(sources, states):
        origin = route.resource.origin
        if route.refused is not None:
            yield _finding("error", _REFUSED, origin, route.refused)
            continue
        for parent in route.parents:
            if parent.refused is not None:
                yield _finding("error", _REFUSED, origin, parent.refused)
        for problem in route.problems:
            yield _finding("warning", _NOWHERE, origin, problem)


def gateways_are_served(snapshot: Snapshot) -> Iterator[Finding]:
    """A Gateway that is refused, or has a listener that is not served, is in error; and so is a ListenerSet."""
    sources = Sources.of(snapshot)
    for state in gateways(sources):
        refused = ((state.resource, state.refused), *((each.resource, each.refused) for each in state.sets))
        for resource, verdict in refused:
            if verdict is not None:
                yield _finding("error", _REFUSED, resource.origin, verdict)
        for each in state.all:
            wrong = each.refused or each.conflict or each.unresolved
            if wrong is not None:
                severity: Severity = "warning" if each.served else "error"
                where = f"listener {each.listener.name}: {wrong.message}"
                yield _finding(severity, _REFUSED, each.owner.origin, Verdict(wrong.reason, where))


def references_are_there(snapshot: Snapshot) -> Iterator[Finding]:
    """A missing class, or a missing Gateway of a route, is no controller's: no status would say so."""
    sources = Sources.of(snapshot)
    classes = sources.all(GatewayClass)
    for gateway in sources.all(Gateway).values():
        name = str(gateway.raw.get("gatewayClassName", ""))
        if ("", name) not in classes:
            yield missing("GatewayClass", name, "spec.gatewayClassName", gateway.origin)
    for each in sources.all(ListenerSet).values():
        yield from _parents_are_there(sources, each, [each.raw.get("parentRef") or {}], "spec.parentRef")
    for kind in ROUTES:
        for route in sources.all(kind).values():
            yield from _parents_are_there(sources, route, route.raw.get("parentRefs") or [], "spec.parentRefs")


def _parents_are_there(
    sources: Sources, resource: Resource[Spec], refs: list[Mapping[str, Any]], path: str
) -> Iterator[Finding]:
    tables: Mapping[str, Mapping[ObjectKey, Any]] = {
        "Gateway": sources.all(Gateway),
        "ListenerSet": sources.all(ListenerSet),
    }
    for ref in refs:
        kind, name = ref.get("kind", "Gateway"), str(ref.get("name", ""))
        namespace = ref.get("namespace") or resource.namespace
        if ref.get("group", GROUP) == GROUP and (namespace, name) not in tables.get(kind, {}):
            yield missing(str(kind), f"{namespace}/{name}", path, resource.origin)


def policies_are_accepted(snapshot: Snapshot) -> Iterator[Finding]:
    """A policy that cannot be carried out, or does not count for a target, is in error."""
    sources = Sources.of(snapshot)
    for policy in (*backendtls.policies(sources), *trafficpolicies.policies(sources)):
        for refused in filter(None, (policy.refused, *(each.refused for each in policy.targets))):
            yield _finding("error", _REFUSED, policy.resource.origin, refused)
    for state in backendtls.policies(sources):
        if state.unresolved is not None and state.refused is None:
            yield _finding("warning", _NOWHERE, state.resource.origin, state.unresolved)


def _finding(severity: Severity, code: str, origin: Origin, verdict: Verdict) -> Finding:
    return Finding(severity, code, f"{verdict.reason}: {verdict.message}", "", origin)

"""What of the Gateway API is refused, or leads nowhere: statuses as findings, for `mesh-lab wait`."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.validation.common import Severity
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.gatewayapi import backendtls
from mesh_lab.controlplane.xds.gatewayapi.listeners import gateways
from mesh_lab.controlplane.xds.gatewayapi.routes import ROUTES, routes
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources, Verdict

_REFUSED, _NOWHERE = "IST0106", "IST0101"


def routes_are_accepted(snapshot: Snapshot) -> Iterator[Finding]:
    """A route that a parent refuses is in error; one with a backend that is none draws a warning."""
    sources = Sources.of(snapshot)
    states = gateways(sources)
    for state in states:
        if state.refused is not None:
            yield _finding("error", _REFUSED, state.resource.origin, state.refused)
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


def policies_are_accepted(snapshot: Snapshot) -> Iterator[Finding]:
    """A policy that cannot be carried out, or does not count for a target, is in error."""
    for policy in backendtls.policies(Sources.of(snapshot)):
        origin = policy.resource.origin
        for refused in filter(None, (policy.refused, *(each.refused for each in policy.targets))):
            yield _finding("error", _REFUSED, origin, refused)
        if policy.unresolved is not None and policy.refused is None:
            yield _finding("warning", _NOWHERE, origin, policy.unresolved)


def _finding(severity: Severity, code: str, origin: Origin, verdict: Verdict) -> Finding:
    return Finding(severity, code, f"{verdict.reason}: {verdict.message}", "", origin)

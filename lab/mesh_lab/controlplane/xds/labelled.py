"""Whether labels tell the sidecars of one namespace apart: only then is what they see made for each set of labels."""

from __future__ import annotations

from mesh_lab.controlplane.model import DestinationRule, Sidecar, VirtualService
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds.memo import memoised

RouteConfig = Config[VirtualService]
RuleConfig = Config[DestinationRule]


def labels_matter(
    routes: Table[ObjectKey, RouteConfig],
    rules: Table[ObjectKey, RuleConfig],
    sidecars: Table[ObjectKey, Config[Sidecar]],
) -> bool:
    """Whether any resource distinguishes sidecars of one namespace by their labels."""
    return _routes_tell_apart(routes) or _selecting(rules, sidecars)


@memoised
def _routes_tell_apart(routes: Table[ObjectKey, RouteConfig]) -> bool:
    return any(map(_tells_apart, routes.values()))


@memoised
def _tells_apart(config: RouteConfig) -> bool:
    """By itself for each VirtualService: of a thousand one has changed."""
    spec = config.spec
    requests = (match.source_labels for rule in spec.http for match in rule.match)
    connections = (match.source_labels for rule in spec.tcp for match in rule.match)
    passed_on = (match.source_labels for rule in spec.tls for match in rule.match)
    return any(map(any, (requests, connections, passed_on)))


@memoised
def _selecting(rules: Table[ObjectKey, RuleConfig], sidecars: Table[ObjectKey, Config[Sidecar]]) -> bool:
    return any(config.spec.workload_selector for table in (rules, sidecars) for config in table.values())

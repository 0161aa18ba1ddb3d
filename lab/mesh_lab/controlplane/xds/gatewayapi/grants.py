"""ReferenceGrant: which references from one namespace to another are allowed.

https://gateway-api.sigs.k8s.io/reference/spec/#referencegrant
"""

from __future__ import annotations

from typing import NamedTuple

from mesh_lab.controlplane.model.gatewayapi import ReferenceGrant
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Table
from mesh_lab.controlplane.xds.gatewayapi.sources import GROUP, spec_of
from mesh_lab.controlplane.xds.memo import memoised


class Referrer(NamedTuple):
    """Where a reference comes from: a kind of the Gateway API's, and a namespace."""

    kind: str
    namespace: str


class Referent(NamedTuple):
    """What is referred to."""

    group: str
    kind: str
    namespace: str
    name: str


class _Grant(NamedTuple):
    by: frozenset[tuple[str, str]]
    to: frozenset[tuple[str, str, str]]


Index = Table[str, tuple[_Grant, ...]]


@memoised
def index(grants: Table[ObjectKey, Resource[ReferenceGrant]]) -> Index:
    """The grants by the namespace that they are about."""
    found: dict[str, tuple[_Grant, ...]] = {}
    for resource in grants.values():
        spec = spec_of(resource)
        if spec is not None:
            by = frozenset((each.kind, each.namespace) for each in spec.from_ if each.group == GROUP)
            to = frozenset((each.group, each.kind, each.name) for each in spec.to)
            found[resource.namespace] = (*found.get(resource.namespace, ()), _Grant(by, to))
    return Table(found)


def allowed(grants: Index, by: Referrer, to: Referent) -> bool:
    """Whether a reference may be followed: within a namespace always, from another where a grant says so."""
    if by.namespace == to.namespace:
        return True
    wanted = {(to.group, to.kind, ""), (to.group, to.kind, to.name)}
    return any(by in grant.by and not wanted.isdisjoint(grant.to) for grant in grants.get(to.namespace, ()))

"""Roles and ClusterRoles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.kinds.roles.defaults import default_roles
from mesh_lab.kube.registry.printing.columns import NAME_AND_CREATION
from mesh_lab.kube.registry.rules.causes import invalid, required
from mesh_lab.kube.registry.rules.fields import Rules, not_empty
from mesh_lab.kube.registry.syntax.names import path_segment_problem
from mesh_lab.kube.resources import CLUSTERROLES, ROLES

_FIELDS: Rules = {
    ("PolicyRule", "verbs"): not_empty("verbs must contain at least one value"),
}


def _check(role: Object) -> Iterator[Cause]:
    """Each rule says what it grants, and on what."""
    for index, rule in enumerate(role.get("rules") or ()):
        path = f"rules[{index}]"
        if rule.get("nonResourceURLs"):
            if role["kind"] == "Role":
                words = "namespaced rules cannot apply to non-resource URLs"
                yield invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], words)
            continue
        if not rule.get("apiGroups"):
            yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{path}.resources", "resource rules must supply at least one resource")


CLUSTER_ROLE = Behaviour(
    CLUSTERROLES,
    standard=tuple(default_roles()),
    name_problem=path_segment_problem,
    fields=_FIELDS,
    check=_check,
    printer=NAME_AND_CREATION,
)
ROLE = replace(CLUSTER_ROLE, resource=ROLES, standard=(), grants=(Grant("admin", (*READ, *WRITE)),))

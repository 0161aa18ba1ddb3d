"""RoleBindings and ClusterRoleBindings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.kinds.roles.defaults import default_bindings
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, items, name, part, wide
from mesh_lab.kube.registry.rules.causes import invalid, required
from mesh_lab.kube.registry.rules.fields import Rules, one_of
from mesh_lab.kube.registry.syntax.names import path_segment_problem
from mesh_lab.kube.resources import CLUSTERROLEBINDINGS, ROLEBINDINGS

_RBAC = "rbac.authorization.k8s.io"
_FIELDS: Rules = {
    ("Subject", "kind"): one_of("Group", "ServiceAccount", "User"),
    ("RoleRef", "kind"): one_of("ClusterRole", "Role"),
}


def _fill_defaults(binding: Object) -> None:
    """The API group of roles and of subjects other than service accounts is that of access control."""
    if (role := binding.get("roleRef")) is not None:
        role["apiGroup"] = role.get("apiGroup") or _RBAC
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", _RBAC)


def _check(binding: Object) -> Iterator[Cause]:
    """Service accounts have namespaces; in a RoleBinding its own is the default."""
    for index, subject in enumerate(binding.get("subjects") or ()):
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            yield required(f"subjects[{index}].namespace")


def _check_update(new: Object, old: Object) -> Iterator[Cause]:
    """A binding's role stays."""
    if new.get("roleRef") != old.get("roleRef"):
        yield invalid("roleRef", new.get("roleRef"), "cannot change roleRef")


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    reference = part(obj, "roleRef")
    subjects = items(obj, "subjects")

    def of(kind: str) -> str:
        return ", ".join(
            f"{s['namespace']}/{s['name']}" if s.get("namespace") else s["name"] for s in subjects if s["kind"] == kind
        )

    role = f"{reference.get('kind', '')}/{reference.get('name', '')}"
    return [name(obj), role, age(obj, now), of("User"), of("Group"), of("ServiceAccount")]


CLUSTER_ROLE_BINDING = Behaviour(
    CLUSTERROLEBINDINGS,
    standard=tuple(default_bindings()),
    fill_defaults=_fill_defaults,
    name_problem=path_segment_problem,
    fields=_FIELDS,
    check=_check,
    check_update=_check_update,
    printer=Printer((NAME, Column("Role"), AGE, *wide("Users", "Groups", "ServiceAccounts")), _row),
)
ROLE_BINDING = replace(
    CLUSTER_ROLE_BINDING,
    resource=ROLEBINDINGS,
    standard=(),
    check=lambda _: iter(()),
    grants=(Grant("admin", (*READ, *WRITE)),),
)

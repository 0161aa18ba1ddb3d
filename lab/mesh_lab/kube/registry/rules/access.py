"""Rules of roles and their bindings."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.rules.causes import invalid, required


def check_role(role: Object) -> Iterator[Cause]:
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


def check_binding(binding: Object) -> Iterator[Cause]:
    """Service accounts have namespaces."""
    for index, subject in enumerate(binding.get("subjects") or ()):
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            yield required(f"subjects[{index}].namespace")


def check_binding_update(new: Object, old: Object) -> Iterator[Cause]:
    """A binding's role stays."""
    if new.get("roleRef") != old.get("roleRef"):
        yield invalid("roleRef", new.get("roleRef"), "cannot change roleRef")

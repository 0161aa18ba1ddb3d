"""Role-based access control: the rules that stored roles and bindings grant to a user, and what these allow.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/. Rules only add; none denies. Aggregated roles are
computed when they are evaluated; no controller writes their rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from mesh_lab.kube.api.auth.attributes import Access, Action, PathAccess
from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.options import User
from mesh_lab.kube.registry.syntax.selectors import compile_selector
from mesh_lab.kube.registry.tokens import username
from mesh_lab.kube.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES, Resource

ALL = "*"
_CLUSTER_ROLE = "ClusterRole"


class Reader(Protocol):
    """The part of the registry that holds roles and bindings."""

    def find(self, r: Resource, name: str, namespace: str = "") -> Object | None:
        """Return the object, or None."""
        ...

    def list(self, r: Resource, namespace: str | None = None) -> list[Object]:
        """Return the objects of a namespace, or of all."""
        ...


@dataclass(frozen=True)
class Rule:
    """One `PolicyRule`. No `names` means all of them."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def parse(cls, rule: Object) -> Rule:
        """Parse a rule of a stored role."""
        fields = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(tuple(rule.get(field) or ()) for field in fields))

    def allows(self, action: Action) -> bool:
        """Return whether the rule grants the action."""
        if not _has(self.verbs, action.verb):
            return False
        if isinstance(action, PathAccess):
            return any(_path_matches(url, action.path) for url in self.urls)
        return (
            _has(self.groups, action.group)
            and self._names_resource(action)
            and (not self.names or action.name in self.names)
        )

    def _names_resource(self, action: Access) -> bool:
        if _has(self.resources, action.full_resource):
            return True
        return bool(action.subresource) and f"{ALL}/{action.subresource}" in self.resources


@dataclass(frozen=True)
class Grant:
    """A rule that a user has, and the binding that gives it."""

    rule: Rule
    source: str


def grants(user: User, namespace: str, reader: Reader) -> Iterator[Grant]:
    """Yield the user's rules in a namespace; without one, those of the whole cluster."""
    for binding in reader.list(CLUSTERROLEBINDINGS):
        yield from _granted(binding, user, "", reader)
    if namespace:
        for binding in reader.list(ROLEBINDINGS, namespace):
            yield from _granted(binding, user, namespace, reader)


def role_rules(reference: Object, namespace: str, reader: Reader) -> list[Rule]:
    """Return the rules of the role that a `roleRef` names; none when there is no such role."""
    name = reference.get("name", "")
    if reference.get("kind") != _CLUSTER_ROLE:
        role = reader.find(ROLES, name, namespace) if namespace else None
        return _rules(role) if role else []
    role = reader.find(CLUSTERROLES, name)
    return cluster_rules(role, reader) if role else []


def cluster_rules(role: Object, reader: Reader) -> list[Rule]:
    """Return the rules of a ClusterRole, including aggregated ones."""
    rules = _rules(role)
    seen, waiting = {role["metadata"].get("name", "")}, [role]
    while waiting:
        wanted = [compile_selector(spec) for spec in _selectors(waiting.pop())]
        for other in reader.list(CLUSTERROLES) if wanted else ():
            name, labels = other["metadata"]["name"], other["metadata"].get("labels") or {}
            if name not in seen and any(one.matches(labels) for one in wanted):
                seen.add(name)
                rules += _rules(other)
                waiting.append(other)
    return rules


def _granted(binding: Object, user: User, namespace: str, reader: Reader) -> Iterator[Grant]:
    subject = next((s for s in binding.get("subjects") or () if _is(s, user, namespace)), None)
    if subject is None:
        return
    role = binding["roleRef"]
    full_name = "/".join(filter(None, (subject.get("namespace"), subject.get("name"))))
    source = (
        f'{binding["kind"]} "{_full_name(binding)}" of {role.get("kind")} "{role.get("name")}" '
        f'to {subject.get("kind")} "{full_name}"'
    )
    for rule in role_rules(role, namespace, reader):
        yield Grant(rule, source)


def _is(subject: Object, user: User, namespace: str) -> bool:
    """Return whether a binding's subject is the user. A service account without a namespace is in the binding's."""
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind == "Group":
        return name in user.groups
    if kind == "ServiceAccount":
        where = subject.get("namespace") or namespace
        return bool(where) and username(where, name) == user.name
    return kind == "User" and name == user.name


def _rules(role: Object) -> list[Rule]:
    return [Rule.parse(rule) for rule in role.get("rules") or ()]


def _selectors(role: Object) -> list[Object]:
    return (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or []


def _full_name(obj: Object) -> str:
    return "/".join(filter(None, (obj["metadata"].get("namespace"), obj["metadata"]["name"])))


def _has(values: tuple[str, ...], wanted: str) -> bool:
    return wanted in values or ALL in values


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in (ALL, path) or (pattern.endswith(ALL) and path.startswith(pattern[:-1]))

"""Privilege escalation prevention: a role or binding may grant only what its writer has.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from mesh_lab.kube.api.auth import rbac
from mesh_lab.kube.api.auth.attributes import Access
from mesh_lab.kube.api.auth.authorizer import Authorizer, is_administrator, is_service_account
from mesh_lab.kube.api.auth.enforced import enforced
from mesh_lab.kube.api.auth.rbac import ALL, Rule
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import forbidden, not_found
from mesh_lab.kube.registry.options import Admission, AdmissionRequest, Operation, User
from mesh_lab.kube.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES, Resource

_ROLES = frozenset({ROLES.key, CLUSTERROLES.key})
_BINDINGS = frozenset({ROLEBINDINGS.key, CLUSTERROLEBINDINGS.key})
_VERBS = {Operation.CREATE: "create", Operation.UPDATE: "update"}
_EVERYTHING = Rule((ALL,), (ALL,), (ALL,))


class EscalationGuard:
    """Admission that checks roles and bindings against the rights of their writer, after the webhooks in `inner`."""

    def __init__(self, inner: Admission, authorizer: Authorizer, reader: rbac.Reader) -> None:
        self.inner = inner
        self._authorizer = authorizer
        self._reader = reader

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        """See `Admission.mutate`."""
        return await self.inner.mutate(request)

    async def validate(self, request: AdmissionRequest) -> bool:
        """See `Admission.validate`.

        Raises:
            ApiError: 403, it grants more than its writer has.
        """
        verb = _VERBS.get(request.operation)
        granting = request.resource.key in _ROLES | _BINDINGS and not request.subresource
        if granting and verb is not None and request.obj is not None:
            self._check(verb, request.resource, request.obj, request.namespace, request.user)
        return await self.inner.validate(request)

    def _check(self, verb: str, resource: Resource, obj: Object, namespace: str, user: User) -> None:
        name = obj["metadata"].get("name", "")
        written = Access(verb, resource.group, resource.plural, namespace, name)
        if is_administrator(user) or (is_service_account(user) and not enforced(written)):
            return
        if resource.key in _ROLES:
            granted, way = self._of_role(obj), Access("escalate", resource.group, resource.plural, namespace, name)
        else:
            granted, way = self._of_binding(obj, namespace)
        if self._authorizer.decide(user, way).allowed:
            return
        owned = self._authorizer.rules(user, namespace)
        if missing := [rule for rule in granted if not covered(rule, owned)]:
            raise _refusal(resource, name, user, missing)

    def _of_role(self, role: Object) -> list[Rule]:
        if role.get("aggregationRule"):
            # What it will contain depends on roles that are created later.
            return [_EVERYTHING]
        return [Rule.parse(rule) for rule in role.get("rules") or ()]

    def _of_binding(self, binding: Object, namespace: str) -> tuple[list[Rule], Access]:
        """Return what the binding's role grants, and the action (`bind`) that allows the binding anyway."""
        reference = binding["roleRef"]
        name = str(reference.get("name", ""))
        resource = CLUSTERROLES if reference.get("kind") == CLUSTERROLES.kind else ROLES
        if self._reader.find(resource, name, namespace if resource.namespaced else "") is None:
            raise not_found(resource.plural, name, resource.group)
        rules = rbac.role_rules(reference, namespace, self._reader)
        return rules, Access("bind", resource.group, resource.plural, namespace, name)


def covered(wanted: Rule, owned: Iterable[Rule]) -> bool:
    """Return whether the owned rules grant all that a rule grants."""
    rules = list(owned)
    return all(any(_holds(rule, part) for rule in rules) for part in _parts(wanted))


def _parts(rule: Rule) -> Iterator[Rule]:
    """Split the rule into rules of one verb, one group, one resource and one name (or none), and of one path."""
    for verb, url in product(rule.verbs, rule.urls):
        yield Rule((verb,), urls=(url,))
    names: list[tuple[str, ...]] = [(name,) for name in rule.names] or [()]
    for verb, group, resource, name in product(rule.verbs, rule.groups, rule.resources, names):
        yield Rule((verb,), (group,), (resource,), name)


def _holds(owned: Rule, part: Rule) -> bool:
    if not _among(part.verbs[0], owned.verbs):
        return False
    if part.urls:
        url = part.urls[0]
        return any(own == url or (own.endswith(ALL) and url.startswith(own[:-1])) for own in owned.urls)
    resource = part.resources[0]
    below = resource.partition("/")[2]
    return (
        _among(part.groups[0], owned.groups)
        and (_among(resource, owned.resources) or (bool(below) and f"{ALL}/{below}" in owned.resources))
        and (not owned.names or (bool(part.names) and part.names[0] in owned.names))
    )


def _among(value: str, values: tuple[str, ...]) -> bool:
    return value in values or ALL in values


def _refusal(resource: Resource, name: str, user: User, missing: list[Rule]) -> Exception:
    lines = "\n".join(_shown(rule) for rule in missing)
    return forbidden(
        f'{resource.plural}.{resource.group} "{name}" is forbidden: user "{user.name}" (groups={list(user.groups)}) '
        f"is attempting to grant RBAC permissions not currently held:\n{lines}"
    )


def _shown(rule: Rule) -> str:
    fields: dict[str, Any] = {
        "APIGroups": rule.groups,
        "Resources": rule.resources,
        "ResourceNames": rule.names,
        "NonResourceURLs": rule.urls,
        "Verbs": rule.verbs,
    }
    parts = (
        f"{key}:[{', '.join(f'{chr(34)}{v}{chr(34)}' for v in values)}]" for key, values in fields.items() if values
    )
    return "{" + ", ".join(parts) + "}"

"""The roles and bindings that every cluster has, as far as they concern what the lab serves.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings. `admin`, `edit` and
`view` are put together from the roles that are labelled for them, so that charts can add to them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.behaviour import Behaviour

_GROUP = "rbac.authorization.k8s.io"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = (*_PATHS, "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")


def _rule(groups: tuple[str, ...], resources: tuple[str, ...], verbs: tuple[str, ...]) -> Object:
    return {"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs)}


def _paths(*urls: str) -> Object:
    return {"nonResourceURLs": list(urls), "verbs": ["get"]}


_OWN_QUESTIONS = (
    _rule(("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews"), ("create",)),
    _rule(("authentication.k8s.io",), ("selfsubjectreviews",), ("create",)),
)
_EVERYTHING = (_rule(("*",), ("*",), ("*",)), {"nonResourceURLs": ["*"], "verbs": ["*"]})

_ROLES: dict[str, tuple[Object, ...]] = {
    "cluster-admin": _EVERYTHING,
    "system:basic-user": _OWN_QUESTIONS,
    "system:discovery": (_paths(*_DISCOVERY),),
    "system:public-info-viewer": (_paths(*_PATHS),),
}
_PART_OF = {"admin": "", "edit": "admin", "view": "edit"}
_BINDINGS = {
    "cluster-admin": ("system:masters",),
    "system:basic-user": ("system:authenticated",),
    "system:discovery": ("system:authenticated",),
    "system:public-info-viewer": ("system:authenticated", "system:unauthenticated"),
}


def default_roles() -> Iterator[Object]:
    """The ClusterRoles with rules of their own."""
    for name, rules in _ROLES.items():
        yield _role(name, {}, rules=list(rules))


def aggregated_roles(kinds: Iterable[Behaviour]) -> Iterator[Object]:
    """The ClusterRoles that are put together from others: what the kinds grant, and what charts add by label."""
    rules = _granted(kinds)
    for name, part_of in _PART_OF.items():
        joins = {_aggregation(part_of): "true"} if part_of else {}
        selector = {"matchLabels": {_aggregation(name): "true"}}
        yield _role(name, joins, aggregationRule={"clusterRoleSelectors": [selector]})
        yield _role(f"system:aggregate-to-{name}", {_aggregation(name): "true"}, rules=rules[name])


def _granted(kinds: Iterable[Behaviour]) -> dict[str, list[Object]]:
    """The rules by role: one for each group and set of verbs."""
    granted = defaultdict[tuple[str, str, tuple[str, ...]], list[str]](list)
    for kind in kinds:
        resource = kind.resource
        for grant in kind.grants:
            names = (f"{resource.plural}/{part}" if part else resource.plural for part in grant.parts)
            granted[grant.role, resource.group, grant.verbs].extend(names)
    rules: dict[str, list[Object]] = {name: [] for name in _PART_OF}
    for (role, group, verbs), found in granted.items():
        rules[role].append(_rule((group,), tuple(sorted(found)), verbs))
    return rules


def default_bindings() -> Iterator[Object]:
    """The ClusterRoleBindings."""
    for name, groups in _BINDINGS.items():
        subjects = [{"apiGroup": _GROUP, "kind": "Group", "name": group} for group in groups]
        role = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name}
        yield {"metadata": _metadata(name, {}), "roleRef": role, "subjects": subjects}


def _role(name: str, labels: dict[str, str], **fields: Any) -> Object:
    return {"metadata": _metadata(name, labels), **fields}


def _metadata(name: str, labels: dict[str, str]) -> Object:
    return {"name": name, "labels": {**_LABELS, **labels}}


def _aggregation(name: str) -> str:
    return f"rbac.authorization.k8s.io/aggregate-to-{name}"

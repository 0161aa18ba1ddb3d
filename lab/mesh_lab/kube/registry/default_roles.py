"""The roles and bindings that every cluster has, as far as they concern what the lab serves.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings. `admin`, `edit` and
`view` are put together from the roles that are labelled for them, so that charts can add to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_Object = dict[str, Any]
_GROUP = "rbac.authorization.k8s.io"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")

_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = (*_PATHS, "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")


def _rule(groups: tuple[str, ...], resources: tuple[str, ...], verbs: tuple[str, ...]) -> _Object:
    return {"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs)}


def _paths(*urls: str) -> _Object:
    return {"nonResourceURLs": list(urls), "verbs": ["get"]}


_WORKLOADS = ("deployments", "deployments/scale", "replicasets", "replicasets/scale")
_VIEW = (
    _rule(
        ("",),
        (
            "configmaps",
            "events",
            "namespaces",
            "pods",
            "pods/log",
            "pods/status",
            "serviceaccounts",
            "services",
            "services/status",
        ),
        _READ,
    ),
    _rule(("apps",), (*_WORKLOADS, "deployments/status", "replicasets/status"), _READ),
    _rule(("discovery.k8s.io",), ("endpointslices",), _READ),
)
_EDIT = (
    _rule(
        ("",),
        ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"),
        _READ,
    ),
    _rule(("",), ("serviceaccounts",), ("impersonate",)),
    _rule(("",), ("pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"), _WRITE),
    _rule(("",), ("pods/eviction", "serviceaccounts/token"), ("create",)),
    _rule(("",), ("configmaps", "events", "secrets", "serviceaccounts", "services", "services/proxy"), _WRITE),
    _rule(("apps",), _WORKLOADS, _WRITE),
    _rule(("coordination.k8s.io",), ("leases",), (*_READ, *_WRITE)),
)
_ADMIN = (_rule((_GROUP,), ("rolebindings", "roles"), (*_READ, *_WRITE)),)

_OWN_QUESTIONS = (
    _rule(("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews"), ("create",)),
    _rule(("authentication.k8s.io",), ("selfsubjectreviews",), ("create",)),
)
_EVERYTHING = (_rule(("*",), ("*",), ("*",)), {"nonResourceURLs": ["*"], "verbs": ["*"]})

_ROLES: dict[str, tuple[_Object, ...]] = {
    "cluster-admin": _EVERYTHING,
    "system:basic-user": _OWN_QUESTIONS,
    "system:discovery": (_paths(*_DISCOVERY),),
    "system:public-info-viewer": (_paths(*_PATHS),),
}
_AGGREGATED: dict[str, tuple[_Object, ...]] = {"admin": _ADMIN, "edit": _EDIT, "view": _VIEW}
_PART_OF = {"admin": "", "edit": "admin", "view": "edit"}
_BINDINGS = {
    "cluster-admin": ("system:masters",),
    "system:basic-user": ("system:authenticated",),
    "system:discovery": ("system:authenticated",),
    "system:public-info-viewer": ("system:authenticated", "system:unauthenticated"),
}


def default_roles() -> Iterator[_Object]:
    """The ClusterRoles."""
    for name, rules in _ROLES.items():
        yield _role(name, {}, rules=list(rules))
    for name, rules in _AGGREGATED.items():
        joins = {_aggregation(_PART_OF[name]): "true"} if _PART_OF[name] else {}
        selector = {"matchLabels": {_aggregation(name): "true"}}
        yield _role(name, joins, aggregationRule={"clusterRoleSelectors": [selector]})
        part = {_aggregation(name): "true"}
        yield _role(f"system:aggregate-to-{name}", part, rules=list(rules))


def default_bindings() -> Iterator[_Object]:
    """The ClusterRoleBindings."""
    for name, groups in _BINDINGS.items():
        subjects = [{"apiGroup": _GROUP, "kind": "Group", "name": group} for group in groups]
        role = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name}
        yield {"metadata": _metadata(name, {}), "roleRef": role, "subjects": subjects}


def _role(name: str, labels: dict[str, str], **fields: Any) -> _Object:
    return {"metadata": _metadata(name, labels), **fields}


def _metadata(name: str, labels: dict[str, str]) -> _Object:
    return {"name": name, "labels": {**_LABELS, **labels}}


def _aggregation(name: str) -> str:
    return f"rbac.authorization.k8s.io/aggregate-to-{name}"

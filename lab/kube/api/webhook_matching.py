"""Which webhooks want to see a write: rules and selectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lab.kube.changes import Object
from lab.kube.registry.options import User
from lab.kube.registry.registry import Registry
from lab.kube.registry.selectors import LabelSelector, Requirement
from lab.kube.resources import NAMESPACES, Resource

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@dataclass(frozen=True)
class Request:
    """A write that is to be admitted."""

    operation: str
    resource: Resource
    obj: Object | None
    old: Object | None
    namespace: str
    user: User
    dry_run: bool

    def replaced(self, obj: Object | None) -> Request:
        """The same write, of the object as a webhook left it."""
        return replace(self, obj=obj)


@dataclass(frozen=True)
class Match:
    """A webhook's rule fits; `resource` is the version in which it wants to see the object."""

    resource: Resource

    def shown(self, obj: Object | None) -> Object | None:
        """The object as the webhook sees it."""
        if obj is None:
            return None
        return {**obj, "apiVersion": self.resource.api_version, "kind": self.resource.kind}


def match(registry: Registry, hook: Mapping[str, Any], request: Request) -> Match | None:
    """How the webhook wants to see this write; None when it does not."""
    resource = next(
        (
            version
            for version in _versions(registry, hook, request.resource)
            if any(_fits(rule, request, version) for rule in hook.get("rules") or [])
        ),
        None,
    )
    if resource is None:
        return None
    if not selector(hook.get("namespaceSelector")).matches(_namespace_labels(registry, request)):
        return None
    wanted = selector(hook.get("objectSelector"))
    if not any(wanted.matches(_labels(obj)) for obj in (request.obj, request.old) if obj is not None):
        return None
    return Match(resource)


def selector(spec: Mapping[str, Any] | None) -> LabelSelector:
    """The selector that a `LabelSelector` object describes; nothing selects everything."""
    spec = spec or {}
    requirements = [
        Requirement(key, "in", frozenset({value})) for key, value in (spec.get("matchLabels") or {}).items()
    ]
    requirements += [
        Requirement(rule["key"], _OPERATORS[rule["operator"]], frozenset(rule.get("values") or ()))
        for rule in spec.get("matchExpressions") or []
    ]
    return LabelSelector(tuple(requirements))


def _versions(registry: Registry, hook: Mapping[str, Any], resource: Resource) -> Iterator[Resource]:
    """The versions in which the webhook may see the object: its own first, others when they count as the same."""
    yield resource
    if hook.get("matchPolicy", "Equivalent") == "Equivalent":
        yield from (r for r in registry.resources.all() if r.key == resource.key and r.version != resource.version)


def _fits(rule: Mapping[str, Any], request: Request, resource: Resource) -> bool:
    scope = rule.get("scope", "*")
    return (
        _among(rule.get("operations"), request.operation)
        and _among(rule.get("apiGroups"), resource.group)
        and _among(rule.get("apiVersions"), resource.version)
        and bool({"*", "*/*", resource.plural} & set(rule.get("resources") or []))
        and scope in ("*", "Namespaced" if resource.namespaced else "Cluster")
    )


def _among(allowed: list[str] | None, value: str) -> bool:
    return "*" in (allowed or ()) or value in (allowed or ())


def _namespace_labels(registry: Registry, request: Request) -> Mapping[str, str]:
    if request.resource.key == NAMESPACES.key:
        return _labels(request.obj or request.old)
    if not request.namespace:
        return {}
    return _labels(registry.find(NAMESPACES, request.namespace))


def _labels(obj: Object | None) -> Mapping[str, str]:
    return (obj or {}).get("metadata", {}).get("labels") or {}

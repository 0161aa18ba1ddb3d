"""Matches requests against webhooks' rules and selectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.options import AdmissionRequest
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.registry.syntax.selectors import LabelSelector, compile_selector
from mesh_lab.kube.resources import NAMESPACES, Resource


@dataclass(frozen=True)
class Match:
    """A webhook's rule matches; `resource` is the version in which it gets the object."""

    resource: Resource

    def shown(self, obj: Object | None, request: AdmissionRequest) -> Object | None:
        """Return the object as the webhook sees it. One of another kind than the resource's has one version only."""
        if obj is None or obj.get("kind", request.resource.kind) != request.resource.kind:
            return obj
        return {**obj, "apiVersion": self.resource.api_version, "kind": self.resource.kind}

    def kind(self, request: AdmissionRequest) -> dict[str, str]:
        """Group, version and kind of what the webhook sees."""
        seen = self.shown(request.obj or request.old, request) or {}
        group, _, version = str(seen.get("apiVersion", self.resource.api_version)).rpartition("/")
        return {"group": group, "version": version, "kind": str(seen.get("kind", self.resource.kind))}


def match(registry: Registry, hook: Mapping[str, Any], request: AdmissionRequest) -> Match | None:
    """Match a request against a webhook; None when it does not match."""
    resource = _resource(registry, hook, hook.get("rules") or (), request)
    if resource is None or not _selected(registry, hook, request):
        return None
    return Match(resource)


def match_resources(
    registry: Registry, wanted: Mapping[str, Any], request: AdmissionRequest, *, any_resource: bool = False
) -> Match | None:
    """Match a request against the `MatchResources` of a policy or binding; None when it does not match.

    With `any_resource`, no rules at all match any resource, as in a binding.
    """
    rules = wanted.get("resourceRules") or ()
    if not _selected(registry, wanted, request):
        return None
    if _resource(registry, wanted, wanted.get("excludeResourceRules") or (), request) is not None:
        return None
    resource = request.resource if any_resource and not rules else _resource(registry, wanted, rules, request)
    return None if resource is None else Match(resource)


def _resource(
    registry: Registry, wanted: Mapping[str, Any], rules: Sequence[Mapping[str, Any]], request: AdmissionRequest
) -> Resource | None:
    """The version of the request's resource that a rule names."""
    return next(
        (
            version
            for version in _versions(registry, wanted, request.resource)
            if any(_fits(rule, request, version) for rule in rules)
        ),
        None,
    )


def _selected(registry: Registry, hook: Mapping[str, Any], request: AdmissionRequest) -> bool:
    """Whether the selectors take the namespace and the object."""
    if not _namespace_matches(registry, compile_selector(hook.get("namespaceSelector") or {}), request):
        return False
    wanted = compile_selector(hook.get("objectSelector") or {})
    # What has no labels, such as the options of an exec, matches only an empty selector.
    labelled = [obj for obj in (request.obj, request.old) if obj is not None and "metadata" in obj]
    return not wanted.requirements or any(wanted.matches(_labels(obj)) for obj in labelled)


def _versions(registry: Registry, hook: Mapping[str, Any], resource: Resource) -> Iterator[Resource]:
    """Return the versions in which the webhook may get the object: its own first, others if equivalent."""
    yield resource
    if hook.get("matchPolicy", "Equivalent") == "Equivalent":
        yield from (r for r in registry.resources.all() if r.key == resource.key and r.version != resource.version)


def _fits(rule: Mapping[str, Any], request: AdmissionRequest, resource: Resource) -> bool:
    scope = rule.get("scope", "*")
    return (
        _among(rule.get("operations"), request.operation)
        and _among(rule.get("apiGroups"), resource.group)
        and _among(rule.get("apiVersions"), resource.version)
        and any(_names(pattern, resource.plural, request.subresource) for pattern in rule.get("resources") or ())
        and scope in ("*", "Namespaced" if resource.namespaced else "Cluster")
        and (not rule.get("resourceNames") or request.name in rule["resourceNames"])
    )


def _names(pattern: str, plural: str, subresource: str) -> bool:
    """`pods` is the resource itself, `pods/status` a subresource, `pods/*` both; `*` stands for all resources."""
    wanted, _, part = pattern.partition("/")
    return wanted in ("*", plural) and part in ("*", subresource)


def _among(allowed: list[str] | None, value: str) -> bool:
    return "*" in (allowed or ()) or value in (allowed or ())


def _namespace_matches(registry: Registry, wanted: LabelSelector, request: AdmissionRequest) -> bool:
    """Match the namespace selector: a namespace by its own labels, other cluster-wide objects always."""
    if not wanted.requirements:
        return True
    if request.resource.key == NAMESPACES.key:
        return wanted.matches(_labels(request.obj if request.obj and not request.subresource else request.old))
    return not request.namespace or wanted.matches(_labels(registry.find(NAMESPACES, request.namespace)))


def _labels(obj: Object | None) -> Mapping[str, str]:
    return (obj or {}).get("metadata", {}).get("labels") or {}

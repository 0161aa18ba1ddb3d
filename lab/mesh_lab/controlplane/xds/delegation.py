"""VirtualServices that delegate: their rules become those of the VirtualServices that they name.

As Istio merges them (pilot/pkg/model/virtualservice.go): a delegate has no hosts, is for the VirtualServices of the
namespaces that its `exportTo` names, and each of its rules holds within what the delegating rule matches.
https://istio.io/latest/docs/reference/config/networking/virtual-service/#Delegate
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.base import StringMatch
from mesh_lab.controlplane.model.virtualservice import Destination, HTTPMatchRequest, HTTPRoute
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds import hosts
from mesh_lab.controlplane.xds.exports import exported
from mesh_lab.controlplane.xds.memo import memoised

RouteConfig = Config[VirtualService]


@memoised
def merged(
    routes: Table[ObjectKey, RouteConfig], domain: str, default: tuple[str, ...] = ()
) -> Table[ObjectKey, RouteConfig]:
    """The VirtualServices with hosts, those that delegate with their delegates' rules; the same table without any.

    `default` is the mesh's `exportTo`.
    """
    if all(config.spec.hosts and not delegates(config) for config in routes.values()):
        return routes
    return Table(
        {
            key: _merged(config, tuple(delegates_of(routes, config, default)), domain) if delegates(config) else config
            for key, config in routes.items()
            if config.spec.hosts
        }
    )


def delegates(config: RouteConfig) -> bool:
    """Whether a VirtualService has rules that delegate."""
    return any(rule.delegate is not None for rule in config.spec.http)


class Reference(NamedTuple):
    """A rule that delegates, and the VirtualService that it means; None where there is none for it."""

    rule: HTTPRoute
    key: ObjectKey
    config: RouteConfig | None
    visible: bool


def delegates_of(
    routes: Mapping[ObjectKey, RouteConfig], root: RouteConfig, default: tuple[str, ...] = ()
) -> Iterator[Reference]:
    """What the rules of a VirtualService delegate to, in their order."""
    for rule in root.spec.http:
        if rule.delegate is None:
            continue
        key = (rule.delegate.namespace or root.namespace, rule.delegate.name)
        found = routes.get(key)
        if found is not None and found.spec.hosts:
            found = None
        visible = found is not None and exported(found.spec.export_to or default, found.namespace, root.namespace)
        yield Reference(rule, key, found, visible)


@memoised
def _merged(root: RouteConfig, references: tuple[Reference, ...], domain: str) -> RouteConfig:
    """The rules in their order; one whose delegate is missing, or not for this namespace, is left out."""
    by_rule = {reference.rule: reference for reference in references}
    rules: list[HTTPRoute] = []
    used: list[RouteConfig] = []
    for rule in root.spec.http:
        reference = by_rule.get(rule)
        if reference is None:
            rules.append(rule)
        elif reference.config is not None and reference.visible:
            used.append(reference.config)
            for each in reference.config.spec.http:
                within = _within(_named_in_full(rule, root.namespace, domain), _full(each, reference.config, domain))
                rules.extend([within] if within is not None else [])
    spec = msgspec.structs.replace(root.spec, http=rules)
    return replace(root, spec=spec, merged_from=tuple(config.origin for config in used))


def _full(rule: HTTPRoute, owner: RouteConfig, domain: str) -> HTTPRoute:
    return _named_in_full(rule, owner.namespace, domain)


def _named_in_full(rule: HTTPRoute, namespace: str, domain: str) -> HTTPRoute:
    """A rule with all names in full, as it may now stand in another namespace."""

    def full(destination: Destination) -> Destination:
        return msgspec.structs.replace(destination, host=hosts.resolve(destination.host, namespace, domain))

    replaced = msgspec.structs.replace
    return replaced(
        rule,
        match=[replaced(m, gateways=[hosts.gateway_name(name, namespace) for name in m.gateways]) for m in rule.match],
        route=[replaced(share, destination=full(share.destination)) for share in rule.route],
        mirror=full(rule.mirror) if rule.mirror is not None else None,
        mirrors=[replaced(mirror, destination=full(mirror.destination)) for mirror in rule.mirrors],
    )


# What a delegate's rule leaves to the delegating one. Its name and matches are put together.
_INHERITED = (
    "rewrite",
    "direct_response",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirror_percent",
    "mirror_percentage",
    "cors_policy",
    "headers",
)


def _within(root: HTTPRoute, delegate: HTTPRoute) -> HTTPRoute | None:
    """A delegate's rule, within what the delegating rule matches; None where it could never match."""
    matches = _matches(root.match, delegate.match)
    if matches is None:
        return None
    inherited = {name: getattr(root, name) for name in _INHERITED if getattr(delegate, name) is None}
    name, mirrors = _joined(root.name, delegate.name), delegate.mirrors or root.mirrors
    return msgspec.structs.replace(delegate, name=name, match=matches, mirrors=mirrors, **inherited)


def _joined(root: str, delegate: str) -> str:
    return "-".join(filter(None, (root, delegate)))


def _matches(root: list[HTTPMatchRequest], delegate: list[HTTPMatchRequest]) -> list[HTTPMatchRequest] | None:
    """Each pair of matches that do not contradict each other; None where one of the delegate's has no pair."""
    if not (root and delegate):
        return root or delegate
    found: list[HTTPMatchRequest] = []
    for inner in delegate:
        pairs = [_both(outer, inner) for outer in root if not _conflict(outer, inner)]
        if not pairs:
            return None
        found += pairs
    return found


_SINGLE = ("uri", "scheme", "method", "authority")
_NAMED = ("headers", "without_headers", "query_params")


def _both(root: HTTPMatchRequest, delegate: HTTPMatchRequest) -> HTTPMatchRequest:
    """A match with the conditions of both. Where both have one, the delegate's is the narrower."""
    fields = (*_SINGLE, "port", "source_namespace", "gateways", "stat_prefix")
    ours = {name: getattr(delegate, name) or getattr(root, name) for name in fields}
    several = {name: {**getattr(root, name), **getattr(delegate, name)} for name in (*_NAMED, "source_labels")}
    return msgspec.structs.replace(delegate, name=_joined(root.name, delegate.name), **ours, **several)


def _conflict(root: HTTPMatchRequest, delegate: HTTPMatchRequest) -> bool:
    """Whether a delegate's match is for requests that the delegating rule does not match."""
    pairs = [(getattr(root, name), getattr(delegate, name)) for name in _SINGLE]
    for name in _NAMED:
        outer = getattr(root, name)
        pairs += [(outer.get(key), value) for key, value in getattr(delegate, name).items()]
    return (
        any(_wider(inner, outer) for outer, inner in pairs)
        or root.ignore_uri_case != delegate.ignore_uri_case
        or (bool(root.port and delegate.port) and root.port != delegate.port)
        or (bool(root.source_namespace) and root.source_namespace != delegate.source_namespace)
        or any(root.source_labels.get(key, value) != value for key, value in delegate.source_labels.items())
        or _other_gateways(root.gateways, delegate.gateways)
    )


def _other_gateways(root: Sequence[str], delegate: Iterable[str]) -> bool:
    return bool(root) and not set(delegate) <= set(root)


def _wider(inner: StringMatch | None, outer: StringMatch | None) -> bool:
    """Whether a delegate's condition is not within that of the delegating rule; beside an expression none is."""
    if outer is None or inner is None:
        return False
    if outer.regex or inner.regex:
        return True
    if outer.exact:
        return bool(inner.prefix) or inner.exact != outer.exact
    value = inner.prefix or inner.exact
    return not (outer.prefix and value and value.startswith(outer.prefix))

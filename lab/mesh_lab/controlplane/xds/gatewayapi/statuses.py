"""Statuses of the Gateway API's objects: what is true of them in a snapshot, without the times of their conditions.

Pure, so that they cannot say other things than the proxies were sent: both are made of the same states.
https://gateway-api.sigs.k8s.io/reference/spec/, and for the reasons its GEP-1364
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.gatewayapi import Gateway, GatewayClass, ListenerSet
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.gatewayapi import (
    addresses,
    backendtls,
    features,
    parents,
    policystatuses,
    routes,
    trafficpolicies,
)
from mesh_lab.controlplane.xds.gatewayapi.conditions import Object, condition
from mesh_lab.controlplane.xds.gatewayapi.listeners import GatewayState, ListenerState, SetState, gateways
from mesh_lab.controlplane.xds.gatewayapi.sources import CONTROLLER, GROUP, Sources, Verdict, is_ours, spec_of
from mesh_lab.controlplane.xds.memo import memoised


class Key(NamedTuple):
    """An object: the kind as the control plane knows it, namespace and name."""

    kind: str
    namespace: str
    name: str


class Release(NamedTuple):
    """Of which version and channel the definitions are that were found."""

    version: str = ""
    channel: str = ""


def statuses(snapshot: Snapshot, found: Release) -> dict[Key, Object]:
    """The status of each object that the lab is in charge of.

    `parents` and `ancestors` have the lab's entries, not those of other controllers.
    """
    sources = Sources.of(snapshot)
    made: dict[Key, Object] = {}
    for name in sources.all(GatewayClass).values():
        if is_ours(sources, name.name):
            made[Key(*name.origin.key)] = _class(name, found)
    states = gateways(sources)
    known = routes.routes(sources, states)
    counted = _counted(known)
    for state in states:
        made[Key(*state.resource.origin.key)] = _gateway(state, snapshot, counted)
        for each in state.sets:
            made[Key(*each.resource.origin.key)] = _set(each, state, snapshot, counted)
    for unread in _unread(sources):
        made[Key(*unread.origin.key)] = _not_understood(unread)
    found_of: dict[Key, tuple[routes.RouteState, ...]] = {}
    for route in known:
        key = Key(*route.resource.origin.key)
        found_of[key] = (*found_of.get(key, ()), route)
    made |= {key: _route(some) for key, some in found_of.items()}
    made |= _policies(sources, known)
    return made


def _policies(sources: Sources, known: tuple[routes.RouteState, ...]) -> Iterator[tuple[Key, Object]]:
    verified, retried = backendtls.policies(sources), trafficpolicies.policies(sources)
    leads = policystatuses.leading(known) if verified or retried else {}
    for state in verified:
        resolved = condition(state.resource, "ResolvedRefs", state.unresolved)
        yield Key(*state.resource.origin.key), policystatuses.of_policy(state, leads, resolved)
    for policy in retried:
        yield Key(*policy.resource.origin.key), policystatuses.of_policy(policy, leads)


def _unread(sources: Sources) -> Iterator[Resource[Spec]]:
    """Gateways and ListenerSets with what the lab does not know."""
    for gateway in sources.all(Gateway).values():
        if spec_of(gateway) is None and is_ours(sources, str(gateway.raw.get("gatewayClassName", ""))):
            yield gateway
    for each in sources.all(ListenerSet).values():
        if spec_of(each) is None:
            yield each


def _not_understood(resource: Resource[Spec]) -> Object:
    wrong = Verdict("Invalid", resource.decoded.problem)
    return {"conditions": [condition(resource, "Accepted", wrong), condition(resource, "Programmed", wrong)]}


def _class(resource: Resource[GatewayClass], found: Release) -> Object:
    spec = spec_of(resource)
    wrong = None
    if spec is not None and spec.parameters_ref is not None:
        wrong = Verdict("InvalidParameters", "parametersRef: the lab takes no parameters")
    told = f"the definitions are of version {found.version or 'unknown'}, channel {found.channel or 'unknown'}"
    supported = found.version.startswith(features.VERSIONS)
    versions = None if supported else Verdict("UnsupportedVersion", f"{told}; the lab was made for {features.NEWEST}")
    return {
        "conditions": [
            condition(resource, "Accepted", wrong, message="Handled by Istio controller"),
            condition(resource, "SupportedVersion", versions, message=told),
        ],
        "supportedFeatures": [{"name": each} for each in sorted(features.SUPPORTED)],
    }


def _counted(known: tuple[routes.RouteState, ...]) -> dict[ListenerState, int]:
    """How many routes each listener has taken."""
    found: dict[ListenerState, int] = {}
    for route in known:
        if route.refused is None:
            took = {each.listener for parent in route.parents if parent.refused is None for each in parent.listeners}
            for listener in took:
                found[listener] = found.get(listener, 0) + 1
    return found


def _listeners_wrong(states: tuple[ListenerState, ...]) -> tuple[int, Verdict | None]:
    """How many listeners cannot be served, and what to say where that is all of them."""
    bad = [each for each in states if not each.served]
    if not bad:
        return 0, None
    text = "; ".join(f"listener {each.listener.name}: {_wrong(each).message}" for each in bad)
    return len(bad), Verdict("ListenersNotValid", text[:_LONGEST])


_LONGEST = 32768
# Istio's words, which its documentation's tests look for.
_ACCEPTED, _RESOLVED, _NO_ERRORS = "Resource accepted", "All references resolved", "No errors found"


def _wrong(each: ListenerState) -> Verdict:
    return each.refused or each.conflict or each.unresolved or Verdict("Invalid", "it cannot be served")


def _gateway(state: GatewayState, snapshot: Snapshot, counted: dict[ListenerState, int]) -> Object:
    resource = state.resource
    bad, verdict = _listeners_wrong(state.listeners)
    accepted = state.refused or (verdict if bad and bad == len(state.listeners) else None)
    reason, text = ("ListenersNotValid", verdict.message) if verdict is not None else ("Accepted", _ACCEPTED)
    place = addresses.place_of(state, snapshot)
    attached = sum(1 for each in state.sets if each.refused is None and any(one.served for one in each.listeners))
    status: Object = {
        "addresses": [{"type": each.type, "value": each.value} for each in place.addresses],
        "conditions": [
            condition(resource, "Accepted", accepted, reason, text),
            condition(resource, "Programmed", _not_accepted(state.refused) or place.wrong, message=place.message),
            *_resolved(state),
            *_insecure(state),
        ],
        "listeners": [_listener(each, counted, place.wrong) for each in state.listeners],
    }
    return {**status, "attachedListenerSets": attached} if state.sets else status


def _not_accepted(refused: Verdict | None) -> Verdict | None:
    return Verdict("Invalid", refused.message) if refused is not None else None


def _resolved(state: GatewayState) -> Iterator[Object]:
    """Whether the certificate for backends is there. Without it the Gateway shows none, and serves all the same."""
    if state.certificate is not None:
        yield condition(state.resource, "ResolvedRefs", state.certificate.unresolved)


def _insecure(state: GatewayState) -> Iterator[Object]:
    """That clients without a good certificate are let in is said aloud, as the specification demands."""
    spec = spec_of(state.resource)
    frontend = spec.tls.frontend if spec is not None and spec.tls is not None else None
    if frontend is None:
        return
    asked = [frontend.default, *(each.tls for each in frontend.per_port)]
    if any(each.validation is not None and each.validation.mode == "AllowInsecureFallback" for each in asked):
        text = "clients without a valid certificate are let in (AllowInsecureFallback)"
        yield condition(state.resource, "InsecureFrontendValidationMode", None, "ConfigurationChanged", text)


def _listener(each: ListenerState, counted: dict[ListenerState, int], missing: Verdict | None) -> Object:
    owner = each.owner
    wrong = each.conflict if each.served or each.conflict is not None else Verdict("Invalid", _wrong(each).message)
    if wrong is None and missing is not None:
        wrong = Verdict("Pending", missing.message)
    conflicted = condition(owner, "Conflicted", None, "NoConflicts", _NO_ERRORS)
    conflicted["status"] = "False"
    if each.conflict is not None:
        conflicted |= {"status": "True", "reason": each.conflict.reason, "message": each.conflict.message}
    return {
        "name": each.listener.name,
        "attachedRoutes": counted.get(each, 0),
        "supportedKinds": [{"group": GROUP, "kind": kind} for kind in each.kinds],
        "conditions": [
            condition(owner, "Accepted", each.refused or each.conflict, message=each.remark or _NO_ERRORS),
            condition(owner, "Programmed", wrong, message=_NO_ERRORS),
            conflicted,
            condition(owner, "ResolvedRefs", each.unresolved, message=_NO_ERRORS),
        ],
    }


def _set(each: SetState, state: GatewayState, snapshot: Snapshot, counted: dict[ListenerState, int]) -> Object:
    place = addresses.place_of(state, snapshot)
    bad, verdict = _listeners_wrong(each.listeners)
    refused = each.refused or (verdict if bad and bad == len(each.listeners) else None)
    reason, text = ("ListenersNotValid", verdict.message) if verdict is not None else ("Accepted", _ACCEPTED)
    programmed = refused or place.wrong
    return {
        "conditions": [
            condition(each.resource, "Accepted", refused, reason, text),
            condition(each.resource, "Programmed", programmed, message="Resource programmed"),
        ],
        "listeners": [_listener(one, counted, place.wrong) for one in each.listeners],
    }


@memoised
def _route(states: tuple[routes.RouteState, ...]) -> Object:
    """The status of a route: the very same object while nothing about the route changes."""
    return {"parents": [_parent(state, parent) for state in states for parent in state.parents]}


def _parent(route: routes.RouteState, parent: parents.Parent) -> Object:
    resource = route.resource
    resolved = route.problems[0] if route.problems else None
    return {
        "parentRef": _reference(parent),
        "controllerName": CONTROLLER,
        "conditions": [
            condition(resource, "Accepted", parent.refused or route.refused, message=_bound(parent)),
            condition(resource, "ResolvedRefs", resolved, message=_RESOLVED),
        ],
    }


def _bound(parent: parents.Parent) -> str:
    number = len(parent.listeners)
    return f"Route was valid, bound to {number} parents" if number > 1 else "Route was valid"


def _reference(parent: parents.Parent) -> Object:
    """As it is written, but for what is left out."""
    ref = parent.ref
    named = {"namespace": ref.namespace, "sectionName": ref.section_name, "port": ref.port}
    return {"group": ref.group, "kind": ref.kind, "name": ref.name, **{k: v for k, v in named.items() if v}}

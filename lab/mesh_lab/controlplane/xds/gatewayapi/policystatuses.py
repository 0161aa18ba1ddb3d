"""Statuses of policies: for each Service that they name, and for each Gateway whose routes lead there (`ancestors`).

As in Istio. https://gateway-api.sigs.k8s.io/geps/gep-713/#ancestor-status
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mesh_lab.controlplane.model.gatewayapi import Gateway
from mesh_lab.controlplane.model.gatewayapi.policies import PolicyTarget
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.xds.gatewayapi.conditions import Object, condition
from mesh_lab.controlplane.xds.gatewayapi.routes import RouteState
from mesh_lab.controlplane.xds.gatewayapi.sources import CONTROLLER, GROUP
from mesh_lab.controlplane.xds.gatewayapi.targets import Policy, Target

_MOST = 16
"""How many ancestors the definition of a policy lets its status have."""

Leading = Mapping[str, Iterable[Resource[Gateway]]]


def leading(known: Iterable[RouteState]) -> Leading:
    """The Gateways whose routes lead to a host, in the order of the routes."""
    found: dict[str, dict[Resource[Gateway], None]] = {}
    for route in known:
        parents = [parent for parent in route.parents if parent.refused is None and route.refused is None]
        theirs = dict.fromkeys(each.listener.gateway for parent in parents for each in parent.listeners)
        for host in _hosts(route) if theirs else ():
            found.setdefault(host, {}).update(theirs)
    return found


def _hosts(route: RouteState) -> Iterator[str]:
    for ranked in route.requests:
        yield from (share.destination.host for share in ranked.rule.route)
        yield from (mirror.destination.host for mirror in ranked.rule.mirrors)
    yield from (share.destination.host for share in route.connections.shares)


def of_policy(state: Policy, leads: Leading, *more: Object) -> Object:
    """The status of a policy; each ancestor has `more` conditions. Gateways come first: there is room for sixteen."""
    by_gateway: dict[Resource[Gateway], list[Target]] = {}
    for target in state.targets:
        for gateway in leads.get(target.host, ()):
            by_gateway.setdefault(gateway, []).append(target)
    ancestors = [_ancestor(_gateway(gateway), state, some, more) for gateway, some in by_gateway.items()]
    ancestors += [_ancestor(_service(target.ref), state, [target], more) for target in state.targets]
    return {"ancestors": ancestors[:_MOST]}


def _ancestor(ref: Object, state: Policy, some: list[Target], more: tuple[Object, ...]) -> Object:
    refused = state.refused or next((each.refused for each in some if each.refused is not None), None)
    return {
        "ancestorRef": ref,
        "controllerName": CONTROLLER,
        "conditions": [
            condition(state.resource, "Accepted", refused, message=state.remark),
            *more,
        ],
    }


def _gateway(resource: Resource[Gateway]) -> Object:
    return {"group": GROUP, "kind": "Gateway", "namespace": resource.namespace, "name": resource.name}


def _service(ref: PolicyTarget) -> Object:
    named = {"sectionName": ref.section_name} if ref.section_name else {}
    return {"group": ref.group, "kind": ref.kind, "name": ref.name, **named}

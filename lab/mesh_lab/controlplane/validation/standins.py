"""What holds in place of a resource of traffic management that is in error, and of which no good version is known.

Admission denies such resources; one that an older lab has stored, or that came in while admission was switched off,
must not, by its absence, open what it kept closed: paths that a VirtualService answers itself, encryption that a
DestinationRule asks for, hosts outside the mesh that a Sidecar keeps its workloads from. What can be read of it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from mesh_lab.controlplane.model import DestinationRule, Sidecar, VirtualService
from mesh_lab.controlplane.model.base import LabelsSelector, Spec
from mesh_lab.controlplane.model.destinationrule import ClientTLSSettings, TrafficPolicy
from mesh_lab.controlplane.model.sidecar import IstioEgressListener, OutboundTrafficPolicy
from mesh_lab.controlplane.model.virtualservice import HTTPBody, HTTPDirectResponse, HTTPRoute
from mesh_lab.controlplane.validation import policies, routing, sidecars
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.common import Problem

_UNAVAILABLE = 503
_S = TypeVar("_S")
_Spec = TypeVar("_Spec", bound=Spec)


class StandIn(NamedTuple):
    """The spec that holds, None where none is needed; `effect` describes it to the resource's author."""

    spec: Spec | None
    effect: str


def virtual_service(raw: Mapping[str, Any]) -> StandIn:
    """A VirtualService: without it requests would not go where its author sends them, so they get a 503."""
    body = HTTPBody(string="the VirtualService of this host is in error\n")
    route = HTTPRoute(direct_response=HTTPDirectResponse(status=_UNAVAILABLE, body=body))
    gateways, export_to = (_read(raw.get(field), list[str]) or [] for field in ("gateways", "exportTo"))

    def of(hosts: list[str]) -> VirtualService:
        return VirtualService(hosts=hosts, gateways=gateways, http=[route], export_to=export_to)

    hosts: list[str] = []
    for host in _read(raw.get("hosts"), list[str]) or []:
        if _is_clear(of([*hosts, host]), routing.virtual_service):
            hosts.append(host)
    if not hosts or not raw.get("http"):
        return StandIn(None, "it routes nothing: connections go where they would without it")
    return StandIn(of(hosts), f"HTTP requests to {', '.join(hosts)} are answered with {_UNAVAILABLE}")


def destination_rule(raw: Mapping[str, Any]) -> StandIn:
    """A DestinationRule: its limits do not hold, and routes to its subsets fail; nothing is sent in plain text."""
    host, policy = raw.get("host"), raw.get("trafficPolicy")
    asked = [tls for tls in _values(raw, "tls") if not (isinstance(tls, Mapping) and tls.get("mode") == "DISABLE")]
    without = "its subsets and its traffic policy do not hold"
    if not isinstance(host, str) or not asked or not _is_clear(DestinationRule(host=host), policies.destination_rule):
        return StandIn(None, without)
    own = policy.get("tls") if isinstance(policy, Mapping) else None
    readable = _read(own, ClientTLSSettings) if own in asked and len(asked) == 1 else None
    kept = DestinationRule(host=host, traffic_policy=TrafficPolicy(tls=readable))
    if readable is not None and readable.mode is not None and _is_clear(kept, policies.destination_rule):
        return StandIn(kept, f"{without}, but for its trafficPolicy.tls")
    mutual = TrafficPolicy(tls=ClientTLSSettings(mode="ISTIO_MUTUAL"))
    return StandIn(
        DestinationRule(host=host, traffic_policy=mutual), f"{without}; connections use the mesh's mutual TLS, or fail"
    )


def sidecar(raw: Mapping[str, Any]) -> StandIn:
    """A Sidecar: its workloads reach what can be read of `egress`, and the outside only if that allows it."""
    listeners = raw.get("egress")
    given = listeners if isinstance(listeners, list) else [listeners] if listeners else []
    read = [one for one in (_read(each, IstioEgressListener) for each in given) if one is not None]
    clear = [one for one in read if _is_clear(Sidecar(egress=[one]), sidecars.sidecar)]
    egress = clear or ([IstioEgressListener(hosts=["~/*"])] if given else [])
    outside = raw.get("outboundTrafficPolicy")
    policy = None if outside is None else _read(outside, OutboundTrafficPolicy) or OutboundTrafficPolicy()
    selector = _read(raw.get("workloadSelector"), LabelsSelector)
    spec = Sidecar(workload_selector=selector, egress=egress, outbound_traffic_policy=policy)
    left = f"{len(clear)} of {len(given)} egress listeners" if given else "no egress listener"
    mode = f", and outboundTrafficPolicy {policy.mode}" if policy is not None else ""
    return StandIn(spec, f"of it hold {left} that can be read{mode}")


def gateway(_: Mapping[str, Any]) -> StandIn:
    """A Gateway: nothing listens for it."""
    return StandIn(None, "gateways do not listen for it")


def traffic_extension(_: Mapping[str, Any]) -> StandIn:
    """A TrafficExtension: there is no script to run."""
    return StandIn(None, "it is not run: what it would refuse passes")


def service_entry(_: Mapping[str, Any]) -> StandIn:
    """A ServiceEntry: its hosts are like any that the mesh does not know."""
    return StandIn(None, "the mesh does not know its hosts")


def workload_entry(_: Mapping[str, Any]) -> StandIn:
    """A WorkloadEntry: no service has it as an endpoint."""
    return StandIn(None, "no service has it as an endpoint")


def _is_clear(spec: _Spec, check: Callable[[_Spec], Iterator[Problem]]) -> bool:
    return not any(problem.severity == "error" for problem in (*bounds(spec), *check(spec)))


def _read(raw: Any, wanted: type[_S]) -> _S | None:
    """A part of a spec by itself; None when it is not there, or cannot be read."""
    try:
        return None if raw is None else msgspec.convert(raw, wanted)
    except msgspec.ValidationError:
        return None


def _values(raw: Any, key: str) -> Iterator[Any]:
    """What stands under a key, at any depth."""
    if isinstance(raw, Mapping):
        for name, value in raw.items():
            if name == key and value:
                yield value
            else:
                yield from _values(value, key)
    elif isinstance(raw, list):
        for value in raw:
            yield from _values(value, key)

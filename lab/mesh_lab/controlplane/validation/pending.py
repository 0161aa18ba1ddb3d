"""What Istio carries out and this control plane does not yet, one line each: the commit that carries it out removes it.

All of it is checked by Istio's rules elsewhere. A line is an error where the rest of the resource, carried out without
the field, would send traffic where its author does not want it; otherwise it is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple, get_args

import msgspec

from mesh_lab.controlplane.model import DestinationRule
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.destinationrule import LoadBalancerSettings
from mesh_lab.controlplane.model.envoyfilter import ListenerMatch, Patch
from mesh_lab.controlplane.model.gateway import Server, ServerPort
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.model.sidecar import IstioEgressListener, IstioIngressListener
from mesh_lab.controlplane.model.virtualservice import L4MatchAttributes
from mesh_lab.controlplane.model.workloads import WorkloadEntry
from mesh_lab.controlplane.validation.common import Problem, Severity, camel

Places = Callable[[Any], Iterable[str]]
"""Where, below the field, something is not carried out: nowhere, at the field itself (an empty text), or at parts."""


class Line(NamedTuple):
    """A field of a type, wherever the type stands."""

    owner: type[Spec]
    field: str
    severity: Severity
    text: str
    places: Places | None = None


def _when(holds: Callable[[Any], bool]) -> Places:
    return lambda owner: [""] if holds(owner) else []


def _names_secret_for_all(spec: DestinationRule) -> bool:
    policies = [spec.traffic_policy, *(subset.traffic_policy for subset in spec.subsets)]
    known = [policy for policy in policies if policy is not None]
    settings = [policy.tls for policy in known] + [own.tls for policy in known for own in policy.port_level_settings]
    return spec.workload_selector is None and any(each and each.credential_name for each in settings)


_ZONES = (
    "regions fail over; zones are not balanced, as in Istio by default: proxies do not discover each other "
    "(ISTIO_META_ENABLE_SELF_DISCOVERY)"
)

LINES = (
    Line(L4MatchAttributes, "source_subnet", "error", "sourceSubnet is not supported: Istio ignores it too"),
    Line(LoadBalancerSettings, "zone_aware_lb_setting", "warning", _ZONES),
    Line(
        DestinationRule,
        "workload_selector",
        "warning",
        "as in Istio, without it only gateways are given the Secret of credentialName: sidecars begin TLS without it",
        _when(_names_secret_for_all),
    ),
    Line(Server, "default_endpoint", "warning", "as in Istio, has no effect on gateways: VirtualServices say where to"),
    Line(
        ServerPort,
        "protocol",
        "error",
        "a Gateway of Istio's kind serves no UDP: a UDPRoute of the Gateway API does",
        _when(lambda port: port.protocol.upper() == "UDP"),
    ),
    Line(WorkloadEntry, "network", "warning", "has no effect: there is one network, and no gateway to another"),
    Line(
        ListenerMatch,
        "port_name",
        "warning",
        "Istio has not implemented it: it matches all listeners; portNumber names one",
    ),
    Line(
        Patch,
        "filter_class",
        "warning",
        "Istio does not act on it: the operation says where a filter goes",
        _when(lambda patch: patch.filter_class != "UNSPECIFIED"),
    ),
    Line(
        ProxyConfig, "image", "warning", "has no effect: the lab has one Envoy under all names of Istio's proxy images"
    ),
    Line(
        IstioIngressListener,
        "capture_mode",
        "warning",
        "a pod's ports are redirected all the same, but for those of traffic.sidecar.istio.io/excludeInboundPorts",
        _when(lambda listener: listener.capture_mode == "NONE"),
    ),
    Line(
        IstioIngressListener,
        "bind",
        "warning",
        "as in Istio where a port is redirected, any address of the pod is taken",
    ),
    Line(
        IstioEgressListener,
        "bind",
        "warning",
        "has no effect without a port: hosts are called at their own addresses",
        _when(lambda listener: listener.bind and listener.port is None),
    ),
    Line(
        IstioEgressListener,
        "capture_mode",
        "warning",
        "has no effect without a port: what a pod sends is redirected all the same",
        _when(lambda listener: listener.capture_mode == "NONE" and listener.port is None),
    ),
)
"""In the order of the reference pages."""


def not_carried_out(spec: Spec, path: str = "spec") -> Iterator[Problem]:
    """What of a resource is not carried out, in the order of its fields."""
    lines, parts = _plan(type(spec))
    for line, name in lines:
        for place in line.places(spec) if line.places else [""] if getattr(spec, line.field) else []:
            yield Problem(line.severity, f"{path}.{name}{place}", line.text.format(name))
    for attribute, name in parts:
        value = getattr(spec, attribute)
        if isinstance(value, Spec):
            yield from not_carried_out(value, f"{path}.{name}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from not_carried_out(item, f"{path}.{name}[{index}]")
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from not_carried_out(item, f"{path}.{name}[{key}]")


@cache
def _plan(kind: type[Spec]) -> tuple[tuple[tuple[Line, str], ...], tuple[tuple[str, str], ...]]:
    """The lines for a type, and its fields that have further specs in them."""
    lines = tuple((line, camel(line.field)) for line in LINES if line.owner is kind)
    fields = msgspec.structs.fields(kind)
    return lines, tuple((field.name, field.encode_name) for field in fields if _has_specs(field.type))


def _has_specs(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, Spec):
        return True
    return any(_has_specs(part) for part in get_args(kind))

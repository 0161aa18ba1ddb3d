"""What Istio carries out and this control plane does not yet, one line each: the commit that carries it out removes it.

All of it is checked by Istio's rules elsewhere. A line is an error where the rest of the resource, carried out without
the field, would send traffic where its author does not want it; otherwise it is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple, get_args

import msgspec

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.destinationrule import (
    ClientTLSSettings,
    HTTPCookie,
    HTTPSettings,
    LoadBalancerSettings,
    OutlierDetection,
    TrafficPolicy,
)
from mesh_lab.controlplane.model.gateway import Server, ServerPort, ServerTLSSettings
from mesh_lab.controlplane.model.sidecar import IstioEgressListener, OutboundTrafficPolicy, Sidecar
from mesh_lab.controlplane.model.virtualservice import (
    HTTPRedirect,
    HTTPRetry,
    HTTPRoute,
    L4MatchAttributes,
    TLSMatchAttributes,
)
from mesh_lab.controlplane.validation.common import Problem, Severity, camel
from mesh_lab.controlplane.validation.names import UNIX

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


def _routes_tls_on_sidecars(spec: VirtualService) -> bool:
    return bool(spec.tls) and "mesh" in (spec.gateways or ["mesh"])


def _has_localities(balancer: LoadBalancerSettings) -> bool:
    setting = balancer.locality_lb_setting
    return setting is not None and bool(setting.distribute or setting.failover or setting.failover_priority)


_DELEGATION = "delegation to another virtual service is not supported by this control plane"
_NO_HOSTS = "virtual service must have at least one host: delegation is not supported here"
_SUBNETS = "destinationSubnets are not supported by this control plane"
_ONE_LOCALITY = "localities have no effect with this control plane: there is one"
_NO_EFFECT = "{} has no effect with this control plane"

LINES = (
    Line(VirtualService, "hosts", "error", _NO_HOSTS, _when(lambda spec: not spec.hosts)),
    Line(
        VirtualService,
        "tls",
        "warning",
        "TLS is routed by name at gateways only: on sidecars this has no effect",
        _when(_routes_tls_on_sidecars),
    ),
    Line(HTTPRoute, "delegate", "error", _DELEGATION),
    Line(HTTPRedirect, "prefix_rewrite", "error", "prefixRewrite is not supported by this control plane: use uri"),
    Line(
        HTTPRetry,
        "retry_remote_localities",
        "warning",
        "has no effect with this control plane: there is one locality",
    ),
    Line(L4MatchAttributes, "destination_subnets", "error", _SUBNETS),
    Line(L4MatchAttributes, "source_subnet", "error", "sourceSubnet is not supported: Istio ignores it too"),
    Line(TLSMatchAttributes, "destination_subnets", "error", _SUBNETS),
    Line(TrafficPolicy, "tunnel", "warning", _NO_EFFECT),
    Line(TrafficPolicy, "proxy_protocol", "warning", _NO_EFFECT),
    Line(TrafficPolicy, "retry_budget", "warning", _NO_EFFECT),
    Line(LoadBalancerSettings, "locality_lb_setting", "warning", _ONE_LOCALITY, _when(_has_localities)),
    Line(LoadBalancerSettings, "zone_aware_lb_setting", "warning", _ONE_LOCALITY),
    Line(HTTPCookie, "attributes", "warning", _NO_EFFECT),
    Line(HTTPSettings, "http2_keep_alive", "warning", _NO_EFFECT),
    Line(OutlierDetection, "outlier_detection_http_error_codes", "warning", _NO_EFFECT),
    Line(
        ClientTLSSettings,
        "credential_name",
        "warning",
        "only gateways are given Secrets: a sidecar's connections fail for want of it",
    ),
    Line(
        ServerTLSSettings,
        "mode",
        "error",
        "AUTO_PASSTHROUGH is for several clusters, which this control plane does not join",
        _when(lambda tls: tls.mode == "AUTO_PASSTHROUGH"),
    ),
    Line(
        ServerTLSSettings,
        "tls_certificates",
        "error",
        "tlsCertificates are not supported by this control plane: use credentialNames",
    ),
    Line(ServerTLSSettings, "insecure_skip_verify", "warning", "no effect here: clients' certificates are verified"),
    Line(
        Server,
        "bind",
        "error",
        "a gateway of this control plane listens at IP addresses only",
        _when(lambda server: server.bind.startswith(UNIX)),
    ),
    Line(Server, "default_endpoint", "warning", "defaultEndpoint has no effect on gateways"),
    Line(
        ServerPort,
        "protocol",
        "error",
        "a gateway of this control plane serves neither UDP nor HTTP_PROXY",
        _when(lambda port: port.protocol.upper() in ("UDP", "HTTP_PROXY")),
    ),
    Line(Sidecar, "ingress", "warning", "ingress has no effect with this control plane"),
    Line(
        IstioEgressListener,
        "port",
        "warning",
        "an egress listener's hosts are taken for all ports by this control plane",
        _when(lambda listener: listener.port is not None or bool(listener.bind)),
    ),
    Line(
        IstioEgressListener,
        "capture_mode",
        "warning",
        "what a pod sends is redirected all the same",
        _when(lambda listener: listener.capture_mode == "NONE"),
    ),
    Line(OutboundTrafficPolicy, "egress_proxy", "error", "egressProxy is not supported by this control plane"),
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

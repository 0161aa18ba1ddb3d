"""Services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab import publishedports
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, FieldLabel, Grant
from mesh_lab.kube.registry.kinds.services import families
from mesh_lab.kube.registry.kinds.services.addresses import allocate, keep_allocated
from mesh_lab.kube.registry.kinds.services.backends import backend
from mesh_lab.kube.registry.printing.columns import (
    AGE,
    NAME,
    NONE,
    Cells,
    Column,
    Printer,
    age,
    items,
    joined,
    labels_text,
    name,
    part,
    wide,
)
from mesh_lab.kube.registry.rules.causes import duplicate, forbidden, invalid, required
from mesh_lab.kube.registry.rules.fields import OPTIONAL_PORT, PORT, PROTOCOL, Rules, one_of
from mesh_lab.kube.registry.rules.labels import validate_labels
from mesh_lab.kube.registry.syntax.names import is_ip, label_problem, service_name_problem, subdomain_problem
from mesh_lab.kube.resources import SERVICES

_AFFINITY_TIMEOUT_SECONDS = 10800
_REACHABLE_FROM_OUTSIDE = ("NodePort", "LoadBalancer")
_AFFINITY_LIMIT_SECONDS = 86400
_FIELDS: Rules = {
    ("ServiceSpec", "type"): one_of("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    ("ServiceSpec", "sessionAffinity"): one_of("ClientIP", "None"),
    ("ServiceSpec", "externalTrafficPolicy"): one_of("Cluster", "Local"),
    ("ServiceSpec", "internalTrafficPolicy"): one_of("Cluster", "Local"),
    ("ServiceSpec", "ipFamilyPolicy"): one_of("PreferDualStack", "RequireDualStack", "SingleStack"),
    ("ServiceSpec", "ipFamilies"): one_of("IPv4", "IPv6"),
    ("ServicePort", "protocol"): PROTOCOL,
    ("ServicePort", "port"): PORT,
    ("ServicePort", "targetPort"): PORT,
    ("ServicePort", "nodePort"): OPTIONAL_PORT,
}


def _fill_defaults(service: Object) -> None:
    """Defaults of a Service. Its addresses are allocated later."""
    spec = service.setdefault("spec", {})
    spec["type"] = spec.get("type") or "ClusterIP"
    spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", _AFFINITY_TIMEOUT_SECONDS)
    else:
        spec.pop("sessionAffinityConfig", None)
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if port.get("targetPort") in (None, "", 0) and "port" in port:
            port["targetPort"] = port["port"]
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] in _REACHABLE_FROM_OUTSIDE:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        if ports := spec.get("ports"):
            spec["ports"] = _settled(ports, service)


def _settled(ports: list[Object], beside: Object) -> list[Object]:
    """Of two ports of one name, let the lab's own of the Service keep it, and add its number to the other's.

    The lab's ingress has the host's numbers under Istio's names, which is what clients look for (`install.ingress`).
    `istioctl install` applies Istio's numbers under the same names, and a real server would refuse the two together.
    """
    own = publishedports.marked(beside["metadata"])
    present = (beside.get("spec") or {}).get("ports") or ()
    names = {port.get("name") for port in present if port.get("port") in own}
    return [
        {**port, "name": f"{port['name']}-{port['port']}"}
        if port.get("name") in names and port.get("port") not in own and "port" in port
        else port
        for port in ports
    ]


def _fit(config: Object, live: Object) -> Object:
    """What is applied, with the names that its ports have beside the lab's own: so they are applied, and owned."""
    spec = config.get("spec") or {}
    ports = spec.get("ports")
    return {**config, "spec": {**spec, "ports": _settled(ports, live)}} if ports else config


def _begin(service: Object) -> None:
    spec = service["spec"]
    # Two names of one field: the plural is the newer.
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    service["status"] = {"loadBalancer": {}}


def _check(service: Object) -> Iterator[Cause]:
    """Everything that is wrong with a Service."""
    spec = service.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and kind != "ExternalName":
        yield required("spec.ports")
    yield from _check_ports(spec, kind)
    yield from validate_labels(spec.get("selector") or {}, "spec.selector")
    yield from families.check(spec)
    for index, one in enumerate(spec.get("externalIPs") or ()):
        if not is_ip(one):
            yield invalid(f"spec.externalIPs[{index}]", one, "must be a valid IP address")
    if kind == "ExternalName":
        name = (spec.get("externalName") or "").removesuffix(".")
        if not name:
            yield required("spec.externalName")
        elif problem := subdomain_problem(name):
            yield invalid("spec.externalName", name, problem)
    if headless and kind in ("LoadBalancer", "NodePort"):
        yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    timeout = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    if timeout is not None and not 0 < timeout <= _AFFINITY_LIMIT_SECONDS:
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        yield invalid(path, timeout, f"must be greater than 0 and less than {_AFFINITY_LIMIT_SECONDS}")
    if "externalTrafficPolicy" in spec and kind not in ("NodePort", "LoadBalancer"):
        words = "may only be set for externally-accessible services"
        yield invalid("spec.externalTrafficPolicy", spec["externalTrafficPolicy"], words)


def _check_ports(spec: dict[str, Any], kind: str) -> Iterator[Cause]:
    ports = spec.get("ports") or []
    names: set[str] = set()
    pairs: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name and len(ports) > 1:
            yield required(f"{path}.name")
        elif name and (problem := label_problem(name)):
            yield invalid(f"{path}.name", name, problem)
        elif name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        if "port" not in port:
            yield required(f"{path}.port")
        pair = (port.get("protocol"), port.get("port"))
        if pair in pairs:
            yield duplicate(path, {"protocol": pair[0], "port": pair[1]})
        pairs.add(pair)
        if port.get("nodePort") and kind in ("ClusterIP", "ExternalName"):
            yield forbidden(f"{path}.nodePort", f"may not be used when `type` is '{kind}'")


def _check_update(new: Object, old: Object) -> Iterator[Cause]:
    return families.check_update(new["spec"], old["spec"])


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    spec = part(obj, "spec")
    ips = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
    return [
        name(obj),
        spec.get("type", ""),
        ips[0] or NONE,
        _external(obj),
        joined([_port(port) for port in spec.get("ports") or []]),
        age(obj, now),
        labels_text(spec.get("selector")),
    ]


def _external(service: Mapping[str, Any]) -> str:
    spec = part(service, "spec")
    fixed = list(spec.get("externalIPs") or [])
    kind = spec.get("type", "ClusterIP")
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        ingress = items(service, "status", "loadBalancer", "ingress")
        return ",".join([i.get("ip") or i.get("hostname", "") for i in ingress] + fixed) or "<pending>"
    return joined(fixed)


def _port(port: Mapping[str, Any]) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"


BEHAVIOUR = Behaviour(
    SERVICES,
    fill_defaults=_fill_defaults,
    begin=_begin,
    fit=_fit,
    keep=keep_allocated,
    name_problem=service_name_problem,
    fields=_FIELDS,
    check=_check,
    check_update=_check_update,
    allocate=allocate,
    answers_with_last_state=True,
    field_labels=(FieldLabel("spec.clusterIP"), FieldLabel("spec.type")),
    backend=backend,
    grants=(
        Grant("view", READ, ("", "status")),
        Grant("edit", READ, ("proxy",)),
        Grant("edit", WRITE, ("", "proxy")),
    ),
    printer=Printer(
        (NAME, Column("Type"), Column("Cluster-IP"), Column("External-IP"), Column("Port(s)"), AGE, *wide("Selector")),
        _row,
    ),
    zero_counts=frozenset({"allocateLoadBalancerNodePorts", "port"}),
)

"""Rules of Services and EndpointSlices."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.metadata import validate_labels
from mesh_lab.kube.registry.names import label_problem, subdomain_problem
from mesh_lab.kube.registry.rules.causes import duplicate, forbidden, immutable, invalid, required

_AFFINITY_LIMIT_S = 86400
_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100


def check_service(service: Object) -> Iterator[Cause]:
    """Everything that is wrong with a Service."""
    spec = service.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and kind != "ExternalName":
        yield required("spec.ports")
    yield from _check_ports(spec, kind)
    yield from validate_labels(spec.get("selector") or {}, "spec.selector")
    yield from _check_addresses(spec, kind)
    if kind == "ExternalName":
        name = (spec.get("externalName") or "").removesuffix(".")
        if not name:
            yield required("spec.externalName")
        elif problem := subdomain_problem(name):
            yield invalid("spec.externalName", name, problem)
    if headless and kind in ("LoadBalancer", "NodePort"):
        yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    timeout = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    if timeout is not None and not 0 < timeout <= _AFFINITY_LIMIT_S:
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        yield invalid(path, timeout, f"must be greater than 0 and less than {_AFFINITY_LIMIT_S}")
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


def _check_addresses(spec: dict[str, Any], kind: str) -> Iterator[Cause]:
    address, addresses = spec.get("clusterIP"), spec.get("clusterIPs") or []
    if kind == "ExternalName":
        if address:
            yield forbidden("spec.clusterIPs", "may not be set for ExternalName services")
        return
    if addresses and address != addresses[0]:
        yield invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`")
    if len(addresses) > 1:
        yield invalid("spec.clusterIPs", addresses, "may only hold one address: the cluster has one IP family")
    for index, one in enumerate(addresses):
        if one != "None" and not _is_ip(one):
            yield invalid(f"spec.clusterIPs[{index}]", one, "must be a valid IP address")
    for index, one in enumerate(spec.get("externalIPs") or ()):
        if not _is_ip(one):
            yield invalid(f"spec.externalIPs[{index}]", one, "must be a valid IP address")


def check_service_update(new: Object, old: Object) -> Iterator[Cause]:
    """The cluster address stays as long as the Service has one."""
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    keeps = "ExternalName" not in (old["spec"].get("type"), new["spec"].get("type"))
    if keeps and before and before != after:
        yield invalid("spec.clusterIPs[0]", [after], "may not change once set")


def check_slice(endpoint_slice: Object) -> Iterator[Cause]:
    """Everything that is wrong with an EndpointSlice."""
    endpoints = endpoint_slice.get("endpoints") or []
    kind = endpoint_slice.get("addressType")
    if len(endpoints) > _MAX_ENDPOINTS:
        words = f"Too many: {len(endpoints)}: must have at most {_MAX_ENDPOINTS} items"
        yield Cause("endpoints", words, "FieldValueTooMany")
    for index, endpoint in enumerate(endpoints):
        path = f"endpoints[{index}].addresses"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            yield required(path, "must contain at least 1 address")
        if len(addresses) > _MAX_ADDRESSES:
            words = f"Too many: {len(addresses)}: must have at most {_MAX_ADDRESSES} items"
            yield Cause(path, words, "FieldValueTooMany")
        for position, address in enumerate(addresses):
            if kind in ("IPv4", "IPv6") and not _is_ip(address, int(kind[-1])):
                yield invalid(f"{path}[{position}]", address, f"must be a valid {kind} address")
    names: set[str] = set()
    for index, port in enumerate(endpoint_slice.get("ports") or ()):
        name = port.get("name", "")
        if name in names:
            yield duplicate(f"ports[{index}].name", name)
        names.add(name)
        if name and (problem := label_problem(name)):
            yield invalid(f"ports[{index}].name", name, problem)


def check_slice_update(new: Object, old: Object) -> Iterator[Cause]:
    """A slice holds addresses of one type, always."""
    yield from immutable("addressType", new.get("addressType"), old.get("addressType"))


def _is_ip(text: str, version: int = 0) -> bool:
    try:
        return version in (0, ipaddress.ip_address(text).version)
    except ValueError:
        return False

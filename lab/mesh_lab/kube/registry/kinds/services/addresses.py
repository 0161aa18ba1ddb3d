"""Addresses and node ports of Services.

What is taken is read off the Services themselves at each allocation, so that nothing can leak and nothing needs
releasing. https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_address
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, Cause, internal, invalid
from mesh_lab.kube.registry.behaviour import Cluster
from mesh_lab.kube.registry.rules import causes
from mesh_lab.kube.resources import SERVICES

NODE_PORTS = range(30000, 32768)
# The first addresses are for Services that name theirs: the API server and the cluster's DNS.
RESERVED = 256
_DUAL = "RequireDualStack"
_TRIES = 64
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


def allocate(cluster: Cluster, service: Object, old: Object | None) -> None:
    """Fill in `clusterIP`, `clusterIPs`, `ipFamilies` and `nodePort`s.

    Raises:
        ApiError: 422, what the Service asks for is taken or out of range; 500, nothing is free.
    """
    spec = service["spec"]
    others = [s for s in cluster.store.heads(SERVICES.key) if s["metadata"]["uid"] != service["metadata"]["uid"]]
    if spec["type"] == "ExternalName":
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(field, None)
        return
    address = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
    if address != "None":
        network, taken = cluster.service_network, {s["spec"].get("clusterIP") for s in others}
        address = _checked(service, address, network, taken) if address else _free(network, taken)
    spec["clusterIP"], spec["clusterIPs"] = address, [address]
    _refuse_other_families(service)
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    _allocate_ports(service, old, {port for s in others for _, port in _node_ports(s["spec"])})


def _refuse_other_families(service: Object) -> None:
    """As a cluster of one family does. One that only prefers two gets the one."""
    spec = service["spec"]
    if spec.get("ipFamilyPolicy") == _DUAL:
        words = "this cluster is not configured for dual-stack services"
        raise _refusal(service, causes.invalid("spec.ipFamilyPolicy", _DUAL, words))
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        if family != "IPv4":
            words = "not configured on this cluster"
            raise _refusal(service, causes.invalid(f"spec.ipFamilies[{index}]", family, words))


def _checked(service: Object, address: str, network: IPv4Network, taken: set[str]) -> str:
    if ip_address(address) not in network:
        words = f"failed to allocate IP {address}: the provided network does not match the current range"
        raise _refusal(service, causes.invalid("spec.clusterIPs", [address], words))
    if address in taken:
        words = f"failed to allocate IP {address}: provided IP is already allocated"
        raise _refusal(service, causes.invalid("spec.clusterIPs", [address], words))
    return address


def _free(network: IPv4Network, taken: set[str]) -> str:
    size = network.num_addresses
    first = min(RESERVED, size // 16)
    for _ in range(_TRIES):
        address = str(network[random.randrange(first, size - 1)])
        if address not in taken:
            return address
    for offset in range(first, size - 1):
        address = str(network[offset])
        if address not in taken:
            return address
    raise internal(f"failed to allocate a serviceIP: range {network} is full")


def _allocate_ports(service: Object, old: Object | None, taken: set[int]) -> None:
    spec = service["spec"]
    wanted = spec["type"] in _WITH_NODE_PORTS
    wanted = wanted and not (spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False)
    before = dict(_node_ports(old["spec"])) if old else {}
    for index, port in enumerate(spec.get("ports") or ()):
        asked = port.get("nodePort")
        if asked:
            _check_port(service, index, asked, taken)
        elif wanted:
            kept = before.get(_identity(port))
            asked = kept if kept and kept not in taken else _free_port(taken)
            port["nodePort"] = asked
        if asked:
            taken.add(asked)


def _check_port(service: Object, index: int, asked: int, taken: set[int]) -> None:
    path = f"spec.ports[{index}].nodePort"
    if asked not in NODE_PORTS:
        words = f"provided port is not in the valid range. The range of valid ports is {_range()}"
        raise _refusal(service, causes.invalid(path, asked, words))
    if asked in taken:
        raise _refusal(service, causes.invalid(path, asked, "provided port is already allocated"))


def keep_allocated(new: Object, old: Object) -> None:
    """Settle what an update says nothing about: what was allocated stays, but where the new type has no use for it.

    A client that changes only the type, as `kubectl patch` does, still sends along what belonged to the former one.
    """
    before, after = old["spec"], new["spec"]
    if after["type"] == "ExternalName":
        if before["type"] != "ExternalName" and after.get("clusterIPs") == before.get("clusterIPs"):
            after.pop("clusterIP", None)
            after.pop("clusterIPs", None)
    elif before["type"] != "ExternalName":
        for field in ("clusterIP", "clusterIPs"):
            if not after.get(field) and field in before:
                after[field] = before[field]
        # A client that changes one of the two names of the address means both.
        if after.get("clusterIP") != before.get("clusterIP") and after.get("clusterIPs") == before.get("clusterIPs"):
            after["clusterIPs"] = [after["clusterIP"]]
    if before["type"] in _WITH_NODE_PORTS and after["type"] not in _WITH_NODE_PORTS:
        if dict(_node_ports(after)) == dict(_node_ports(before)):
            for port in after.get("ports") or ():
                port.pop("nodePort", None)
        if after.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
            after.pop("externalTrafficPolicy", None)
    if before["type"] == "LoadBalancer" and after["type"] != "LoadBalancer":
        after.pop("allocateLoadBalancerNodePorts", None)


def _node_ports(spec: Object) -> Iterator[tuple[tuple[Any, Any], int]]:
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield _identity(port), port["nodePort"]


def _identity(port: Object) -> tuple[Any, Any]:
    return port.get("protocol"), port.get("port")


def _free_port(taken: set[int]) -> int:
    free = [port for port in NODE_PORTS if port not in taken]
    if not free:
        raise internal(f"failed to allocate a nodePort: range {_range()} is full")
    return random.choice(free)


def _range() -> str:
    return f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}"


def _refusal(obj: Object, cause: Cause) -> ApiError:
    return invalid("Service", obj["metadata"].get("name", ""), (cause,))

"""Addresses and node ports of Services.

What is taken is read off the Services themselves at each allocation, so that nothing can leak and nothing needs
releasing. https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, Cause, internal, invalid
from mesh_lab.kube.registry.behaviour import Cluster, Network
from mesh_lab.kube.registry.kinds.services import families
from mesh_lab.kube.registry.rules import causes
from mesh_lab.kube.resources import SERVICES

NODE_PORTS = range(30000, 32768)
# The first addresses are for Services that name theirs: the API server and the cluster's DNS.
RESERVED = 256
_TRIES = 64
_DECIDING = ("type", "selector", *families.FIELDS)
"""The fields that decide about a Service's addresses."""
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


def allocate(cluster: Cluster, service: Object, old: Object | None) -> None:
    """Fill in `clusterIP`, `clusterIPs`, `ipFamilies` and `nodePort`s.

    Raises:
        ApiError: 422, what the Service asks for is taken or out of range; 500, nothing is free.
    """
    spec = service["spec"]
    others = [s for s in cluster.store.heads(SERVICES.key) if s["metadata"]["uid"] != service["metadata"]["uid"]]
    if spec["type"] == "ExternalName":
        return
    if old is None or any(spec.get(field) != old["spec"].get(field) for field in _DECIDING):
        _allocate_addresses(cluster, service, old, {one for s in others for one in s["spec"].get("clusterIPs") or ()})
    _allocate_ports(service, old, {port for s in others for _, port in _node_ports(s["spec"])})


def _allocate_addresses(cluster: Cluster, service: Object, old: Object | None, taken: set[str]) -> None:
    """Give the Service one address of each of its families; an address that it has or names stays in its place."""
    spec = service["spec"]
    networks = {f"IPv{network.version}": network for network in cluster.service_networks}
    if found := families.settle(spec, old["spec"] if old is not None else None, tuple(networks)):
        raise _refusal(service, *found)
    if spec.get("clusterIP") == "None":
        spec["clusterIPs"] = ["None"]
        return
    given = dict(zip(spec["ipFamilies"], spec.get("clusterIPs") or (), strict=False))
    spec["clusterIPs"] = [
        _checked(service, given[family], networks[family], taken) if family in given else _free(networks[family], taken)
        for family in spec["ipFamilies"]
        if family in given or family in networks
    ]
    spec["clusterIP"] = spec["clusterIPs"][0]


def _checked(service: Object, address: str, network: Network, taken: set[str]) -> str:
    given = service["spec"]["clusterIPs"]
    if ip_address(address) not in network:
        words = f"failed to allocate IP {address}: the provided network does not match the current range"
        raise _refusal(service, causes.invalid("spec.clusterIPs", given, words))
    if address in taken:
        words = f"failed to allocate IP {address}: provided IP is already allocated"
        raise _refusal(service, causes.invalid("spec.clusterIPs", given, words))
    return address


def _free(network: Network, taken: set[str]) -> str:
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
        if before["type"] != "ExternalName" and after.get("clusterIPs") in (None, before.get("clusterIPs")):
            for field in families.FIELDS:
                if after.get(field) == before.get(field):
                    after.pop(field, None)
    elif before["type"] != "ExternalName":
        _keep_addresses(before, after)
    if before["type"] in _WITH_NODE_PORTS and after["type"] not in _WITH_NODE_PORTS:
        if dict(_node_ports(after)) == dict(_node_ports(before)):
            for port in after.get("ports") or ():
                port.pop("nodePort", None)
        if after.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
            after.pop("externalTrafficPolicy", None)
    if before["type"] == "LoadBalancer" and after["type"] != "LoadBalancer":
        after.pop("allocateLoadBalancerNodePorts", None)


def _keep_addresses(before: Object, after: Object) -> None:
    """Take the addresses over. A client that changes only one of the two names of the first means both."""
    if not after.get("clusterIP") and "clusterIP" in before:
        after["clusterIP"] = before["clusterIP"]
    is_same = after.get("clusterIP") == before.get("clusterIP")
    if not after.get("clusterIPs"):
        after["clusterIPs"] = before.get("clusterIPs") if is_same else [after["clusterIP"]]
    elif not is_same and after["clusterIPs"] == before.get("clusterIPs"):
        after["clusterIPs"] = [after["clusterIP"]]


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


def _refusal(obj: Object, *found: Cause) -> ApiError:
    return invalid("Service", obj["metadata"].get("name", ""), found)

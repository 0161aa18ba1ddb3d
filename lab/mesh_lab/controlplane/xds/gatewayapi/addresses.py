"""Where a Gateway is reached, and whether anything answers there yet."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

from mesh_lab.controlplane.world.kubernetes import Service
from mesh_lab.controlplane.world.snapshot import NO_ENDPOINTS, Snapshot
from mesh_lab.controlplane.xds.gatewayapi import infrastructure
from mesh_lab.controlplane.xds.gatewayapi.listeners import GatewayState
from mesh_lab.controlplane.xds.gatewayapi.sources import Verdict, spec_of


class Address(NamedTuple):
    """`IPAddress` or `Hostname`, and the address."""

    type: str
    value: str


class Place(NamedTuple):
    """The addresses, and why the gateway cannot be reached there yet."""

    addresses: tuple[Address, ...] = ()
    wrong: Verdict | None = None
    message: str = ""


def place_of(state: GatewayState, snapshot: Snapshot) -> Place:
    """Where the Services of a Gateway are reached."""
    resource, spec = state.resource, spec_of(state.resource)
    if spec is None or state.refused is not None:
        return Place(wrong=Verdict("Invalid", "the Gateway is not accepted"))
    names = infrastructure.services_of(resource, snapshot.mesh.cluster_domain)
    found: list[Address] = []
    remarks: list[str] = []
    assigned: list[str] = []
    for name in names:
        namespace, _, short = name.partition("/")
        service = snapshot.services.get((namespace, short))
        if service is None:
            return Place(wrong=Verdict("AddressNotAssigned", f"Service {name}: there is none yet"))
        if not snapshot.endpoints.get((namespace, short), NO_ENDPOINTS).endpoints:
            return Place(tuple(found), Verdict("Pending", f"Service {name} has no ready pod yet"))
        ports = {each.listener.port for each in state.all}
        found += _addresses(service, ports, snapshot.mesh.cluster_domain)
        assigned += (f"{short}.{namespace}.svc.{snapshot.mesh.cluster_domain}:{port}" for port in sorted(ports))
        remarks += _unanswered(service, ports)
    wanted = {each.value for each in infrastructure.addresses_of(spec) if infrastructure.is_deployed(spec)}
    if lacking := sorted(wanted - {each.value for each in found}):
        text = f"{', '.join(lacking)}: not given, or not at all ports; Events of Service {_joined(list(names))} say why"
        return Place(tuple(dict.fromkeys(found)), Verdict("AddressNotUsable", text))
    told = f"Resource programmed, assigned to service(s) {_joined(assigned)}"
    return Place(tuple(dict.fromkeys(found)), message="; ".join((told, *remarks)))


def _joined(names: list[str]) -> str:
    """As Istio lists them."""
    *others, last = names or [""]
    return f"{', '.join(others)}{',' * (len(others) > 1)} and {last}" if others else last


def _unanswered(service: Service, ports: set[int]) -> Iterator[str]:
    """That the host does not answer at all ports: one is taken, or not for an ordinary user to have."""
    if not service.is_balanced or any(each.failing.isdisjoint(ports) for each in service.balancers):
        return
    yield (
        f"the host does not answer at all of the ports, of which Events of Service {service.name} say why; "
        "pods and the node do"
    )


def _addresses(service: Service, ports: set[int], domain: str) -> list[Address]:
    """The load balancer's, where all ports answer; else the Service's own, which pods and the node reach."""
    balanced = [each.address for each in service.balancers if each.failing.isdisjoint(ports)]
    if balanced:
        return [Address(_type(each), each) for each in balanced]
    if service.is_balanced and service.cluster_ip:
        return [Address("IPAddress", service.cluster_ip)]
    return [Address("Hostname", f"{service.name}.{service.namespace}.svc.{domain}")]


def _type(address: str) -> str:
    try:
        ip_address(address)
    except ValueError:
        return "Hostname"
    return "IPAddress"

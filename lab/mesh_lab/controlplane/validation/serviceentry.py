"""Rules for ServiceEntry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from mesh_lab.controlplane.model import ServiceEntry
from mesh_lab.controlplane.validation import workloads
from mesh_lab.controlplane.validation.common import Problem, cidr, error, warning
from mesh_lab.controlplane.validation.names import (
    HTTP_PROTOCOLS,
    TLS_PROTOCOLS,
    UNIX,
    export_to,
    fqdn,
    host_name,
    is_address,
    port_name,
    protocol,
    workload_labels,
)

_DYNAMIC_PROTOCOLS = frozenset({"HTTP", "TLS", "GRPC", "HTTP2"})


def service_entry(spec: ServiceEntry) -> Iterator[Problem]:
    """Problems of a ServiceEntry."""
    for index, host in enumerate(spec.hosts):
        yield from _host(f"spec.hosts[{index}]", host, dynamic=spec.resolution == "DYNAMIC_DNS")
    for index, address in enumerate(spec.addresses):
        yield from cidr(f"spec.addresses[{index}]", address)
        if "/" in address and spec.resolution not in ("NONE", "STATIC"):
            text = "CIDR addresses are allowed only for NONE/STATIC resolution types"
            yield error(f"spec.addresses[{index}]", text)
    yield from _ports(spec)
    if spec.workload_selector is not None:
        yield from workload_labels("spec.workloadSelector", spec.workload_selector.labels)
        if spec.endpoints:
            yield error("spec.endpoints", "only one of workloadSelector or endpoints is allowed in a ServiceEntry")
    for index, endpoint in enumerate(spec.endpoints):
        path = f"spec.endpoints[{index}]"
        yield from workloads.fields(path, endpoint)
        for name in endpoint.ports:
            if all(port.name != name for port in spec.ports):
                yield error(f"{path}.ports[{name}]", f"endpoint port {name} is not defined by the service entry")
    yield from _RESOLUTIONS[spec.resolution](spec)
    protocols = [port.protocol.upper() for port in spec.ports]
    if spec.resolution != "NONE" and len(spec.hosts) > 1 and not {*protocols} <= HTTP_PROTOCOLS | TLS_PROTOCOLS:
        yield error("spec.hosts", "multiple hosts provided with non-HTTP, non-TLS ports")
    yield from export_to("spec.exportTo", spec.export_to, nobody=True)


def _host(path: str, host: str, *, dynamic: bool) -> Iterator[Problem]:
    """A host, or a wildcard for all that end alike: whole labels by `*.`, where Istio takes parts of one too."""
    if host == "*":
        yield error(path, "invalid host *: hostname cannot be wildcard")
        return
    if host.startswith("*") and not host.startswith("*."):
        if not dynamic:
            yield warning(path, f'partial wildcard "{host}" not allowed')
        yield from host_name(path, host.removeprefix("*").removeprefix("-"))
        return
    yield from host_name(path, host)


def _ports(spec: ServiceEntry) -> Iterator[Problem]:
    names: set[str] = set()
    numbers: set[int] = set()
    # Addresses that nobody gave are assigned by the control plane, where something is resolved.
    without_address = not spec.addresses and spec.resolution == "NONE"
    for index, port in enumerate(spec.ports):
        path = f"spec.ports[{index}]"
        yield from port_name(f"{path}.name", port.name)
        if port.name in names:
            yield error(f"{path}.name", f'service entry port name "{port.name}" already defined')
        if port.number in numbers:
            yield error(f"{path}.number", f"service entry port {port.number} already defined")
        names.add(port.name)
        numbers.add(port.number)
        yield from protocol(f"{path}.protocol", port.protocol)
        if without_address and port.protocol in ("", "TCP"):
            yield warning("spec.addresses", "addresses are required for ports serving TCP (or unset) protocol")


def _none(spec: ServiceEntry) -> Iterator[Problem]:
    if spec.endpoints:
        yield error("spec.endpoints", "no endpoints should be provided for resolution type NONE")
    if spec.workload_selector is not None:
        yield warning("spec.workloadSelector", "workloadSelector should not be set when resolution mode is NONE")


def _static(spec: ServiceEntry) -> Iterator[Problem]:
    for index, endpoint in enumerate(spec.endpoints):
        path, where = f"spec.endpoints[{index}]", endpoint.address
        yield from workloads.address(path, endpoint)
        if where.startswith(UNIX):
            if len(spec.ports) != 1:
                yield error("spec.ports", "exactly 1 service port required for unix endpoints")
        elif where and not is_address(where):
            yield error(f"{path}.address", f'endpoint address "{where}" is not a valid IP address')


def _dns(spec: ServiceEntry) -> Iterator[Problem]:
    for index, host in enumerate(spec.hosts if not spec.endpoints else ()):
        if any(fqdn("", host)):
            text = f"hosts must be FQDN if no endpoints are provided for resolution mode {spec.resolution}"
            yield error(f"spec.hosts[{index}]", text)
    for index, endpoint in enumerate(spec.endpoints):
        if not is_address(endpoint.address) and any(fqdn("", endpoint.address)):
            text = f'endpoint address "{endpoint.address}" is not a valid FQDN or an IP address'
            yield error(f"spec.endpoints[{index}].address", text)
    is_tcp = any(port.protocol and port.protocol.upper() not in HTTP_PROTOCOLS | {"UDP"} for port in spec.ports)
    if spec.addresses and len(spec.hosts) > 1 and is_tcp:
        yield warning("spec.hosts", "more than one host cannot be told apart at one address and TCP port")


def _dns_round_robin(spec: ServiceEntry) -> Iterator[Problem]:
    if len(spec.endpoints) > 1:
        yield error("spec.endpoints", "there must only be 0 or 1 endpoint for resolution mode DNS_ROUND_ROBIN")
    yield from _dns(spec)


def _dynamic_dns(spec: ServiceEntry) -> Iterator[Problem]:
    by_name = any(port.protocol.upper() == "TLS" for port in spec.ports)
    for index, host in enumerate(spec.hosts):
        if not host.startswith("*"):
            yield error(f"spec.hosts[{index}]", "host must be wildcarded for resolution mode DYNAMIC_DNS")
        elif by_name and not host.startswith("*."):
            # Envoy would reject it, or without it look up any name at all.
            text = f'partial wildcard "{host}" cannot be matched with the server names of a TLS port: write *.DOMAIN'
            yield error(f"spec.hosts[{index}]", text)
    for name, given in (("addresses", spec.addresses), ("endpoints", spec.endpoints)):
        if given:
            yield error(f"spec.{name}", f"{name} cannot be set for resolution type DYNAMIC_DNS")
    for index, port in enumerate(spec.ports):
        if port.protocol.upper() not in _DYNAMIC_PROTOCOLS:
            text = "only HTTP, TLS, GRPC, and HTTP2 protocols are supported for resolution type DYNAMIC_DNS"
            yield error(f"spec.ports[{index}].protocol", text)


_RESOLUTIONS: Mapping[str, Callable[[ServiceEntry], Iterator[Problem]]] = {
    "NONE": _none,
    "STATIC": _static,
    "DNS": _dns,
    "DNS_ROUND_ROBIN": _dns_round_robin,
    "DYNAMIC_DNS": _dynamic_dns,
}

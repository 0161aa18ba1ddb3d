"""Rules for a VirtualService's routes of TCP connections, and of TLS connections that are passed through."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.virtualservice import L4MatchAttributes, TCPRoute, TLSMatchAttributes, TLSRoute
from mesh_lab.controlplane.validation.common import Problem, cidr, error, warning
from mesh_lab.controlplane.validation.destinations import destination, shares, source
from mesh_lab.controlplane.validation.names import host_name, is_address


def connection_routes(spec: VirtualService) -> Iterator[Problem]:
    """Problems of `tcp` and `tls`."""
    for index, tcp in enumerate(spec.tcp):
        yield from _destinations(f"spec.tcp[{index}]", tcp)
        for number, connection in enumerate(tcp.match):
            yield from _match(f"spec.tcp[{index}].match[{number}]", connection)
    for index, tls in enumerate(spec.tls):
        if not tls.match:
            yield error(f"spec.tls[{index}].match", "TLS route must have at least one match condition")
        yield from _destinations(f"spec.tls[{index}]", tls)
        for number, named in enumerate(tls.match):
            path = f"spec.tls[{index}].match[{number}]"
            yield from _match(path, named)
            yield from _names(f"{path}.sniHosts", named, spec.hosts)


def _destinations(path: str, route: TCPRoute | TLSRoute) -> Iterator[Problem]:
    yield from shares(path, [share.weight for share in route.route])
    for number, entry in enumerate(route.route):
        yield from destination(f"{path}.route[{number}].destination", entry.destination)


def _match(path: str, match: L4MatchAttributes | TLSMatchAttributes) -> Iterator[Problem]:
    for index, subnet in enumerate(match.destination_subnets):
        yield from cidr(f"{path}.destinationSubnets[{index}]", subnet)
    yield from source(path, match)


def _names(path: str, match: TLSMatchAttributes, hosts: list[str]) -> Iterator[Problem]:
    if not match.sni_hosts:
        yield error(path, "TLS match must have at least one SNI host")
    for name in match.sni_hosts:
        if is_address(name):
            yield warning(path, f'using an IP address ("{name}") goes against SNI spec: few clients send one')
            continue
        yield from host_name(path, name)
        if not any(_within(name, host) for host in hosts):
            yield error(path, f'SNI host "{name}" is not a compatible subset of any of the virtual service hosts')


def _within(name: str, host: str) -> bool:
    """Whether a name, or all that a wildcard stands for, is among a host's."""
    return name == host or host == "*" or (host.startswith("*.") and name.endswith(host[1:]))

"""Services as nftables rules: pure functions from Services and EndpointSlices to text for nft.

The design is that of kube-proxy's nftables mode
(https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables): a verdict map leads from a virtual
address to a chain a service port, whose one rule sends each new connection to a random endpoint; the kernel remembers
the choice for the connection's life. A change rewrites only the chains that it concerns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from mesh_lab.kube.objects.services import IPV4, IPV6, Endpoint, EndpointSlice, Service, ServicePort

CLIENT_AFFINITY = "ClientIP"

Backend = tuple[str, int]
"""Address and port of an endpoint."""


class Family(NamedTuple):
    """An IP family: its name in Kubernetes, and in nftables those of the family and of the type of its addresses."""

    name: str
    word: str
    type: str

    @property
    def table(self) -> str:
        """The table of its rules."""
        return f"{self.word} mesh_lab_services"


FAMILY_4, FAMILY_6 = Family(IPV4, "ip", "ipv4_addr"), Family(IPV6, "ip6", "ipv6_addr")


@dataclass(frozen=True)
class Places:
    """The node's address (for node ports), the service range, the address of DNS and the range of load balancers.

    The last two are empty where a family has none.
    """

    node_address: str
    service_cidr: str
    dns_address: str = ""
    balancers: str = ""
    family: Family = FAMILY_4

    @property
    def nowhere(self) -> str:
        """An address of the service range that no Service has: what goes there is refused."""
        return str(ip_network(self.service_cidr).network_address)


@dataclass(frozen=True)
class VirtualPort:
    """One port of one Service and where its connections go."""

    chain: str
    address: str
    protocol: str
    port: int
    node_port: int
    sticky: bool
    backends: tuple[Backend, ...]
    draining: tuple[Backend, ...] = ()
    """Endpoints that get no new connections and keep those that they have."""
    balancer: str = ""
    """The load balancer's address, if the port answers there."""


State = Mapping[str, VirtualPort]
"""Service ports that have endpoints, by the names of their chains."""


def virtual_ports(
    service: Service, slices: Iterable[EndpointSlice], balancers: str = "", family: Family = FAMILY_4
) -> list[VirtualPort]:
    """Return the Service's ports that have endpoints. Others get no rule and are rejected.

    Those that the Service's status names at an address of the range `balancers` are reached there, too. `slices` are
    those of the family.
    """
    address = service.spec.address(family.name)
    if not address:
        return []
    slices = list(slices)
    balancer = service.balancer if balancers and _within(service.balancer, balancers) else ""
    found = []
    for port in service.spec.ports:
        ready, draining = _endpoints(port, slices)
        if ready or draining:
            found.append(_virtual_port(service, port, address, ready or draining, draining, balancer))
    return found


def backends_of(port: ServicePort, slices: Iterable[EndpointSlice]) -> tuple[Backend, ...]:
    """Return the ready endpoints of a port; if there are none, those that still serve while they terminate."""
    ready, draining = _endpoints(port, slices)
    return ready or draining


def _endpoints(port: ServicePort, slices: Iterable[EndpointSlice]) -> tuple[tuple[Backend, ...], tuple[Backend, ...]]:
    """Return the ready endpoints of a port, and those that still serve while they terminate."""
    ready: set[Backend] = set()
    draining: set[Backend] = set()
    for each in slices:
        number = _number(port, each)
        if number is None:
            continue
        for endpoint in each.endpoints:
            if endpoint.ready:
                ready.add((endpoint.addresses[0], number))
            elif _draining(endpoint):
                draining.add((endpoint.addresses[0], number))
    return tuple(sorted(ready)), tuple(sorted(draining))


def whole(places: Places, state: State) -> str:
    """Return the text that replaces the table by one for `state`, in one transaction."""
    ip, address_type, table = places.family.word, places.family.type, places.family.table
    refuse = "meta l4proto tcp reject with tcp reset\n    reject"
    balanced = f"{ip} daddr {places.balancers} meta l4proto {{ tcp, udp }} dnat {ip} to {places.nowhere}"
    head = f"""\
table {table}
delete table {table}
table {table} {{
  map services {{ type {address_type} . inet_proto . inet_service : verdict; }}
  map node_ports {{ type inet_proto . inet_service : verdict; }}
  set endpoints {{ type {address_type} . {address_type}; }}
  chain refuse {{
    {refuse}
  }}
  chain dispatch {{
    {ip} daddr . meta l4proto . th dport vmap @services
    {ip} daddr {places.node_address} meta l4proto . th dport vmap @node_ports
    {balanced if places.balancers else ""}
  }}
  chain prerouting {{
    type nat hook prerouting priority -100;
    jump dispatch
  }}
  chain from_node {{
    type nat hook output priority -100;
    jump dispatch
  }}
  chain postrouting {{
    type nat hook postrouting priority 100;
    {ip} saddr . {ip} daddr @endpoints snat to {places.node_address}
  }}
  chain {"forwarded" if places.family is FAMILY_4 else "arrived"} {{
    type filter hook {"forward" if places.family is FAMILY_4 else "input"} priority 0;
    {ip} daddr {places.service_cidr} goto refuse
  }}
  chain refused_on_node {{
    type filter hook output priority 0;
    {f"{ip} daddr {places.dns_address} accept" if places.dns_address else ""}
    {ip} daddr {places.service_cidr} goto refuse
  }}
}}
"""
    return head + changes({}, state, {}, places.family)


def counted(before: State, after: State, used: Mapping[str, int]) -> dict[str, int]:
    """Count the service ports that lead to each address of either state afterwards; `used` has the present counts."""
    counts = {address: used.get(address, 0) for state in (before, after) for address in _addresses(state)}
    for state, step in ((before, -1), (after, 1)):
        for address in _addresses(state):
            counts[address] += step
    return counts


def changes(before: State, after: State, used: Mapping[str, int], family: Family = FAMILY_4) -> str:
    """Return the text that changes the rules from one state to another; empty when they are the same.

    The states need hold only the service ports that may differ; `used` is how many ports, of those and of all others,
    lead to each address now.
    """
    table = family.table
    added = [port for name, port in after.items() if name not in before]
    removed = [port for name, port in before.items() if name not in after]
    kept = [(before[name], port) for name, port in after.items() if name in before and before[name] != port]
    rules = {port: _rule(port, family) for port in (*added, *(each for pair in kept for each in pair))}
    lines = [f"add chain {table} {port.chain}" for port in added]
    lines += [f"flush chain {table} {old.chain}" for old, new in kept if rules[old] != rules[new]]
    lines += [f"add rule {table} {port.chain} {rules[port]}" for port in added]
    lines += [f"add rule {table} {new.chain} {rules[new]}" for old, new in kept if rules[old] != rules[new]]
    old_ports = {*removed, *(old for old, _ in kept)}
    new_ports = {*added, *(new for _, new in kept)}
    for name, describe in (("services", _by_address), ("node_ports", _by_node_port)):
        old_elements = {text for port in old_ports for text in describe(port)}
        new_elements = {text for port in new_ports for text in describe(port)}
        lines += _elements("delete", f"{table} {name}", old_elements - new_elements)
        lines += _elements("add", f"{table} {name}", new_elements - old_elements)
    counts = counted(before, after, used)
    gone = {f"{a} . {a}" for a, count in counts.items() if not count and used.get(a)}
    come = {f"{a} . {a}" for a, count in counts.items() if count and not used.get(a)}
    lines += _elements("delete", f"{table} endpoints", gone)
    lines += _elements("add", f"{table} endpoints", come)
    lines += [f"delete chain {table} {port.chain}" for port in removed]
    return "".join(f"{line}\n" for line in lines)


def flows_may_go(before: State, after: State, node_address: str) -> dict[Backend, frozenset[Backend]]:
    """Return the endpoints that flows may still go to, for each address and port of a UDP service port that changed."""
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    found: dict[Backend, frozenset[Backend]] = {}
    for state in (before, after):  # the present state wins
        for port in (state[name] for name in changed if name in state):
            if port.protocol == "udp":
                now = after.get(port.chain)
                endpoints = frozenset() if now is None else frozenset((*now.backends, *now.draining))
                found[port.address, port.port] = endpoints
                if port.node_port:
                    found[node_address, port.node_port] = endpoints
    return found


def _virtual_port(
    service: Service,
    port: ServicePort,
    address: str,
    backends: tuple[Backend, ...],
    draining: tuple[Backend, ...],
    balancer: str,
) -> VirtualPort:
    protocol = port.protocol.lower()
    return VirtualPort(
        chain=f"svc/{service.metadata.namespace}/{service.metadata.name}/{protocol}/{port.port}",
        address=address,
        protocol=protocol,
        port=port.port,
        node_port=port.node_port,
        sticky=service.spec.session_affinity == CLIENT_AFFINITY,
        backends=backends,
        draining=draining,
        balancer=balancer if service.balanced(port) else "",
    )


def _within(address: str, cidr: str) -> bool:
    """Whether an address of a status, which anyone may have written, is one of the range."""
    try:
        return ip_address(address) in ip_network(cidr)
    except ValueError:
        return False


def _number(port: ServicePort, each: EndpointSlice) -> int | None:
    for candidate in each.ports:
        if candidate.name == port.name and candidate.protocol == port.protocol:
            return candidate.port
    return None


def _draining(endpoint: Endpoint) -> bool:
    return bool(endpoint.conditions.terminating) and endpoint.serving


def _rule(port: VirtualPort, family: Family) -> str:
    """Return the rule of a port's chain. Affinity hashes the client's address: it holds while the endpoints stay."""
    ip = family.word
    select = f"jhash {ip} saddr" if port.sticky else "numgen random"
    count = len(port.backends)
    if count == 1:
        address, number = port.backends[0]
        target = f"[{address}]" if family is FAMILY_6 else address
        return f"meta l4proto {port.protocol} dnat {ip} to {target}:{number}"
    targets = ", ".join(f"{index} : {address} . {number}" for index, (address, number) in enumerate(port.backends))
    return f"meta l4proto {port.protocol} dnat {ip} to {select} mod {count} map {{ {targets} }}"


def _by_address(port: VirtualPort) -> list[str]:
    addresses = filter(None, (port.address, port.balancer))
    return [f"{address} . {port.protocol} . {port.port} : goto {port.chain}" for address in addresses]


def _by_node_port(port: VirtualPort) -> list[str]:
    return [f"{port.protocol} . {port.node_port} : goto {port.chain}"] if port.node_port else []


def _addresses(state: State) -> list[str]:
    """Yield each address once a service port."""
    return [address for port in state.values() for address in {address for address, _ in port.backends}]


def _elements(verb: str, name: str, elements: set[str]) -> list[str]:
    return [f"{verb} element {name} {{ {', '.join(sorted(elements))} }}"] if elements else []

"""Services as nftables rules: pure functions from Services and EndpointSlices to text for nft.

The design is that of kube-proxy's nftables mode
(https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables): a verdict map leads from a virtual
address to a chain a service port, whose one rule sends each new connection to a random endpoint; the kernel remembers
the choice for the connection's life. A change rewrites only the chains that it concerns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from mesh_lab.kube.objects.services import Endpoint, EndpointSlice, Service, ServicePort

TABLE = "ip mesh_lab_services"
CLIENT_AFFINITY = "ClientIP"

Backend = tuple[str, int]
"""Address and port of an endpoint."""


@dataclass(frozen=True)
class Places:
    """The node's address (for node ports), the service range, and the addresses of DNS and of load balancers."""

    node_address: str
    service_cidr: str
    dns_address: str
    balancer: str

    @property
    def nowhere(self) -> str:
        """An address of the service range that no Service has: what goes there is refused."""
        return str(IPv4Network(self.service_cidr).network_address)


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


def virtual_ports(service: Service, slices: Iterable[EndpointSlice], balancer: str = "") -> list[VirtualPort]:
    """Return the Service's ports that have endpoints. Others get no rule and are rejected.

    Those that the Service's status names at the address `balancer` are reached there, too.
    """
    if not service.spec.virtual:
        return []
    slices = list(slices)
    found = []
    for port in service.spec.ports:
        ready, draining = _endpoints(port, slices)
        if ready or draining:
            found.append(_virtual_port(service, port, ready or draining, draining, balancer))
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
    refuse = "meta l4proto tcp reject with tcp reset\n    reject"
    head = f"""\
table {TABLE}
delete table {TABLE}
table {TABLE} {{
  map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map node_ports {{ type inet_proto . inet_service : verdict; }}
  set endpoints {{ type ipv4_addr . ipv4_addr; }}
  chain refuse {{
    {refuse}
  }}
  chain dispatch {{
    ip daddr . meta l4proto . th dport vmap @services
    ip daddr {places.node_address} meta l4proto . th dport vmap @node_ports
    ip daddr {places.balancer} meta l4proto {{ tcp, udp }} dnat ip to {places.nowhere}
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
    ip saddr . ip daddr @endpoints snat to {places.node_address}
  }}
  chain forwarded {{
    type filter hook forward priority 0;
    ip daddr {places.service_cidr} goto refuse
  }}
  chain refused_on_node {{
    type filter hook output priority 0;
    ip daddr {places.dns_address} accept
    ip daddr {places.service_cidr} goto refuse
  }}
}}
"""
    return head + changes({}, state, {})


def counted(before: State, after: State, used: Mapping[str, int]) -> dict[str, int]:
    """Count the service ports that lead to each address of either state afterwards; `used` has the present counts."""
    counts = {address: used.get(address, 0) for state in (before, after) for address in _addresses(state)}
    for state, step in ((before, -1), (after, 1)):
        for address in _addresses(state):
            counts[address] += step
    return counts


def changes(before: State, after: State, used: Mapping[str, int]) -> str:
    """Return the text that changes the rules from one state to another; empty when they are the same.

    The states need hold only the service ports that may differ; `used` is how many ports, of those and of all others,
    lead to each address now.
    """
    added = [port for name, port in after.items() if name not in before]
    removed = [port for name, port in before.items() if name not in after]
    kept = [(before[name], port) for name, port in after.items() if name in before and before[name] != port]
    lines = [f"add chain {TABLE} {port.chain}" for port in added]
    lines += [f"flush chain {TABLE} {old.chain}" for old, new in kept if _rule(old) != _rule(new)]
    lines += [f"add rule {TABLE} {port.chain} {_rule(port)}" for port in added]
    lines += [f"add rule {TABLE} {new.chain} {_rule(new)}" for old, new in kept if _rule(old) != _rule(new)]
    old_ports = {*removed, *(old for old, _ in kept)}
    new_ports = {*added, *(new for _, new in kept)}
    for name, describe in (("services", _by_address), ("node_ports", _by_node_port)):
        old_elements = {text for port in old_ports for text in describe(port)}
        new_elements = {text for port in new_ports for text in describe(port)}
        lines += _elements("delete", name, old_elements - new_elements)
        lines += _elements("add", name, new_elements - old_elements)
    counts = counted(before, after, used)
    lines += _elements(
        "delete", "endpoints", {f"{a} . {a}" for a, count in counts.items() if not count and used.get(a)}
    )
    lines += _elements("add", "endpoints", {f"{a} . {a}" for a, count in counts.items() if count and not used.get(a)})
    lines += [f"delete chain {TABLE} {port.chain}" for port in removed]
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
    service: Service, port: ServicePort, backends: tuple[Backend, ...], draining: tuple[Backend, ...], balancer: str
) -> VirtualPort:
    protocol = port.protocol.lower()
    return VirtualPort(
        chain=f"svc/{service.metadata.namespace}/{service.metadata.name}/{protocol}/{port.port}",
        address=service.spec.cluster_ip,
        protocol=protocol,
        port=port.port,
        node_port=port.node_port,
        sticky=service.spec.session_affinity == CLIENT_AFFINITY,
        backends=backends,
        draining=draining,
        balancer=balancer if balancer and service.balanced(balancer, port) else "",
    )


def _number(port: ServicePort, each: EndpointSlice) -> int | None:
    for candidate in each.ports:
        if candidate.name == port.name and candidate.protocol == port.protocol:
            return candidate.port
    return None


def _draining(endpoint: Endpoint) -> bool:
    return bool(endpoint.conditions.terminating) and endpoint.serving


def _rule(port: VirtualPort) -> str:
    """Return the rule of a port's chain. Affinity hashes the client's address: it holds while the endpoints stay."""
    select = "jhash ip saddr" if port.sticky else "numgen random"
    count = len(port.backends)
    if count == 1:
        address, number = port.backends[0]
        return f"meta l4proto {port.protocol} dnat ip to {address}:{number}"
    targets = ", ".join(f"{index} : {address} . {number}" for index, (address, number) in enumerate(port.backends))
    return f"meta l4proto {port.protocol} dnat ip to {select} mod {count} map {{ {targets} }}"


def _by_address(port: VirtualPort) -> list[str]:
    addresses = filter(None, (port.address, port.balancer))
    return [f"{address} . {port.protocol} . {port.port} : goto {port.chain}" for address in addresses]


def _by_node_port(port: VirtualPort) -> list[str]:
    return [f"{port.protocol} . {port.node_port} : goto {port.chain}"] if port.node_port else []


def _addresses(state: State) -> list[str]:
    """Yield each address once a service port."""
    return [address for port in state.values() for address in {address for address, _ in port.backends}]


def _elements(verb: str, name: str, elements: set[str]) -> list[str]:
    return [f"{verb} element {TABLE} {name} {{ {', '.join(sorted(elements))} }}"] if elements else []

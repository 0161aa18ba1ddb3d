"""What the specification says, read slowly: may this packet begin a connection? And the same asked of a ruleset."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address, ip_network

from mesh_lab.kube.network.policies.model import EGRESS, INGRESS, Allow, Labels, Member, Ruleset, World
from mesh_lab.kube.objects.meta import LabelSelector
from mesh_lab.kube.objects.policies import IpBlock, NetworkPolicy, PolicyPeer, PolicyPort


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection, as it is on the wire between two pods."""

    source: str
    destination: str
    protocol: str
    port: int


def passes(policies: tuple[NetworkPolicy, ...], world: World, packet: Packet) -> bool:
    """Whether the source may send it and the destination may receive it."""
    return all(_one_side(policies, world, packet, direction) for direction in (EGRESS, INGRESS))


def _one_side(policies: tuple[NetworkPolicy, ...], world: World, packet: Packet, direction: str) -> bool:
    here, there = (packet.destination, packet.source) if direction == INGRESS else (packet.source, packet.destination)
    pod = _pod(world, here)
    if pod is None or here == there:
        return True
    held = [
        each
        for each in policies
        if direction in each.spec.policy_types
        and each.metadata.namespace == pod.namespace
        and _selects(each.spec.pod_selector, pod.labels)
    ]
    if not held:
        return True
    for policy in held:
        for rule in policy.spec.ingress if direction == INGRESS else policy.spec.egress:
            at_peer = not rule.peers or any(_is_peer(policy, world, peer, there) for peer in rule.peers)
            at_port = not rule.ports or any(_is_port(world, port, packet) for port in rule.ports)
            if at_peer and at_port:
                return True
    return False


def _pod(world: World, address: str) -> Member | None:
    return next((each for each in world.members if address in each.addresses), None)


def _selects(selector: LabelSelector, labels: Labels) -> bool:
    for key, value in selector.match_labels.items():
        if labels.get(key) != value:
            return False
    for term in selector.match_expressions:
        holds = {
            "In": term.key in labels and labels[term.key] in term.values,
            "NotIn": term.key not in labels or labels[term.key] not in term.values,
            "Exists": term.key in labels,
            "DoesNotExist": term.key not in labels,
        }
        if not holds[term.operator]:
            return False
    return True


def _is_peer(policy: NetworkPolicy, world: World, peer: PolicyPeer, address: str) -> bool:
    if peer.ip_block is not None:
        return _is_in(peer.ip_block, address)
    pod = _pod(world, address)
    if pod is None:
        return False
    if peer.namespace_selector is None:
        at_home = pod.namespace == policy.metadata.namespace
    else:
        at_home = _selects(peer.namespace_selector, world.namespaces[pod.namespace])
    return at_home and (peer.pod_selector is None or _selects(peer.pod_selector, pod.labels))


def _is_in(block: IpBlock, address: str) -> bool:
    one = ip_address(address)
    return one in _network(block.cidr) and not any(one in _network(each) for each in block.excepted)


_network = cache(ip_network)


def _is_port(world: World, port: PolicyPort, packet: Packet) -> bool:
    if port.protocol.lower() != packet.protocol:
        return False
    if port.port is None:
        return True
    if isinstance(port.port, int):
        return port.port <= packet.port <= (port.end_port or port.port)
    pod = _pod(world, packet.destination)
    return pod is not None and (port.port, packet.protocol, packet.port) in pod.ports


def passes_ruleset(ruleset: Ruleset, packet: Packet) -> bool:
    """What the rules do with it, as nft reads them."""
    for direction in (EGRESS, INGRESS):
        here, there = packet.source, packet.destination
        if direction == INGRESS:
            here, there = there, here
        guard = ruleset.isolated.get(direction, {}).get(here)
        if guard is None or here == there:
            continue
        chains = [ruleset.chains[name] for name in ruleset.guards[guard]]
        assert all(held == direction for held, _ in chains)
        if not any(_holds(ruleset, line, there, packet) for _, lines in chains for line in lines):
            return False
    return True


def _holds(ruleset: Ruleset, line: Allow, peer: str, packet: Packet) -> bool:
    number = int(ip_address(peer))
    named = (packet.destination, packet.protocol, packet.port)
    return (
        (not line.peers or peer in ruleset.addresses[line.peers])
        and (not line.spans or any(first <= number <= last for first, last in line.spans))
        and (not line.protocol or line.protocol == packet.protocol)
        and (not line.ports or any(first <= packet.port <= last for first, last in line.ports))
        and (not line.named or named in ruleset.ports[line.named])
    )

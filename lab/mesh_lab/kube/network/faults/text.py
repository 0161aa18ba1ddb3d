"""A fault as text for nft: a table of its own, so that faults come and go without touching each other's counters.

The tables are in the node's network namespace, which every packet between two pods passes: after a Service's address
has become a pod's, and outside of what a pod's sidecar redirects. What the node itself does (probes, the API server's
way to a pod, what the host's ports relay) is not looked at; of what a pod asks the node (cluster DNS, the API server),
what the pod sends is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from mesh_lab.networkfaults import EGRESS, FINEST_RATIO, INGRESS, Fault, Loss, Port

_COUNTER = re.compile(r"counter packets (\d+)")
_PRIORITY = -20  # before the chains of Services and policies: what does not arrive, they do not see
_FAMILIES = {4: "ip", 6: "ip6"}
_PARTS = round(1 / FINEST_RATIO)
_OWN, _PEER = {EGRESS: "saddr", INGRESS: "daddr"}, {EGRESS: "daddr", INGRESS: "saddr"}


def table_of(uid: str, key: str) -> str:
    """The name of the table of a pod's fault."""
    return f"mesh_lab_fault_{hashlib.blake2b(f'{uid}/{key}'.encode(), digest_size=8).hexdigest()}"


def dropping(table: str, fault: Fault, addresses: Sequence[str]) -> str:
    """The script that drops a fault's packets, of a pod with these addresses; it replaces what the table held."""
    verdict = f"numgen random mod {_PARTS} < {round(fault.ratio * _PARTS)} " if isinstance(fault, Loss) else ""
    verdict += "counter drop"
    between = [
        f"{match} {verdict}"
        for direction in (EGRESS, INGRESS)
        if fault.direction in (direction, "both")
        for match in matches(fault, addresses, direction)
    ]
    # A pod's answer to the node is of a connection that the node has begun.
    asking = [f"ct direction original {match} {verdict}" for match in matches(fault, addresses, EGRESS)]
    return f"""\
{removal(table)}table inet {table} {{
{_chain("between_pods", "forward", between)}
{_chain("to_the_node", "input", asking if fault.direction != INGRESS else [])}
}}
"""


def removal(table: str) -> str:
    """The script after which the table is not there, whether it was or not."""
    return f"table inet {table}\ndelete table inet {table}\n"


def listing(table: str) -> str:
    """The command whose output `packets` reads."""
    return f"list table inet {table}"


def packets(listed: str) -> int:
    """How many packets a table has dropped."""
    return sum(int(number) for number in _COUNTER.findall(listed))


def matches(fault: Fault, addresses: Sequence[str], direction: str) -> Iterator[str]:
    """The packets that a fault is about in one direction, as nft's expressions: for each family and protocol."""
    for address in addresses:
        version = ip_network(address).version
        family, others = _FAMILIES[version], _of_family(fault.peers, version)
        if fault.peers and not others:
            continue
        own = f"{family} {_OWN[direction]} {address}"
        for ports in _ports(fault.ports):
            yield " ".join((own, *([f"{family} {_PEER[direction]} {_set(others)}"] if others else []), *ports))


def _of_family(peers: Sequence[str], version: int) -> list[str]:
    """The peers of one family, without overlaps, which nft refuses in a set."""
    networks = [ip_network(peer) for peer in peers]
    if version == 4:
        return [str(each) for each in collapse_addresses(each for each in networks if isinstance(each, IPv4Network))]
    return [str(each) for each in collapse_addresses(each for each in networks if isinstance(each, IPv6Network))]


def _ports(ports: Sequence[Port]) -> Iterator[tuple[str, ...]]:
    if not ports:
        yield ()
    for protocol in sorted({each.protocol for each in ports}):
        numbers = sorted({each.port for each in ports if each.protocol == protocol})
        yield (f"{protocol.lower()} dport {_set(numbers)}",)


def _set(members: Sequence[object]) -> str:
    return f"{{ {', '.join(str(each) for each in members)} }}"


def _chain(name: str, hook: str, rules: Sequence[str]) -> str:
    lines = "".join(f"    {rule}\n" for rule in rules)
    return f"  chain {name} {{\n    type filter hook {hook} priority {_PRIORITY}; policy accept;\n{lines}  }}"

"""A fault as text for nft: a table of its own, so that faults come and go without touching each other's counters.

Tables that drop are in the node's network namespace, which every packet between two pods passes: after a Service's
address has become a pod's, and outside of what a pod's sidecar redirects. What the node itself does (probes, the API
server's way to a pod, what the host's ports relay) is not looked at; of what a pod asks the node (cluster DNS, the API
server), what the pod sends is.

Tables that delay are where a pod's packets enter the node: before the address of a Service becomes a pod's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network

from mesh_lab.networkfaults import BOTH, EGRESS, FINEST_RATIO, INGRESS, Delay, Fault, Loss, Partition, Port

_COUNTER = re.compile(r"counter packets (\d+)")
_PRIORITY = -20  # before the chains of Services and policies: what does not arrive, they do not see
_FAMILIES = {4: "ip", 6: "ip6"}
_PARTS = round(1 / FINEST_RATIO)
_OWN, _PEER = {EGRESS: "saddr", INGRESS: "daddr"}, {EGRESS: "daddr", INGRESS: "saddr"}


def table_of(name: str, fault: Fault) -> str:
    """The table of a fault, whose name is unique."""
    return f"{'netdev' if isinstance(fault, Delay) else 'inet'} {name}"


def name_of(uid: str, key: str) -> str:
    """A name for the fault of a pod that has this key: 12 characters, as a device's may have 15."""
    return f"fault{hashlib.blake2b(f'{uid}/{key}'.encode(), digest_size=4).hexdigest()[:7]}"


def dropping(table: str, fault: Partition | Loss, addresses: Sequence[str]) -> str:
    """The script that drops a fault's packets, of a pod with these addresses; it replaces what the table held."""
    verdict = f"{_drawn(fault)}counter drop"
    between = [
        f"{match} {verdict}"
        for direction in (EGRESS, INGRESS)
        if fault.direction in (direction, BOTH)
        for match in _matches(fault, addresses, direction)
    ]
    # A pod's answer to the node is of a connection that the node has begun.
    asking = [f"ct direction original {match} {verdict}" for match in _matches(fault, addresses, EGRESS)]
    return f"""\
{removal(table)}table {table} {{
{_chain("between_pods", f"forward priority {_PRIORITY}", between)}
{_chain("to_the_node", f"input priority {_PRIORITY}", asking if fault.direction != INGRESS else [])}
}}
"""


def delaying(table: str, fault: Delay, addresses: Sequence[str], device: str, line: str, node: Sequence[str]) -> str:
    """The script that sends what a pod sends into a line; it replaces what the table held.

    The pod has these addresses and this device. What it sends to the node's own addresses is its answers to the node.
    """
    spared = [
        f"{_FAMILIES[ip_address(each).version]} saddr {own} {_FAMILIES[ip_address(each).version]} daddr {each} return"
        for own in addresses
        for each in node
        if ip_address(own).version == ip_address(each).version
    ]
    rules = [f'{match} counter fwd to "{line}"' for match in _matches(fault, addresses, EGRESS)]
    hook = f'ingress device "{device}" priority 0'
    return f"{removal(table)}table {table} {{\n{_chain('from_the_pod', hook, [*spared, *rules])}\n}}\n"


def removal(table: str) -> str:
    """The script after which the table is not there, whether it was or not."""
    return f"table {table}\ndelete table {table}\n"


def listing(table: str) -> str:
    """The script whose output `packets` reads: nothing was about a table that is not there."""
    return f"add table {table}\nlist table {table}\n"


def packets(listed: str) -> int:
    """How many packets a table has dropped, or sent into its line."""
    return sum(int(number) for number in _COUNTER.findall(listed))


def _drawn(fault: Partition | Loss) -> str:
    """The condition that draws for each packet; empty where all are meant, which nft takes for no draw."""
    parts = round(fault.ratio * _PARTS) if isinstance(fault, Loss) else _PARTS
    return f"numgen random mod {_PARTS} < {parts} " if parts < _PARTS else ""


def _matches(fault: Fault, addresses: Sequence[str], direction: str) -> Iterator[str]:
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
    return f"  chain {name} {{\n    type filter hook {hook}; policy accept;\n{lines}  }}"

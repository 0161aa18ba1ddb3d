"""A ruleset as text for nft, and the text that leads from one ruleset to another.

The table is in the node's network namespace, where every packet between two pods passes after a Service's address has
become a pod's and before the receiver's sidecar redirects it. Leaving the sender and arriving at the receiver are
chains of their own, one after the other, so that "accept" in the first leads on to the second. What comes from the node
itself (probes, the API server, pods in its network) is not looked at, but for what the relay passes on from the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from mesh_lab.kube.network.policies.model import EGRESS, INGRESS, Allow, Ruleset, Span
from mesh_lab.kube.network.relay import MARK

NAME = "mesh_lab_policies"
_KNOWN = "ct state established,related accept"
_PORTS_TYPE = "inet_proto . inet_service"


@dataclass(frozen=True)
class Family:
    """What nft calls an address family and its parts; `extra` is what the node needs of pods whatever they may."""

    version: int
    keyword: str
    address: str
    extra: str = ""

    @property
    def table(self) -> str:
        """The table's name."""
        return f"{self.keyword} {NAME}"


FAMILIES = (
    Family(4, "ip", "ipv4_addr"),
    # Without neighbour discovery, which ARP is in IPv4, nobody would be reached at all.
    Family(6, "ip6", "ipv6_addr", "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept"),
)


@dataclass(frozen=True)
class Table:
    """The parts of a table that change: chains with their rules, sets and maps with their types and elements."""

    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, tuple[str, frozenset[str]]] = field(default_factory=dict)


NOTHING = Table()


def render(ruleset: Ruleset, family: Family) -> Table:
    """The table of a ruleset; `NOTHING` when no pod is isolated."""
    if not ruleset.guards:
        return NOTHING
    chains = {
        name: tuple(_line(line, direction, family) for line in lines)
        for name, (direction, lines) in ruleset.chains.items()
    }
    for name, held in ruleset.guards.items():
        chains[name] = (*(f"jump {each}" for each in held), "drop")
    sets = {name: (f"type {family.address};", members) for name, members in ruleset.addresses.items()}
    for name, ports in ruleset.ports.items():
        elements = frozenset(f"{address} . {protocol} . {number}" for address, protocol, number in ports)
        sets[name] = f"type {family.address} . {_PORTS_TYPE};", elements
    for name, direction in (("egress", EGRESS), ("ingress", INGRESS)):
        doors = ruleset.isolated[direction]
        sets[name] = (
            f"type {family.address} : verdict;",
            frozenset(f"{address} : goto {guard}" for address, guard in doors.items()),
        )
    everyone = {address for doors in ruleset.isolated.values() for address in doors}
    sets["selves"] = f"type {family.address} . {family.address};", frozenset(f"{a} . {a}" for a in everyone)
    return Table(chains, sets)


def change(before: Table | None, after: Table, family: Family) -> str:
    """The text that leads from one table to another in one transaction; empty when they are the same.

    `None` stands for a table of which nothing is known.
    """
    if before == after:
        return ""
    gone = f"table {family.table}\ndelete table {family.table}\n"
    if not after.chains:
        return gone
    if before is None or not before.chains:
        return gone + _difference(NOTHING, after, family, _frame(family))
    return _difference(before, after, family)


def _difference(before: Table, after: Table, family: Family, frame: str = "") -> str:
    table = family.table
    added = [name for name in after.chains if name not in before.chains]
    removed = [name for name in before.chains if name not in after.chains]
    changed = [name for name, rules in after.chains.items() if before.chains.get(name, rules) != rules]
    lines = [f"add table {table}"]
    lines += [
        f"add {_kind(declared)} {table} {name} {{ {declared} }}"
        for name, (declared, _) in after.sets.items()
        if name not in before.sets
    ]
    lines += [f"add chain {table} {name}" for name in added]
    lines += [f"flush chain {table} {name}" for name in changed]
    lines += [f"add rule {table} {name} {rule}" for name in (*added, *changed) for rule in after.chains[name]]
    for name, (declared, members) in after.sets.items():
        former = before.sets.get(name, (declared, frozenset()))[1]
        lines += _elements("delete", table, name, former - members)
        lines += _elements("add", table, name, members - former)
    lines += frame.splitlines()
    lines += [f"flush chain {table} {name}" for name in removed]
    lines += [f"delete chain {table} {name}" for name in removed]
    lines += [
        f"delete {_kind(declared)} {table} {name}"
        for name, (declared, _) in before.sets.items()
        if name not in after.sets
    ]
    return "".join(f"{line}\n" for line in lines)


def _frame(family: Family) -> str:
    """The chains that the kernel calls. They come after those of Services (priority 0), which may refuse at once."""
    known = f"{_KNOWN}\n    {family.keyword} saddr . {family.keyword} daddr @selves accept"
    leaving, arriving = f"{family.keyword} saddr vmap @egress", f"{family.keyword} daddr vmap @ingress"
    extra = f"{family.extra}\n    " if family.extra else ""
    return f"""\
table {family.table} {{
  chain leaving {{
    type filter hook forward priority 10;
    {known}
    {leaving}
  }}
  chain arriving {{
    type filter hook forward priority 11;
    {known}
    {arriving}
  }}
  chain leaving_to_node {{
    type filter hook input priority 10;
    {extra}{known}
    {leaving}
  }}
  chain arriving_at_dns {{
    type filter hook input priority 11;
    iifname "lo" accept
    {extra}{known}
    {arriving}
  }}
  chain arriving_from_host {{
    type filter hook output priority 10;
    meta mark != {MARK:#x} accept
    {known}
    {arriving}
  }}
}}"""


def _line(line: Allow, direction: str, family: Family) -> str:
    peer = f"{family.keyword} {'saddr' if direction == INGRESS else 'daddr'}"
    parts = []
    if line.peers:
        parts.append(f"{peer} @{line.peers}")
    if line.spans:
        parts.append(f"{peer} {{ {', '.join(_addresses(span, family) for span in line.spans)} }}")
    if line.ports:
        parts.append(f"{line.protocol} dport {{ {', '.join(_numbers(span) for span in line.ports)} }}")
    elif line.protocol:
        parts.append(f"meta l4proto {line.protocol}")
    if line.named:
        parts.append(f"{family.keyword} daddr . meta l4proto . th dport @{line.named}")
    return " ".join((*parts, "accept"))


def _addresses(span: Span, family: Family) -> str:
    make = IPv4Address if family.version == 4 else IPv6Address
    first, last = span
    return str(make(first)) if first == last else f"{make(first)}-{make(last)}"


def _numbers(span: Span) -> str:
    first, last = span
    return str(first) if first == last else f"{first}-{last}"


def _kind(declared: str) -> str:
    return "map" if "verdict" in declared else "set"


def _elements(verb: str, table: str, name: str, members: Iterable[str]) -> list[str]:
    return [f"{verb} element {table} {name} {{ {', '.join(sorted(members))} }}"] if members else []

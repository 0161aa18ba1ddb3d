"""The redirection of a pod's traffic through its sidecar: one nftables table, loaded by the init container at once.

Inbound TCP goes to 15006 and outbound TCP to 15001, but for what Envoy itself sends (it runs as its own user), what is
for loopback, and what annotations leave out. What passes between Envoy and its application is not even followed by
connection tracking, which each packet would pay for, and so is never redirected. In a mesh of both IP families there is
a second table, which says the same of IPv6.
https://istio.io/latest/docs/ops/deployment/application-requirements/
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mesh_lab.controlplane.injection.bootstrap import PROXY_UID, READY_PORT, STATS_PORT
from mesh_lab.controlplane.injection.probes import PORT as PROBE_PORT
from mesh_lab.controlplane.world.annotations import (
    EXCLUDE_INBOUND_PORTS,
    EXCLUDE_INTERFACES,
    EXCLUDE_OUTBOUND_PORTS,
    EXCLUDE_OUTBOUND_RANGES,
    INCLUDE_INBOUND_PORTS,
    INCLUDE_OUTBOUND_PORTS,
    INCLUDE_OUTBOUND_RANGES,
    KUBEVIRT_INTERFACES,
    REROUTED_INTERFACES,
)
from mesh_lab.controlplane.xds.names import (
    DNS_PORT,
    INBOUND_PORT,
    INBOUND_SOURCE,
    INBOUND_SOURCE_OF_IPV6,
    OUTBOUND_PORT,
)

TABLE = "mesh_lab_redirection"
# 15008 is HBONE's: Istio does not redirect it in any pod.
_PRIORITIES = {"raw": -300, "dstnat": -100}  # by number: old versions of nft know no names in this family's output
_ANSWERED_PORTS = (PROBE_PORT, READY_PORT, STATS_PORT)
# As Linux takes names, without those that nft would read as something else.
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
_OWN_PORTS = (15008, *_ANSWERED_PORTS)


@dataclass(frozen=True)
class Interception:
    """What annotations make of it. `include_inbound` of None is all ports, an empty one is none.

    What goes to a port of `include_outbound` is redirected whatever its address. `virtual_interfaces` are those of
    virtual machines within the pod: what comes from them goes out. `dns`: Envoy answers what is asked over UDP. `dual`:
    the pod has an address of IPv6 as well.
    """

    include_inbound: tuple[int, ...] | None = None
    exclude_inbound: tuple[int, ...] = ()
    exclude_outbound: tuple[int, ...] = ()
    include_ranges: tuple[str, ...] | None = None
    exclude_ranges: tuple[str, ...] = ()
    include_outbound: tuple[int, ...] = ()
    exclude_interfaces: tuple[str, ...] = ()
    virtual_interfaces: tuple[str, ...] = ()
    dns: bool = False
    dual: bool = False


class _Family(NamedTuple):
    """An IP family: what nftables calls it, its loopback address, and by which Envoy is known to the application."""

    word: str
    version: int
    loopback: str
    source: str

    def own(self, ranges: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(each for each in ranges if (6 if ":" in each else 4) == self.version)


_IPV4 = _Family("ip", 4, "127.0.0.1", INBOUND_SOURCE)
_IPV6 = _Family("ip6", 6, "::1", INBOUND_SOURCE_OF_IPV6)


def from_annotations(
    annotations: Mapping[str, str], *, dns: bool = False, dual: bool = False, beside: tuple[int, ...] = ()
) -> Interception:
    """The redirection that a pod's annotations configure. `beside` are further ports of the proxy's own.

    Raises:
        ValueError: an annotation, which it names, has a bad value.
    """
    included, ranges = annotations.get(INCLUDE_INBOUND_PORTS), annotations.get(INCLUDE_OUTBOUND_RANGES)
    return Interception(
        None if included in (None, "*") else _ports(annotations, INCLUDE_INBOUND_PORTS),
        (*_ports(annotations, EXCLUDE_INBOUND_PORTS), *beside),
        _ports(annotations, EXCLUDE_OUTBOUND_PORTS),
        None if ranges in (None, "*") else _ranges(annotations, INCLUDE_OUTBOUND_RANGES),
        _ranges(annotations, EXCLUDE_OUTBOUND_RANGES),
        () if annotations.get(INCLUDE_OUTBOUND_PORTS) == "*" else _ports(annotations, INCLUDE_OUTBOUND_PORTS),
        _interfaces(annotations, EXCLUDE_INTERFACES),
        _interfaces(annotations, REROUTED_INTERFACES if REROUTED_INTERFACES in annotations else KUBEVIRT_INTERFACES),
        dns,
        dual,
    )


def _ports(annotations: Mapping[str, str], name: str) -> tuple[int, ...]:
    text = annotations.get(name, "")
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() and 0 < int(part) < 65536 for part in parts):
        raise ValueError(f"annotation {name}: {text!r} is not a list of ports")
    return tuple(sorted({int(part) for part in parts}))


def _ranges(annotations: Mapping[str, str], name: str) -> tuple[str, ...]:
    text = annotations.get(name, "")
    try:
        return tuple(str(ipaddress.ip_network(part.strip(), strict=False)) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"annotation {name}: {text!r}: {error}") from None


def _interfaces(annotations: Mapping[str, str], name: str) -> tuple[str, ...]:
    parts = [part.strip() for part in annotations.get(name, "").split(",") if part.strip()]
    for part in parts:
        if not _INTERFACE.fullmatch(part):
            raise ValueError(f"annotation {name}: {part!r} is not the name of a network interface")
    return tuple(parts)


def command(interception: Interception) -> list[str]:
    """The command of the init container.

    The address by which the application knows Envoy is of the loopback network; of IPv6, which has no such network, the
    pod gets it first.
    """
    if not interception.dual:
        return ["nft"]
    return ["sh", "-ec", f'ip -6 address replace {INBOUND_SOURCE_OF_IPV6}/128 dev lo nodad; exec nft "$0"']


def ruleset(interception: Interception) -> str:
    """The table in nft's language, or one for each IP family. Loading it twice leaves one."""
    return "\n".join(_table(interception, family) for family in ((_IPV4, _IPV6) if interception.dual else (_IPV4,)))


def _table(interception: Interception, family: _Family) -> str:
    left_out = _named(interception.exclude_interfaces)
    inbound = [f"iifname {left_out} return"] if left_out else []
    if interception.virtual_interfaces:
        inbound += [
            f"iifname {_named(interception.virtual_interfaces)} {rule}" for rule in _to_outbound(interception, family)
        ]
        inbound.append(f"iifname {_named(interception.virtual_interfaces)} return")
    inbound.append(f"tcp dport {_set((*_OWN_PORTS, *interception.exclude_inbound))} return")
    if interception.include_inbound is None:
        inbound.append(f"meta l4proto tcp redirect to :{INBOUND_PORT}")
    elif interception.include_inbound:
        inbound.append(f"tcp dport {_set(interception.include_inbound)} redirect to :{INBOUND_PORT}")
    proxy = f"meta skuid {PROXY_UID}"
    # The cluster's DNS, and so the only server that a pod asks, is at an address of IPv4.
    asked = interception.dns and family is _IPV4
    # Between Envoy and its application nothing is translated: following these connections would cost each packet. The
    # address is only on loopback, and these rules are evaluated for every packet: so they match on nothing else.
    between = [f"{family.word} {end} {family.source} notrack" for end in ("saddr", "daddr")]
    outbound = [
        *([f"oifname {left_out} return"] if left_out else []),
        *([f"meta skuid != {PROXY_UID} udp dport 53 redirect to :{DNS_PORT}"] if asked else []),
        # A pod that calls its own service: Envoy hands the connection to its own inbound side.
        f'oifname "lo" {family.word} daddr != {family.loopback} {proxy} meta l4proto tcp redirect to :{INBOUND_PORT}',
        f'oifname "lo" meta skuid != {PROXY_UID} return',
        f"{proxy} return",
        f"{family.word} daddr {family.loopback} return",
        # If these were redirected, Envoy's own listeners on these ports would take what is for those of another pod.
        f"tcp dport {_set(_ANSWERED_PORTS)} return",
    ]
    if interception.exclude_outbound:
        outbound.append(f"tcp dport {_set(interception.exclude_outbound)} return")
    outbound += _to_outbound(interception, family)
    return "\n".join(
        (
            f"table {family.word} {TABLE} {{}}",
            f"delete table {family.word} {TABLE}",
            f"table {family.word} {TABLE} {{",
            *_chain("inbound", "nat", "prerouting", "dstnat", inbound),
            *_chain("outbound", "nat", "output", "dstnat", outbound),
            *_chain("untracked", "filter", "output", "raw", between),
            "}",
        )
    )


def _to_outbound(interception: Interception, family: _Family) -> list[str]:
    """What of a family's addresses is redirected, whichever interface it leaves by."""
    rules = []
    to = f"{family.word} daddr"
    if interception.include_outbound:
        rules.append(f"tcp dport {_set(interception.include_outbound)} redirect to :{OUTBOUND_PORT}")
    if excluded := family.own(interception.exclude_ranges):
        rules.append(f"{to} {_set(excluded)} return")
    if interception.include_ranges is None:
        rules.append(f"meta l4proto tcp redirect to :{OUTBOUND_PORT}")
    elif included := family.own(interception.include_ranges):
        rules.append(f"{to} {_set(included)} meta l4proto tcp redirect to :{OUTBOUND_PORT}")
    return rules


def _chain(name: str, kind: str, hook: str, priority: str, rules: list[str]) -> list[str]:
    head = f"    type {kind} hook {hook} priority {_PRIORITIES[priority]};"
    return [f"  chain {name} {{", head, *(f"    {rule}" for rule in rules), "  }"]


def _named(interfaces: tuple[str, ...]) -> str:
    return _set(tuple(f'"{name}"' for name in interfaces)) if interfaces else ""


def _set(members: tuple[object, ...]) -> str:
    return "{ " + ", ".join(map(str, dict.fromkeys(members))) + " }"

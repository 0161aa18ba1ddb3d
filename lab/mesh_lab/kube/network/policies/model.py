"""What policies are compiled from, and what they are compiled to. Nothing here knows nft's language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mesh_lab.kube.objects.policies import EgressRule, IngressRule

INGRESS, EGRESS = "Ingress", "Egress"
DIRECTIONS = (EGRESS, INGRESS)

Labels = Mapping[str, str]
Span = tuple[int, int]
"""The first and the last of consecutive ports, or of consecutive addresses as numbers."""


class NamedPort(NamedTuple):
    """A port that a container declares; `protocol` is `tcp`, `udp` or `sctp`."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True)
class Member:
    """A pod that has addresses of its own, in the network."""

    namespace: str
    labels: Labels
    addresses: tuple[str, ...]
    ports: tuple[NamedPort, ...] = ()


@dataclass(frozen=True)
class World:
    """All pods on the network, and the labels of all namespaces."""

    members: tuple[Member, ...] = ()
    namespaces: Mapping[str, Labels] = field(default_factory=dict)


Rule = IngressRule | EgressRule


class Allow(NamedTuple):
    """One line of a policy: what must hold together for a connection to be let pass. What is empty asks for nothing.

    `peers` and `named` are names of sets of the ruleset: of the peer's addresses, and of the destination's address,
    protocol and port.
    """

    peers: str = ""
    spans: tuple[Span, ...] = ()
    protocol: str = ""
    ports: tuple[Span, ...] = ()
    named: str = ""


@dataclass(frozen=True)
class Ruleset:
    """The policies of one address family, compiled.

    A pod's connections in one direction pass when any line of any chain of its guard holds. Pods under the same
    policies share a guard.
    """

    addresses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Sets of peers."""
    ports: Mapping[str, frozenset[tuple[str, str, int]]] = field(default_factory=dict)
    """Sets of ports that have a name: address, protocol and number."""
    chains: Mapping[str, tuple[str, tuple[Allow, ...]]] = field(default_factory=dict)
    """Each policy in one direction: the direction, and its lines."""
    guards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Chains that hold for the same pods."""
    isolated: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By direction: the guard of each address. An address that is not there may do everything."""

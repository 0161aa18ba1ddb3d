"""Policies, pods and namespaces compiled to a ruleset: a pure function.

What a policy means: https://kubernetes.io/docs/concepts/services-networking/network-policies/. A direction in which no
policy selects a pod is open; in one in which any does, only what a rule of any of them allows passes.

Named ports are those that containers of the destination declare under the name: the pods that are selected, for
ingress, and the peers, for egress. An address that is no pod's has none.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from mesh_lab.kube.network.policies import spans
from mesh_lab.kube.network.policies.model import DIRECTIONS, INGRESS, Allow, Rule, Ruleset, Span, World
from mesh_lab.kube.network.policies.selecting import Index
from mesh_lab.kube.objects.policies import NetworkPolicy, PolicyPeer, PolicyPort

_NAME_LIMIT = 40  # of a policy's name in that of its chain, which nft cuts at 127


def compile_policies(policies: Iterable[NetworkPolicy], world: World, version: int = 4) -> Ruleset:
    """The ruleset for one address family (4 or 6). It does not depend on the order of policies and pods."""
    builder = _Builder(Index(world, version), version)
    for policy in sorted(policies, key=lambda each: (each.metadata.namespace, each.metadata.name)):
        builder.add(policy)
    return builder.done()


def rules_of(policy: NetworkPolicy, direction: str) -> Sequence[Rule] | None:
    """A policy's rules in one direction; None where it does not isolate in that direction."""
    if direction not in policy.spec.policy_types:
        return None
    return policy.spec.ingress if direction == INGRESS else policy.spec.egress


class _Builder:
    def __init__(self, index: Index, version: int) -> None:
        self._index = index
        self._version = version
        self._addresses: dict[str, frozenset[str]] = {}
        self._ports: dict[str, frozenset[tuple[str, str, int]]] = {}
        self._chains: dict[str, tuple[str, tuple[Allow, ...]]] = {}
        self._held: dict[str, defaultdict[str, list[str]]] = {each: defaultdict(list) for each in DIRECTIONS}

    def add(self, policy: NetworkPolicy) -> None:
        where = policy.metadata
        targets = self._index.selected(where.namespace, policy.spec.pod_selector)
        for direction in DIRECTIONS:
            rules = rules_of(policy, direction)
            if rules is None or not targets:
                continue
            lines = tuple(dict.fromkeys(line for rule in rules for line in self._lines(where.namespace, rule)))
            name = f"{_short(direction)}/{where.namespace}/{where.name[:_NAME_LIMIT]}/{_digest((where.name, lines))}"
            self._chains[name] = direction, lines
            for address in targets:
                self._held[direction][address].append(name)

    def done(self) -> Ruleset:
        guards: dict[str, tuple[str, ...]] = {}
        isolated: dict[str, dict[str, str]] = {}
        for direction, held in self._held.items():
            isolated[direction] = {}
            alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
            for address, names in held.items():
                alike[tuple(names)].append(address)
            for chains, addresses in sorted(alike.items()):
                guard = f"guard/{_short(direction)}/{_digest(chains)}"
                guards[guard] = chains
                isolated[direction] |= dict.fromkeys(addresses, guard)
        return Ruleset(self._addresses, self._ports, self._chains, guards, isolated)

    def _lines(self, namespace: str, rule: Rule) -> Iterator[Allow]:
        """Each pairing of who with where to."""
        for peers, blocks in self._who(namespace, rule.peers):
            for protocol, ports, named in self._where(rule.ports):
                yield Allow(peers, blocks, protocol, ports, named)

    def _who(self, namespace: str, peers: Sequence[PolicyPeer]) -> Iterator[tuple[str, tuple[Span, ...]]]:
        blocks = spans.of_blocks((peer.ip_block for peer in peers if peer.ip_block is not None), self._version)
        if not peers or blocks == (spans.everything(self._version),):
            yield "", ()
            return
        if blocks:
            yield "", blocks
        if selectors := tuple(peer for peer in peers if peer.ip_block is None):
            yield self._set_of(namespace, selectors), ()

    def _set_of(self, namespace: str, peers: tuple[PolicyPeer, ...]) -> str:
        own = namespace if any(peer.namespace_selector is None for peer in peers) else ""
        name = f"peers/{_digest((own, peers))}"
        if name not in self._addresses:
            parts = (part for peer in peers for part in self._index.peers(namespace, peer))
            self._addresses[name] = frozenset().union(*parts)
        return name

    def _where(self, ports: Sequence[PolicyPort]) -> Iterator[tuple[str, tuple[Span, ...], str]]:
        if not ports:
            yield "", (), ""
        numbers: defaultdict[str, list[Span]] = defaultdict(list)
        for each in ports:
            protocol = each.protocol.lower()
            if each.port is None:
                yield protocol, (), ""
            elif isinstance(each.port, int):
                numbers[protocol].append((each.port, each.end_port or each.port))
            else:
                name = f"port/{protocol}/{each.port}"
                self._ports[name] = self._index.named(each.port, protocol)
                yield "", (), name
        for protocol, found in numbers.items():
            yield protocol, spans.joined(found), ""


def _short(direction: str) -> str:
    return "in" if direction == INGRESS else "out"


def _digest(value: Any) -> str:
    return hashlib.blake2b(msgspec.json.encode(value), digest_size=6).hexdigest()

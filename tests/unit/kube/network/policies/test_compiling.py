"""Policies mean what the specification says: examples, and a slow reading of it beside random ones."""

from __future__ import annotations

import random
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.kube.network.policies.compiling import compile_policies
from mesh_lab.kube.network.policies.model import EGRESS, INGRESS, Member, NamedPort, Ruleset, World
from mesh_lab.kube.objects.policies import NetworkPolicy
from tests.unit.kube.network.policies.reference import Packet, passes, passes_ruleset
from tests.unit.kube.network.policies.worlds import (
    NAMESPACES,
    OUTSIDE,
    PORTS,
    labels,
    pod,
    policy,
    random_policies,
    random_world,
    world,
)

WEB, DB, OTHER = pod(2, "a", app="web"), pod(3, "a", NamedPort("pg", "tcp", 5432), app="db"), pod(4, "b", app="web")
SMALL = world(WEB, DB, OTHER)


def opens(
    source: Member | str, destination: Member | str, *policies: NetworkPolicy, port: int = 80, protocol: str = "tcp"
) -> bool:
    """Whether a connection passes in the small world."""
    ends = [each if isinstance(each, str) else each.addresses[0] for each in (source, destination)]
    return passes_ruleset(compile_policies(policies, SMALL), Packet(ends[0], ends[1], protocol, port))


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_rules_do_what_a_slow_reading_of_the_specification_does(dice: random.Random) -> None:
    present, policies = random_world(dice), random_policies(dice)
    ruleset = compile_policies(policies, present)
    addresses = [member.addresses[0] for member in present.members] + [OUTSIDE]
    for source, destination, protocol, port in product(addresses, addresses, ("tcp", "icmp"), PORTS):
        packet = Packet(source, destination, protocol, port)
        assert passes_ruleset(ruleset, packet) == passes(policies, present, packet), (packet, policies)


@settings(max_examples=50, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_policies_and_pods_means_nothing(dice: random.Random) -> None:
    present, policies = random_world(dice), random_policies(dice)
    turned = World(present.members[::-1], dict(reversed(present.namespaces.items())))
    assert compile_policies(policies, present) == compile_policies(policies[::-1], turned)


def test_without_policies_there_is_nothing() -> None:
    assert not compile_policies((), SMALL).guards
    assert not compile_policies([policy(select=labels(app="none"))], SMALL).guards, "nor for one that selects no pod"


def test_a_policy_without_rules_isolates_what_it_selects_and_nobody_else() -> None:
    deny = policy(select=labels(app="db"))
    assert not opens(WEB, DB, deny)
    assert not opens(OUTSIDE, DB, deny)
    assert opens(WEB, OTHER, deny)
    assert opens(DB, WEB, deny), "it says nothing of the other direction"
    assert opens(DB, DB, deny), "a pod reaches itself"


def test_an_empty_rule_allows_everything() -> None:
    assert opens(OUTSIDE, DB, policy(ingress=[{}]))
    assert not opens(DB, WEB, policy(types=("Egress",)))
    assert opens(DB, OUTSIDE, policy(types=("Egress",), egress=[{}]))


def test_policies_add_up() -> None:
    deny, allow = policy("deny"), policy("allow", ingress=[{"from": [{"podSelector": labels(app="web")}]}])
    assert opens(WEB, DB, deny, allow)
    assert not opens(OTHER, DB, deny, allow), "a selector of pods is about the policy's own namespace"


def test_selectors_of_pods_and_namespaces_hold_together_in_one_peer_and_apart_in_two() -> None:
    pods, namespaces = {"podSelector": labels(app="db")}, {"namespaceSelector": labels(team="blue")}
    assert not opens(OTHER, DB, policy(ingress=[{"from": [pods | namespaces]}]))
    assert opens(OTHER, DB, policy(ingress=[{"from": [pods, namespaces]}]))
    assert opens(OTHER, DB, policy(ingress=[{"from": [{"namespaceSelector": {}}]}]))
    assert not opens(OUTSIDE, DB, policy(ingress=[{"from": [{"namespaceSelector": {}}]}])), "an address is no pod"


def test_a_block_is_addresses_without_exceptions() -> None:
    block = {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.0/29"]}}
    allowed = policy(ingress=[{"from": [block]}])
    assert not opens(OUTSIDE, DB, allowed)
    assert opens("192.0.2.8", DB, allowed)
    assert not opens(WEB, DB, allowed)


def test_a_block_of_the_other_family_lets_nothing_in() -> None:
    assert not opens(WEB, DB, policy(ingress=[{"from": [{"ipBlock": {"cidr": "::/0"}}]}]))


def test_ports_are_numbers_ranges_and_names() -> None:
    def at(**port: object) -> NetworkPolicy:
        return policy(ingress=[{"ports": [{"protocol": "TCP", **port}]}])

    assert opens(WEB, DB, at(port=80))
    assert not opens(WEB, DB, at(port=80), protocol="udp")
    assert not opens(WEB, DB, at(port=81))
    assert opens(WEB, DB, at(port=70, endPort=80))
    assert not opens(WEB, DB, at(port=81, endPort=90))
    assert opens(WEB, DB, at())
    assert opens(WEB, DB, at(port="pg"), port=5432)
    assert not opens(WEB, DB, at(port="pg"), port=80)
    assert not opens(DB, WEB, at(port="pg"), port=5432), "the receiver has no port of that name"


def test_a_named_port_of_egress_is_the_peers() -> None:
    allowed = policy(
        select=labels(app="web"), types=("Egress",), egress=[{"ports": [{"protocol": "TCP", "port": "pg"}]}]
    )
    assert opens(WEB, DB, allowed, port=5432)
    assert not opens(WEB, OTHER, allowed, port=5432)
    assert not opens(WEB, OUTSIDE, allowed, port=5432)


def test_pods_under_the_same_policies_share_a_guard() -> None:
    ruleset = compile_policies([policy("one"), policy("two", ingress=[{}])], SMALL)
    assert sorted(ruleset.isolated[INGRESS]) == ["10.244.0.2", "10.244.0.3"]
    assert len(ruleset.guards) == 1
    assert ruleset.isolated[EGRESS] == {}


def test_the_families_are_apart() -> None:
    both = Member("a", {"app": "web"}, ("10.244.0.9", "fd00::9"))
    block = {"ipBlock": {"cidr": "fd00::/16", "except": ["fd00::8/125"]}}
    present = World((both, Member("a", {}, ("fd00::2",))), NAMESPACES)
    ruleset = compile_policies([policy(ingress=[{"from": [block]}])], present, 6)
    assert set(ruleset.isolated[INGRESS]) == {"fd00::9", "fd00::2"}
    assert passes_ruleset(ruleset, Packet("fd00::2", "fd00::9", "tcp", 80))
    assert not passes_ruleset(ruleset, Packet("fd00::f", "fd00::9", "tcp", 80))
    assert isinstance(compile_policies((), present, 6), Ruleset)

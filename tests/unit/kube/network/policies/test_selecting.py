"""The index finds whom a selector matches, one by one."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.kube.network.policies.model import NamedPort
from mesh_lab.kube.network.policies.selecting import Index
from mesh_lab.kube.objects.meta import LabelSelector, LabelSelectorRequirement
from mesh_lab.kube.objects.policies import PolicyPeer
from tests.unit.kube.network.policies.worlds import NAMESPACES, pod, random_selector, random_world, world


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_it_finds_whom_a_selector_matches(dice: random.Random) -> None:
    present, selector = random_world(dice), random_selector(dice)
    index = Index(present, 4)
    for namespace in NAMESPACES:
        found = {
            member.addresses[0]
            for member in present.members
            if member.namespace == namespace and selector.matches(dict(member.labels))
        }
        assert index.selected(namespace, selector) == found


def test_an_unknown_operator_matches_nobody() -> None:
    term = LabelSelectorRequirement(key="app", operator="Near", values=("web",))
    assert Index(world(pod(2, app="web")), 4).selected("a", LabelSelector(match_expressions=(term,))) == frozenset()


def test_a_selector_of_namespaces_looks_into_each_that_it_matches() -> None:
    index = Index(world(pod(2, "a"), pod(3, "b"), pod(4, "c")), 4)
    peer = PolicyPeer(namespace_selector=LabelSelector(match_labels={"team": "red"}))
    assert frozenset().union(*index.peers("b", peer)) == {"10.244.0.2", "10.244.0.4"}


def test_ports_of_a_name_are_those_of_the_protocol() -> None:
    index = Index(world(pod(2, "a", NamedPort("dns", "udp", 53)), pod(3, "b", NamedPort("dns", "tcp", 5353))), 4)
    assert index.named("dns", "udp") == {("10.244.0.2", "udp", 53)}
    assert index.named("http", "tcp") == frozenset()

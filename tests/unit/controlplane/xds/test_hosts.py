"""Hosts: short names, wildcards, which covers which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.controlplane.xds.hosts import (
    HostIndex,
    covers,
    gateway_name,
    intersection,
    resolve,
    service_domains,
)

LABELS = st.text("abc", min_size=1, max_size=3)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.one_of(st.just("*"), NAMES, NAMES.map(lambda name: f"*.{name}"))


@given(LABELS, LABELS)
def test_a_name_without_a_dot_is_a_service_of_its_namespace(name: str, namespace: str) -> None:
    assert resolve(name, namespace, "cluster.local") == f"{name}.{namespace}.svc.cluster.local"


@given(PATTERNS)
def test_resolving_twice_changes_nothing(host: str) -> None:
    once = resolve(host, "default", "cluster.local")
    assert resolve(once, "other", "cluster.local") == once


def test_a_name_with_a_dot_is_taken_as_it_stands() -> None:
    assert resolve("reviews.default", "other", "cluster.local") == "reviews.default"


@given(PATTERNS)
def test_everything_covers_itself_and_the_star_covers_everything(pattern: str) -> None:
    assert covers(pattern, pattern)
    assert covers("*", pattern)


@given(NAMES, NAMES)
def test_a_wildcard_covers_just_what_ends_like_it(suffix: str, host: str) -> None:
    assert covers(f"*.{suffix}", host) == host.endswith(f".{suffix}")


@given(PATTERNS, PATTERNS, NAMES)
def test_what_two_patterns_have_in_common_is_what_both_cover(one: str, other: str, host: str) -> None:
    common = intersection(one, other)
    assert common == intersection(other, one) or {common, intersection(other, one)} <= {one, other}
    both = covers(one, host) and covers(other, host)
    assert both == (common is not None and covers(common, host))


@given(st.dictionaries(PATTERNS, st.integers(), max_size=6), NAMES)
def test_the_index_finds_the_pattern_that_says_most(patterns: dict[str, int], host: str) -> None:
    covering = [pattern for pattern in patterns if covers(pattern, host)]
    best = max(covering, key=lambda p: (not p.startswith("*"), len(p)), default=None)
    assert HostIndex(patterns).find(host) == (patterns[best] if best is not None else None)


def test_a_service_is_known_by_its_short_names() -> None:
    domains = service_domains("a.ns.svc.cluster.local", "ns", "ns", "cluster.local")
    assert domains == ["a.ns.svc.cluster.local", "a.ns.svc.cluster.local.", "a", "a.ns", "a.ns.svc"]


def test_the_shortest_name_is_for_its_own_namespace_only() -> None:
    assert "a" not in service_domains("a.ns.svc.cluster.local", "ns", "other", "cluster.local")


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("mesh", "mesh"),
        ("public", "shop/public"),
        ("edge/public", "edge/public"),
        ("public.edge", "edge/public"),
        ("public.edge.svc.cluster.local", "edge/public"),
    ],
)
def test_a_gateway_is_named_short_with_its_namespace_or_in_the_older_form(name: str, known_as: str) -> None:
    assert gateway_name(name, "shop") == known_as

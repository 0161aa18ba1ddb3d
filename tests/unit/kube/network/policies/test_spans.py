"""Spans are sets of numbers, written short."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.network.policies.spans import joined, of_blocks, without
from mesh_lab.kube.objects.policies import IpBlock

SPAN = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))


def numbers(*spans: tuple[int, int]) -> set[int]:
    return {number for first, last in spans for number in range(first, last + 1)}


@given(st.lists(SPAN))
def test_joined_is_the_union_and_has_gaps_between_its_spans(spans: list[tuple[int, int]]) -> None:
    found = joined(spans)
    assert numbers(*found) == numbers(*spans)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(found))


@given(SPAN, st.lists(SPAN))
def test_without_leaves_the_rest(span: tuple[int, int], holes: list[tuple[int, int]]) -> None:
    assert numbers(*without(span, holes)) == numbers(span) - numbers(*holes)


def test_blocks_are_of_one_family_and_join() -> None:
    blocks = [
        IpBlock(cidr="10.0.0.0/30", excepted=("10.0.0.1/32",)),
        IpBlock(cidr="10.0.0.4/31"),
        IpBlock(cidr="fd00::/64", excepted=()),
    ]
    start = 10 << 24
    assert of_blocks(blocks, 4) == ((start, start), (start + 2, start + 5))
    assert of_blocks(blocks, 6) == ((0xFD << 120, (0xFD << 120) + (1 << 64) - 1),)


def test_bits_after_the_length_do_not_count() -> None:
    assert of_blocks([IpBlock(cidr="10.0.0.5/30")], 4) == of_blocks([IpBlock(cidr="10.0.0.4/30")], 4)

"""Variants: the same seed gives the same values, and texts have them filled in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.learn.variants import UnknownValue, choose, fill

VARIANTS = [{"share": number} for number in range(5)]


@given(st.text(), st.text())
def test_a_seed_always_means_the_same_variant(seed: str, lesson: str) -> None:
    assert choose(VARIANTS, seed, lesson) == choose(VARIANTS, seed, lesson)


def test_seeds_reach_every_variant() -> None:
    assert {choose(VARIANTS, f"student-{number}", "canary")["share"] for number in range(60)} == set(range(5))


def test_the_variant_is_the_same_on_every_machine() -> None:
    """Not by Python's own hash, which differs from process to process."""
    assert [choose(VARIANTS, seed, "canary")["share"] for seed in ("", "ann", "bob")] == [0, 2, 4]


def test_a_lesson_without_variants_has_no_values() -> None:
    assert choose([], "ann", "canary") == {}


def test_values_are_filled_in() -> None:
    assert fill("{{a}} of {{ b }}, {c} and {{a}}", {"a": 5}) == "5 of {{ b }}, {c} and 5"


def test_a_value_that_is_not_there_is_named_with_its_line() -> None:
    with pytest.raises(UnknownValue, match=r"\{\{b\}\} is no value of the lesson; it has a") as error:
        fill("{{a}}\n\n{{b}}", {"a": 1})
    assert error.value.line == 3

"""Durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.controlplane.model.units import nanoseconds

UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert nanoseconds(text) == sum(number * UNITS[unit] for number, unit in parts)


@pytest.mark.parametrize(("text", "expected"), [("3.5s", 3_500_000_000), ("0.25ms", 250_000), ("1h30m", 5400 * 10**9)])
def test_fractions_and_mixed_units(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 s", "1d", "one second", "1s!"])
def test_what_is_no_duration_is_refused_with_advice(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write"):
        nanoseconds(text)

"""Numbers say their unit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.conformance.numbers import UNITS, Numbers, noted


def test_numbers_are_noted_among_other_properties_and_read_again() -> None:
    properties: list[tuple[str, object]] = [("mesh.feature", "traffic/split"), ("other", "7")]
    record = Numbers(properties)
    record(requests_count=600, v2_ratio=0.31)
    record(slowest_ms=12.5)
    assert noted(properties) == {"requests_count": 600.0, "v2_ratio": 0.31, "slowest_ms": 12.5}
    assert properties[:2] == [("mesh.feature", "traffic/split"), ("other", "7")]


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(sorted(UNITS)))
def test_any_finite_number_comes_back_as_it_was(value: float, unit: str) -> None:
    properties: list[tuple[str, object]] = []
    Numbers(properties)(**{f"seen_{unit}": value})
    assert noted(properties) == {f"seen_{unit}": value}


@pytest.mark.parametrize("name", ["requests", "latency_seconds", "ms", "count", "v2ratio", "a b_ms"])
def test_a_name_without_a_unit_is_refused_with_the_units_that_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' does not say its unit: .* _count, _ratio, _s, _ms, _bytes, _per_s"):
        Numbers([])(**{name: 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "7", None])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"seen_count: .* is no finite number"):
        Numbers([])(seen_count=value)  # type: ignore[arg-type]


def test_a_name_is_noted_once() -> None:
    record = Numbers([])
    record(seen_count=1)
    with pytest.raises(ValueError, match="seen_count was recorded before"):
        record(seen_count=1)

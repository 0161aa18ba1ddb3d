"""The shapes of load, as locust asks for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.load.modules import loaded

shapes = loaded("shapes")


def test_steady_load_has_all_users_from_the_start() -> None:
    assert [shapes.users_at("steady", s, 60, 20) for s in (0, 30, 59)] == [20, 20, 20]


def test_a_ramp_rises_for_four_fifths_of_the_run() -> None:
    assert [shapes.users_at("ramp", s, 100, 80) for s in (0, 20, 40, 80, 99)] == [1, 20, 40, 80, 80]


def test_a_spike_comes_in_the_middle() -> None:
    assert [shapes.users_at("spike", s, 100, 50) for s in (0, 39, 40, 59, 60)] == [10, 10, 50, 50, 10]


@given(st.sampled_from(sorted(shapes.SHAPES)), st.floats(0, 200), st.floats(1, 100), st.integers(1, 1000))
def test_every_shape_keeps_within_its_bounds(shape: str, seconds: float, duration: float, peak: int) -> None:
    users = shapes.users_at(shape, seconds, duration, peak)
    assert users is None if seconds >= duration else 1 <= users <= peak


def test_an_unknown_shape_is_an_error() -> None:
    with pytest.raises(KeyError):
        shapes.users_at("wave", 0, 1, 1)


def test_a_rate_need_not_be_a_whole_number() -> None:
    assert shapes.level_at("spike", 0, 10, 2.5) == 0.5
    assert shapes.level_at("soak", 9, 10, 0.1) == 0.1
    assert shapes.level_at("steady", 10, 10, 0.1) is None

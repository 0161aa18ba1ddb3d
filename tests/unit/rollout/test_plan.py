"""The steps of a rollout, whatever the verdicts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.rollout.judging import Verdict
from mesh_lab.rollout.plan import START, Phase, State, after, weight_at

WEIGHTS = st.lists(st.integers(1, 99), max_size=6, unique=True).map(lambda some: (*map(float, sorted(some)), 100.0))


@given(WEIGHTS, st.lists(st.sampled_from(Verdict)))
def test_a_rollout_goes_up_step_by_step_and_back_at_once(weights: tuple[float, ...], verdicts: list[Verdict]) -> None:
    state, seen = START, [weight_at(START, weights)]
    for verdict in verdicts:
        if state.phase is not Phase.RUNNING:
            with pytest.raises(ValueError, match="no verdict is awaited"):
                after(state, verdict, len(weights))
            break
        state = after(state, verdict, len(weights))
        seen.append(weight_at(state, weights))
        if verdict is not Verdict.GOOD:
            assert (state.phase, seen[-1]) == (Phase.ROLLED_BACK, 0.0)
    expected = [0.0, *weights, 100.0]
    assert seen == expected[: len(seen)] or seen[:-1] == expected[: len(seen) - 1]


def test_a_state_without_such_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="no verdict is awaited"):
        after(State(Phase.RUNNING, 6), Verdict.GOOD, 5)

"""The judge of a rollout: how often it is wrong, computed over all counts that it may see, and how soon it is right."""

from __future__ import annotations

import math
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.harness.results import Result
from mesh_lab.rollout.judging import Judge, Verdict, judge_of
from mesh_lab.rollout.plan import START, Phase, State, after, weight_at
from mesh_lab.rollout.settings import Rollout

LEAST = Rollout(route="virtualservice/reviews", stable="v1", canary="v3", url="http://reviews:9080/")
FALSE_ALARM = MISSED = 1e-3


def ends(
    judge: Judge, ratio: float, batch: int = 50, most: int = 4_000
) -> tuple[dict[Verdict, float], dict[int, float]]:
    """How a step ends that has bad requests at this ratio: the probabilities of its verdicts, and of its requests."""
    chances = [math.comb(batch, bad) * ratio**bad * (1 - ratio) ** (batch - bad) for bad in range(batch + 1)]
    alive, ended, at = {0: 1.0}, {Verdict.GOOD: 0.0, Verdict.BAD: 0.0}, dict[int, float]()
    for trials in range(batch, most + 1, batch):
        following: dict[int, float] = {}
        for bad, mass in alive.items():
            for more, chance in enumerate(chances):
                if mass * chance > 1e-15:
                    following[bad + more] = following.get(bad + more, 0.0) + mass * chance
        alive = {}
        for bad, mass in following.items():
            verdict = judge.look(trials, {"success": bad})
            if verdict is Verdict.OPEN:
                alive[bad] = mass
            else:
                ended[verdict] += mass
                at[trials] = at.get(trials, 0.0) + mass
    return ended, at


@pytest.mark.parametrize("ratio", [0.0, 0.001, 0.01])
def test_a_version_that_keeps_to_its_ratio_is_taken_back_no_more_often_than_is_said(ratio: float) -> None:
    judge = judge_of(LEAST)
    ended, _ = ends(judge, ratio)
    assert ended[Verdict.BAD] * judge.steps <= FALSE_ALARM
    assert ended[Verdict.GOOD] >= 0.99


@pytest.mark.parametrize("ratio", [0.06, 0.1, 0.2, 1.0])
def test_a_version_that_is_worse_passes_a_step_no_more_often_than_is_said(ratio: float) -> None:
    ended, _ = ends(judge_of(LEAST), ratio)
    assert ended[Verdict.GOOD] <= MISSED
    assert ended[Verdict.BAD] >= 0.998


@pytest.mark.parametrize("ratio", [0.15, 0.2, 0.5, 1.0])
def test_a_version_of_which_one_request_in_seven_fails_is_found_within_200_requests(ratio: float) -> None:
    _, at = ends(judge_of(LEAST), ratio)
    assert sum(mass for trials, mass in at.items() if trials <= 200) >= 0.99


def row(ratio: float) -> str:
    """A row of the table in docs/rollout.md."""
    ended, at = ends(judge_of(LEAST), ratio, most=20_000)
    done, median = 0.0, 0
    for trials in sorted(at):
        done += at[trials]
        median = median or (trials if done >= 0.5 else 0)
    return f"| {ratio:.1%} | {_share(ended[Verdict.GOOD])} | {_share(ended[Verdict.BAD])} | {median} |"


def _share(probability: float) -> str:
    if probability > 0.99:
        return f"all but {1 - probability:.1g}" if probability < 1 - 1e-9 else "all"
    return f"{probability:.1g}" if probability < 0.01 else f"{probability:.0%}"


@pytest.mark.parametrize("ratio", [0, 0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 1.0])
def test_the_page_tells_what_is_computed(ratio: float) -> None:
    assert row(ratio) in (Path(__file__).parents[3] / "docs/rollout.md").read_text(encoding="utf-8")


def test_a_latency_at_a_quantile_is_a_ratio_of_slow_requests() -> None:
    judge = judge_of(msgspec.structs.replace(LEAST, latency={"p90": "100ms"}))
    quick, slow = Result(200, 0, 99.0), Result(200, 0, 100.0)
    assert judge.count([quick, slow, Result(503, 0, 1.0), Result(0, 0, 1.0)]) == {"success": 2, "latency p90": 1}
    assert judge.count([Result(200, 0, 1.0, grpc_status=14)])["success"] == 1
    assert judge.look(400, {"latency p90": 40}) is not Verdict.BAD
    assert judge.look(400, {"latency p90": 100}) is Verdict.BAD
    assert judge.bad_of([quick, slow]) == [slow]


def test_of_simulated_rollouts_of_a_right_version_none_is_taken_back() -> None:
    """One in a thousand may be."""
    judge, chance, taken_back = judge_of(LEAST), random.Random(11), 0
    for _ in range(400):
        state = START
        while state.phase is Phase.RUNNING:
            trials = bad = 0
            verdict = Verdict.OPEN
            while verdict is Verdict.OPEN and trials < 20_000:
                trials += 50
                bad += sum(chance.random() < 0.005 for _ in range(50))
                verdict = judge.look(trials, {"success": bad})
            state = after(state, verdict, judge.steps)
        taken_back += state.phase is Phase.ROLLED_BACK
    assert taken_back <= 3


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

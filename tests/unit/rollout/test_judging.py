"""The judge of a rollout: how often it is wrong, computed over all counts that it may see, and how soon it is right."""

from __future__ import annotations

import math
import random
from pathlib import Path

import msgspec
import pytest

from mesh_lab.harness.results import Result
from mesh_lab.rollout.judging import Judge, Verdict, judge_of
from mesh_lab.rollout.plan import START, Phase, after
from mesh_lab.rollout.settings import Compare, Rollout

LEAST = Rollout(route="virtualservice/reviews", stable="v1", canary="v3", url="http://reviews:9080/")
FALSE_ALARM = MISSED = 1e-3
MOST = LEAST.requests.most


def ends(
    judge: Judge, ratio: float, batch: int = 50, most: int = MOST
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
            verdict = judge.look(judge.ratios(trials, {"success": bad}))
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
    assert ended[Verdict.BAD] * (judge.steps + 1) <= FALSE_ALARM
    assert (1 - ended[Verdict.GOOD]) * (judge.steps + 1) <= FALSE_ALARM, "one that stays open is taken back, too"


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
    ended, at = ends(judge_of(LEAST), ratio)
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
    assert judge.look(judge.ratios(400, {"latency p90": 40})) is not Verdict.BAD
    assert judge.look(judge.ratios(400, {"latency p90": 100})) is Verdict.BAD
    assert judge.bad_of([quick, slow]) == [slow]


def test_of_simulated_rollouts_of_a_right_version_none_is_taken_back() -> None:
    """One in a thousand may be."""
    judge, chance, taken_back = judge_of(LEAST), random.Random(11), 0
    for _ in range(400):
        state = START
        while state.phase is Phase.RUNNING:
            trials = bad = 0
            verdict = Verdict.OPEN
            while verdict is Verdict.OPEN and trials < MOST:
                trials += 50
                bad += sum(chance.random() < 0.005 for _ in range(50))
                verdict = judge.look(judge.ratios(trials, {"success": bad}))
            state = after(state, verdict, judge.steps)
        taken_back += state.phase is Phase.ROLLED_BACK
    assert taken_back <= 3


COMPARED = judge_of(msgspec.structs.replace(LEAST, compare=Compare(times=2, worse=5)))


def alarms(judge: Judge, weight: float, times: float, events: int) -> float:
    """How probable it is that a canary is found to be worse within so many bad requests of both versions.

    Its requests are bad so many times as often as the stable version's. Computed over all counts that may be seen.
    """
    part = times * weight / (times * weight + 100 - weight)
    alive, found = {0: 1.0}, 0.0
    for trials in range(1, events + 1):
        following: dict[int, float] = {}
        for canary, mass in alive.items():
            for more, chance in ((1, part), (0, 1 - part)):
                following[canary + more] = following.get(canary + more, 0.0) + mass * chance
        alive = {}
        for canary, mass in following.items():
            compared = judge.compared(weight, {"success": canary}, {"success": trials - canary})
            if judge.look({"success": -1.0}, compared) is Verdict.BAD:
                found += mass
            else:
                alive[canary] = mass
    return found


@pytest.mark.parametrize("weight", [5, 25, 50])
@pytest.mark.parametrize("times", [0.0, 1.0, 2.0])
def test_a_version_that_is_no_worse_than_allowed_in_comparison_is_no_false_alarm(weight: float, times: float) -> None:
    assert alarms(COMPARED, weight, times, 400) <= FALSE_ALARM / (len(COMPARED.criteria) * (COMPARED.steps + 2))


@pytest.mark.parametrize(("weight", "events"), [(5, 300), (25, 200), (50, 200)])
def test_a_version_that_is_much_worse_than_the_other_is_found(weight: float, events: int) -> None:
    assert alarms(COMPARED, weight, 5.0, events) >= 0.9
    assert alarms(COMPARED, weight, 50.0, 50) >= 0.9


def test_comparisons_of_several_steps_are_one_test() -> None:
    bad, good = {"success": 6}, {"success": 2}
    before = COMPARED.compared(10, bad, good)
    both = COMPARED.compared(25, bad, good, before)
    assert both["success"] == pytest.approx(before["success"] + COMPARED.compared(25, bad, good)["success"])


@pytest.mark.parametrize("weight", [0, 100])
def test_without_the_other_version_there_is_nothing_to_compare_with(weight: float) -> None:
    assert COMPARED.compared(weight, {"success": 50}, {}) == {"success": 0.0}
    assert judge_of(LEAST).compared(50, {"success": 50}, {}) == {}


def test_a_comparison_can_only_fail_a_version() -> None:
    assert COMPARED.look({"success": -20.0}, {"success": 0.0}) is Verdict.GOOD
    assert COMPARED.look({"success": 0.0}, {"success": -50.0}) is Verdict.OPEN
    assert COMPARED.look({"success": -20.0}, {"success": 50.0}) is Verdict.BAD

"""One step of a rollout: when it ends, and which requests count for whom."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mesh_lab.harness.results import Result, Results
from mesh_lab.rollout import observing
from mesh_lab.rollout.judging import Verdict, judge_of
from mesh_lab.rollout.observing import Step, observe, quantile
from mesh_lab.rollout.settings import Rollout

WANTED = Rollout(route="virtualservice/shop", stable="v1", canary="v2", url="http://shop")
Answer = Callable[[str], Result]


def answered(version: str, status: int = 200, **more: Any) -> Result:
    return Result(status, 0.0, 5.0, version=version, **more)


def seen(weight: float, answer: Answer, wanted: Rollout = WANTED, share: float | None = None) -> Step:
    chance = random.Random(3)
    of_canary = weight if share is None else share

    def send(count: int) -> Results:
        return Results(answer(each) for each in chance.choices(["v1", "v2"], [100 - of_canary, of_canary], k=count))

    return observe(wanted, judge_of(wanted), weight, send, 0.0)


@pytest.mark.parametrize("weight", [0, 5, 50, 100])
def test_a_step_ends_good_with_the_weight_in_force(weight: float) -> None:
    step = seen(weight, answered)
    assert (step.verdict, step.why) == (Verdict.GOOD, "")
    assert step.trials >= WANTED.least
    assert step.trials + step.stable == step.requests


def test_a_version_that_is_good_stays_open_until_its_share_is_known_too() -> None:
    """A share that is 5 points off is neither as written nor so far off that it must be found."""
    alone = seen(100, answered).trials
    assert seen(50, answered).trials > alone


@pytest.mark.parametrize(("weight", "share"), [(5, 25), (25, 5), (50, 70), (5, 0)])
def test_a_share_that_is_far_off_is_a_weight_that_is_not_in_force(weight: float, share: float) -> None:
    step = seen(weight, answered, share=share)
    assert step.verdict is Verdict.BAD
    assert f"the canary's weight of {weight:g}% is not in force" in step.why


def test_a_version_that_is_neither_is_named() -> None:
    step = seen(25, lambda version: answered({"v2": "v7"}.get(version, version)))
    assert "no answer may be of v7 at this weight" in step.why


@pytest.mark.parametrize("weight", [0, 25, 100])
def test_answers_that_say_no_version_end_a_step_at_once(weight: float) -> None:
    step = seen(weight, lambda _: answered(""))
    assert (step.verdict, step.why) == (
        Verdict.BAD,
        "no answer says its version: see `version` in docs/rollout.md",
    )
    assert step.requests <= observing.MOST_BATCH


@pytest.mark.parametrize(
    "failure", [Result(503, 0.0, 1.0), Result(0, 0.0, 1.0), Result(200, 0.0, 1.0, grpc_status=14)], ids=str
)
def test_a_failure_without_a_version_counts_against_the_canary(failure: Result) -> None:
    step = seen(25, lambda version: failure if version == "v2" else answered(version))
    assert step.verdict is Verdict.BAD
    assert step.bad["success"] == step.trials
    assert not step.stable_bad["success"]


def test_a_failure_without_a_version_is_left_out_of_the_comparison() -> None:
    """The stable version may have had it."""
    wanted = msgspec.convert(
        {
            **msgspec.to_builtins(WANTED),
            "success": {"atLeast": "50%", "worseBy": "20%"},
            "compare": {"times": 1, "worse": 3},
        },
        Rollout,
    )
    every_fifth = itertools.cycle([503, 200, 200, 200, 200])

    def nameless(version: str) -> Result:
        status = next(every_fifth) if version == "v2" else 200
        return answered("" if status == 503 else version, status)

    assert seen(25, nameless, wanted).verdict is Verdict.GOOD
    every_fifth = itertools.cycle([503, 200, 200, 200, 200])
    named = seen(25, lambda version: answered(version, next(every_fifth) if version == "v2" else 200), wanted)
    assert named.verdict is Verdict.BAD


def test_a_step_that_stays_open_ends_with_its_requests_or_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(4)

    def near_its_limits(version: str) -> Result:
        return answered(version, 500 if chance.random() < 0.03 else 200)

    few = msgspec.structs.replace(WANTED, requests=msgspec.structs.replace(WANTED.requests, most=150))
    step = seen(100, near_its_limits, few)
    assert (step.verdict, step.trials) == (Verdict.OPEN, 150)
    assert step.why.startswith("neither good nor bad after 150 of its requests in ")
    clock = itertools.count(0, 100.0)
    monkeypatch.setattr(observing.time, "monotonic", lambda: next(clock))
    step = seen(100, near_its_limits)
    assert (step.verdict, step.requests < 300) == (Verdict.OPEN, True)


def test_a_quantile_of_nothing_is_nothing() -> None:
    assert (quantile([], 0.5), quantile([1.0, 2.0, 3.0], 0.5), quantile([1.0], 1.0)) == (0.0, 2.0, 1.0)


@pytest.mark.parametrize("weight", [1, 5, 25, 100])
def test_in_simulated_steps_a_version_of_which_a_fifth_fails_is_found_within_200_of_its_requests(weight: float) -> None:
    """All but one in a hundred; the computed characteristic knows only batches of 50 of its requests."""
    judge, chance = judge_of(WANTED), random.Random(17)
    right, wrong = answered("v1"), [answered("v2"), answered("v2", 503)]

    def send(count: int) -> Results:
        versions = chance.choices("12", [100 - weight, weight], k=count)
        return Results(right if each == "1" else wrong[chance.random() < 0.2] for each in versions)

    steps = [observe(WANTED, judge, weight, send, 0.0) for _ in range(100)]
    assert sum(step.verdict is Verdict.BAD and step.trials <= 200 for step in steps) >= 99


def test_of_simulated_rollouts_of_a_right_version_all_but_one_in_a_thousand_are_promoted() -> None:
    """Its failures are at half of what is allowed; shares, comparison and criteria are all tested."""
    compared = {"latency": {"p99": "50ms"}, "compare": {"times": 2, "worse": 5}}
    wanted = msgspec.convert({**msgspec.to_builtins(WANTED), **compared}, Rollout)
    judge, chance, good = judge_of(wanted), random.Random(23), 0
    answers = {each: [answered(each), answered(each, 503)] for each in ("v1", "v2")}
    for weight in [10, 25, 50, 100] * 30:

        def send(count: int, weight: float = weight) -> Results:
            versions = chance.choices(["v1", "v2"], [100 - weight, weight], k=count)
            return Results(answers[each][chance.random() < 0.005] for each in versions)

        good += observe(wanted, judge, weight, send, 0.0).verdict is Verdict.GOOD
    assert good == 120

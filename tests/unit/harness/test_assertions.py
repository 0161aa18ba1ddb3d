"""The assertions pass when all is well, and say precisely what is not."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from mesh_lab.harness.assertions import (
    assert_all,
    assert_ejected,
    assert_identity,
    assert_lasted,
    assert_latency,
    assert_overflow,
    assert_random_baseline,
    assert_split,
)
from mesh_lab.harness.results import Result, Results, parse_results
from mesh_lab.harness.versions import by_header


def answered(number: int = 1, status: int = 200, version: str = "v1", hostname: str = "a", **more: str) -> Results:
    return Results(
        Result(status=status, at_ms=float(i), duration_ms=1.0, version=version, hostname=hostname, **more)
        for i in range(number)
    )


def test_assert_all_names_the_others() -> None:
    assert_all(answered(3))
    with pytest.raises(AssertionError, match="1 of 4 requests were not answered with 200") as raised:
        assert_all(answered(3) + answered(1, status=0, error="reset", detail="reset: cut"))
    assert "reset: cut" in str(raised.value)
    with pytest.raises(AssertionError, match="200 from v2"):
        assert_all(answered(1), version="v2")


def test_nothing_sent_proves_nothing() -> None:
    for check in (assert_all, lambda r: assert_split(r, {"v1": 1}), lambda r: assert_ejected(r, "a")):
        with pytest.raises(AssertionError, match="nothing was sent"):
            check([])


def test_assert_split_shows_the_counts_and_what_would_have_been_accepted() -> None:
    assert_split(answered(900) + answered(100, version="v2"), {"v1": 90, "v2": 10})
    with pytest.raises(AssertionError, match=r"v1: observed 500, expected 900.0 \(90.0%\), accepted 8\d\d..9\d\d  <--"):
        assert_split(answered(500) + answered(500, version="v2"), {"v1": 90, "v2": 10})


def test_assert_split_tells_of_versions_that_were_not_asked_for() -> None:
    with pytest.raises(AssertionError, match="something else: 1 × v3"):
        assert_split(answered(99) + answered(1, version="v3"), {"v1": 1, "v2": 0})


def test_assert_split_tells_versions_apart_by_any_function() -> None:
    results = Results(Result(200, 0, 1, headers={"x-version": version}) for version in ["a"] * 90 + ["b"] * 10)
    assert_split(results, {"a": 90, "b": 10}, by=by_header("x-version"))
    with pytest.raises(AssertionError, match=r"something else: 100 × \?"):
        assert_split(results, {"a": 90, "b": 10})


def hosts(sequence: list[str]) -> Results:
    return Results(Result(200, float(i), 1.0, hostname=host) for i, host in enumerate(sequence))


def test_random_endpoints_pass_and_taking_turns_does_not() -> None:
    chance = random.Random(7)
    assert_random_baseline(hosts([chance.choice("abc") for _ in range(600)]), ["a", "b", "c"])
    with pytest.raises(AssertionError, match="not picked at random: 0 of 599"):
        assert_random_baseline(hosts(["a", "b", "c"] * 200), ["a", "b", "c"])
    with pytest.raises(AssertionError, match="were not split"):
        assert_random_baseline(hosts(["a"] * 600), ["a", "b", "c"])


def test_assert_identity_names_whom_the_server_saw() -> None:
    result = answered(1, body=json.dumps({"client": {"identity": "spiffe://x"}}))[0]
    assert_identity(result, "spiffe://x")
    with pytest.raises(AssertionError, match="saw the client as 'spiffe://x', not as None"):
        assert_identity(result, None)


@pytest.mark.parametrize(("took", "ok"), [(289.9, False), (290, True), (999.9, True), (1000, False)])
def test_assert_lasted_allows_for_envoys_clock_and_nothing_else(took: float, ok: bool) -> None:
    results = [replace(answered()[0], duration_ms=each) for each in (300, took)]
    if ok:
        assert_lasted(results, 0.3, 1)
    else:
        with pytest.raises(AssertionError, match=r"1 of 2 requests did not take 0\.3 to 1 s\n"):
            assert_lasted(results, 0.3, 1)


def test_assert_overflow_is_exact() -> None:
    results = answered(2) + answered(8, status=503)
    assert_overflow(results, served=2, counted=8)
    with pytest.raises(AssertionError, match="expected 3 × 200 and 7 × 503, got 8 × 503, 2 × 200"):
        assert_overflow(results, served=3, counted=8)
    with pytest.raises(AssertionError, match="the proxy counted 7"):
        assert_overflow(results, served=2, counted=7)


def test_assert_ejected_shows_where_requests_went() -> None:
    assert_ejected(answered(3, hostname="b"), "a")
    with pytest.raises(AssertionError, match="3 × a"):
        assert_ejected(answered(3), "a")


def test_results_are_read_from_what_send_printed() -> None:
    lines = [
        '{"at_ms": 1, "duration_ms": 2, "status": 200, "version": "v1", "hostname": null, "bytes": 3}',
        '{"at_ms": 2, "duration_ms": 2, "status": 0, "error": "timeout", "detail": "d"}',
        '{"summary": {"cut_short": false}}',
    ]
    results = parse_results(lines)
    assert [r.outcome for r in results] == ["200", "timeout"]
    assert results.counts("version") == {"v1": 1, "": 1}
    with pytest.raises(ValueError, match="cut short after 1"):
        parse_results(lines[:1])
    with pytest.raises(ValueError, match="not a result"):
        parse_results(["oops"])


def lasting(number: int, seconds: float, *others: float) -> Results:
    durations = [seconds] * number + list(others)
    return Results(Result(status=200, at_ms=0.0, duration_ms=1000 * each) for each in durations)


def test_a_quantile_of_latencies_is_held_to_its_bounds() -> None:
    assert_latency(lasting(1000, 0.01, 9.0, 9.0), 0.99, under_s=0.25)
    assert_latency(lasting(1000, 0.3), 0.5, at_least_s=0.25, under_s=0.5)


@pytest.mark.parametrize(("slow", "fails"), [(10, False), (28, False), (29, True), (100, True)])
def test_more_slow_requests_than_chance_makes_are_a_failure(slow: int, fails: bool) -> None:
    """Of 1,000 requests 10 are slow on average where p99 is the bound, and 28 once in a million at most."""
    results = lasting(1000 - slow, 0.01, *[0.5] * slow)
    if not fails:
        assert_latency(results, 0.99, under_s=0.25)
        return
    with pytest.raises(
        AssertionError, match=rf"{slow} of 1000 requests took at or over 0\.25 s; up to 28 are accepted"
    ):
        assert_latency(results, 0.99, under_s=0.25)


def test_a_delay_that_half_of_the_requests_lack_is_found() -> None:
    with pytest.raises(AssertionError, match=r"p50 is 0\.01 s: 700 of 1000 requests took under 0\.2 s"):
        assert_latency(lasting(700, 0.01, *[0.2] * 300), 0.5, at_least_s=0.2)


def test_a_latency_that_is_as_promised_raises_an_alarm_less_often_than_is_said() -> None:
    draws = random.Random(7)
    alarms = 0
    for _ in range(2000):
        slow = sum(draws.random() < 0.05 for _ in range(200))
        try:
            assert_latency(lasting(200 - slow, 0.01, *[0.5] * slow), 0.95, under_s=0.25, false_alarm=0.01)
        except AssertionError:
            alarms += 1
    assert alarms <= 35  # 20 at most on average, and three standard deviations


def test_what_could_not_fail_is_refused() -> None:
    with pytest.raises(ValueError, match="2 requests are too few to test p99: send more"):
        assert_latency(lasting(2, 0.01), 0.99, under_s=1)
    with pytest.raises(ValueError, match="a bound is needed"):
        assert_latency(lasting(100, 0.01), 0.99)

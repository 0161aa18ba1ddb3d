"""Assertions in a mesh's words; their failures say what was observed, expected, and would have been accepted.

They hide themselves from pytest's traceback (`__tracebackhide__`): what a reader wants to see is the test's line.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from mesh_lab.harness.results import By, Result, Results
from mesh_lab.harness.statistics import FALSE_ALARM, Arm, binomial_interval, repeats, split_arms
from mesh_lab.harness.telling import first_of, some, table

EARLY_MILLISECONDS = 10.0
"""How much too early a time limit of Envoy's may end: it counts from when its loop last looked at the clock."""


def assert_all(
    results: Collection[Result], *, status: int = 200, version: str | None = None, grpc_status: int = 0
) -> None:
    """Every request was answered with this status (and by this version); a call with this status of gRPC's.

    Raises:
        AssertionError: naming the other outcomes and the first few of them.
    """
    __tracebackhide__ = True
    some(results)
    other = [
        r
        for r in results
        if r.status != status or version not in (None, r.version) or grpc_status != (r.grpc_status or 0)
    ]
    if other:
        wanted = f"{status}" if not grpc_status else f"grpc {grpc_status}"
        wanted += f" from {version}" if version is not None else ""
        outcomes = Counter(f"{r.outcome} from {r.version or '?'}" for r in results)
        raise AssertionError(
            f"{len(other)} of {len(results)} requests were not answered with {wanted}\n"
            f"  outcomes: {table(outcomes)}\n" + first_of(other)
        )


def assert_split(
    results: Collection[Result], weights: Mapping[str, float], *, by: By = "version", false_alarm: float = FALSE_ALARM
) -> None:
    """The requests were shared out by these weights, tested exactly at this false-alarm rate; none went elsewhere.

    They are told apart by their version, by another attribute, or by what a function gives for each.

    Raises:
        AssertionError: with each arm's observed, expected and accepted counts.
    """
    __tracebackhide__ = True
    some(results)
    observed = Results(results).counts(by)
    strangers = {name: count for name, count in observed.items() if name not in weights}
    arms = split_arms({name: observed.get(name, 0) for name in weights}, weights, false_alarm)
    if strangers or not all(arm.ok for arm in arms):
        detail = f"  served by something else: {table(Counter(strangers))}\n" if strangers else ""
        raise AssertionError(
            f"{len(results)} requests were not split as {dict(weights)} (false-alarm rate {false_alarm:g})\n"
            + _arms(arms)
            + detail
        )


def assert_random_baseline(
    results: Collection[Result], endpoints: Collection[str], *, false_alarm: float = FALSE_ALARM
) -> None:
    """Each connection went to an endpoint picked at random: even shares, and as many repeats as chance gives.

    Even shares would also come of round robin; with random endpoints, one in k connections goes to the endpoint of the
    one before it. The results must be of one connection each, one after the other.

    Raises:
        AssertionError: with the counts and what would have been accepted.
    """
    __tracebackhide__ = True
    assert_split(results, dict.fromkeys(endpoints, 1.0), by="hostname", false_alarm=false_alarm / 2)
    ordered = [r.hostname for r in sorted(results, key=lambda result: result.at_ms)]
    accepted = binomial_interval(len(ordered) - 1, 1 / len(endpoints), false_alarm / 2)
    seen = repeats(ordered)
    if seen not in accepted:
        expected = (len(ordered) - 1) / len(endpoints)
        raise AssertionError(
            f"the endpoints were not picked at random: {seen} of {len(ordered) - 1} connections went where the one "
            f"before went; expected {expected:.1f}, accepted {accepted} (false-alarm rate {false_alarm:g})"
        )


def assert_lasted(results: Collection[Result], at_least_s: float, under_s: float) -> None:
    """Every request took at least so many seconds (less `EARLY_MILLISECONDS`), and less than so many.

    Raises:
        AssertionError: naming the first few that did not.
    """
    __tracebackhide__ = True
    some(results)
    other = [r for r in results if not at_least_s * 1000 - EARLY_MILLISECONDS <= r.duration_ms < under_s * 1000]
    if other:
        raise AssertionError(
            f"{len(other)} of {len(results)} requests did not take {at_least_s:g} to {under_s:g} s\n" + first_of(other)
        )


def assert_latency(
    results: Collection[Result],
    quantile: float,
    *,
    under_s: float | None = None,
    at_least_s: float | None = None,
    false_alarm: float = FALSE_ALARM,
) -> None:
    """A quantile of the latencies (0.99 for p99) is under so many seconds, or at least so many, or both.

    It is tested exactly, by how many requests are beyond the bound: if it holds, each is with a probability of at most
    `1 - quantile` (or `quantile`). A mean says nothing of the slow ones, and one outlier moves it.

    Raises:
        AssertionError: more are beyond a bound than chance makes them; with what would have been accepted.
        ValueError: no bound, or so few requests that the test could not fail.
    """
    __tracebackhide__ = True
    some(results)
    if under_s is None and at_least_s is None:
        raise ValueError("a bound is needed: under_s, at_least_s, or both")
    seconds = sorted(result.duration_ms / 1000 for result in results)
    beyond = []
    if under_s is not None:
        beyond.append(("at or over", under_s, sum(each >= under_s for each in seconds), 1 - quantile))
    if at_least_s is not None:
        beyond.append(("under", at_least_s, sum(each < at_least_s for each in seconds), quantile))
    for where, bound, count, share in beyond:
        most = binomial_interval(len(seconds), share, 2 * false_alarm).high
        if most >= len(seconds):
            raise ValueError(f"{len(seconds)} requests are too few to test p{100 * quantile:g}: send more")
        if count > most:
            seen = seconds[min(math.ceil(quantile * len(seconds)), len(seconds)) - 1]
            raise AssertionError(
                f"p{100 * quantile:g} is {seen:.3g} s: {count} of {len(seconds)} requests took {where} {bound:g} s; "
                f"up to {most} are accepted (false-alarm rate {false_alarm:g}); the slowest took {seconds[-1]:.3g} s"
            )


def assert_identity(result: Result, identity: str | None) -> None:
    """The server saw this client identity (a SPIFFE URI); None for a client that showed none. Needs the body.

    Raises:
        AssertionError: naming the identity seen.
    """
    __tracebackhide__ = True
    assert_all([result])
    seen = result.json["client"]["identity"]
    if seen != identity:
        raise AssertionError(f"the server saw the client as {seen!r}, not as {identity!r}")


def assert_overflow(results: Collection[Result], *, served: int, counted: int) -> None:
    """A circuit breaker let exactly `served` requests through and refused all others, as many as the proxy `counted`.

    Raises:
        AssertionError: with the outcomes.
    """
    __tracebackhide__ = True
    refused = len(results) - served
    outcomes = Counter(r.outcome for r in results)
    if outcomes != Counter({"200": served, "503": refused}):
        raise AssertionError(f"expected {served} × 200 and {refused} × 503, got {table(outcomes)}")
    if counted != refused:
        raise AssertionError(f"{refused} requests were refused, but the proxy counted {counted} overflows")


def assert_ejected(results: Collection[Result], hostname: str) -> None:
    """No request reached this endpoint, although others were served.

    Raises:
        AssertionError: with the number of requests by endpoint.
    """
    __tracebackhide__ = True
    some(results)
    by_host = Counter(r.hostname or r.outcome for r in results)
    if by_host.get(hostname):
        raise AssertionError(f"{hostname} was to be ejected, but requests went to {table(by_host)}")


def assert_no_errors(results: Collection[Result]) -> None:
    """Every request was answered with 200: what is promised to hold while parts of the mesh come and go.

    Raises:
        AssertionError: as assert_all.
    """
    __tracebackhide__ = True
    assert_all(results, status=200)


def _arms(arms: Iterable[Arm]) -> str:
    return "".join(
        f"  {arm.name}: observed {arm.observed}, expected {arm.expected:.1f} ({arm.probability:.1%}), "
        f"accepted {arm.accepted}{'' if arm.ok else '  <--'}\n"
        for arm in arms
    )

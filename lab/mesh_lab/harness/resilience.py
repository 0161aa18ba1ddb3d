"""Assertions on what a mesh does about slow and failing servers: retries, back-off, circuit breakers, faults, timeouts.

https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRetry
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from mesh_lab.harness.assertions import EARLY_MILLISECONDS, assert_all, assert_lasted
from mesh_lab.harness.results import Result
from mesh_lab.harness.statistics import FALSE_ALARM, binomial_interval
from mesh_lab.harness.telling import first_of, some, table

TIMED_OUT = 504
SERVED = 200


def assert_retried(results: Collection[Result], attempts: int, *, status: int = SERVED) -> None:
    """Each request was made this often, the first attempt included, and then had this status. Needs records.

    Raises:
        AssertionError: naming the other numbers of attempts.
        LookupError: the run was not recorded.
    """
    __tracebackhide__ = True
    assert_all(results, status=status)
    if other := [each for each in results if each.attempts != attempts]:
        counts = Counter(str(each.attempts) for each in results)
        raise AssertionError(
            f"{len(other)} of {len(results)} requests did not take {attempts} attempts\n"
            f"  attempts: {table(counts)}\n{first_of(other)}"
        )


def assert_not_retried(results: Collection[Result], *, status: int) -> None:
    """Each request was made once, whatever came of it, and had this status. Needs records.

    Raises:
        AssertionError, LookupError: as `assert_retried`.
    """
    __tracebackhide__ = True
    assert_retried(results, 1, status=status)


def assert_backed_off(
    results: Collection[Result],
    retries: int,
    *,
    base_s: float = 0.025,
    max_s: float | None = None,
    slack_s: float,
    false_alarm: float = FALSE_ALARM,
) -> None:
    """Between the attempts of each request were pauses that double, at random up to each bound, as Envoy makes them.

    The pause before retry i is even over 0 to `base_s` * 2^(i-1), at most `max_s` (Envoy: ten times the base). The sum
    of such pauses is symmetric about half its bound, so half of the requests take at least that long: tested exactly.
    No request takes longer than the bound and `slack_s`, which is what the attempts themselves take.

    Raises:
        AssertionError: the pauses are too short or too long.
        ValueError: so few requests that the test could not fail, or attempts that take too long to see the pauses.
    """
    __tracebackhide__ = True
    some(results)
    longest = base_s * 10 if max_s is None else max_s
    bound = sum(min(base_s * 2**retry, longest) for retry in range(retries))
    least = binomial_interval(len(results), 0.5, 2 * false_alarm).low
    if least < 1:
        raise ValueError(f"{len(results)} requests are too few to see pauses: send more")
    if slack_s >= bound / 2:
        raise ValueError(f"attempts of {slack_s:g} s hide pauses of {bound:g} s in all: a longer base_s shows them")
    paused = sum(each.duration_ms >= bound * 500 for each in results)
    if paused < least:
        raise AssertionError(
            f"the attempts came without back-off: {paused} of {len(results)} requests took at least {bound / 2:.3g} s, "
            f"half are expected, {least} accepted (false-alarm rate {false_alarm:g})"
        )
    if slow := [each for each in results if each.duration_ms > (bound + slack_s) * 1000]:
        raise AssertionError(
            f"{len(slow)} of {len(results)} requests took longer than {bound:g} s of pauses and {slack_s:g} s\n"
            + first_of(slow)
        )


def assert_retries_bounded(sent: int, arrived: int, *, ratio: float, at_least: int = 0) -> None:
    """No retry storm: to the servers came at most `ratio` retries for each request, or `at_least` if that is more.

    `sent` counts the clients' requests, `arrived` what the servers counted (`EchoControl.counts`). At least one retry
    must have come: without any there was nothing to bound.

    Raises:
        AssertionError: more arrived, or no retry at all.
    """
    __tracebackhide__ = True
    retries, most = arrived - sent, max(ratio * sent, at_least)
    if retries > most:
        raise AssertionError(
            f"a retry storm: {sent} requests became {arrived}, {retries / sent:.2f} retries for each; "
            f"up to {most:.0f} retries are allowed"
        )
    if retries <= 0:
        raise AssertionError(f"of {sent} requests {arrived} arrived: there was no retry that could have been bounded")


def assert_circuit_closed(results: Collection[Result], *, counted: int) -> None:
    """The circuit breaker let everything through: all were answered with 200, and the proxy `counted` no overflow.

    Raises:
        AssertionError: with the outcomes.
    """
    __tracebackhide__ = True
    assert_all(results)
    if counted:
        raise AssertionError(f"all {len(results)} requests were answered, but the proxy counted {counted} overflows")


def assert_delayed(
    results: Collection[Result], seconds: float, *, share: float = 1.0, false_alarm: float = FALSE_ALARM
) -> None:
    """This share of the requests (a ratio) took at least so many seconds, as a fault makes them, and the others less.

    Raises:
        AssertionError: more or fewer did, by an exact test.
    """
    __tracebackhide__ = True
    late = [each for each in results if each.duration_ms >= seconds * 1000 - EARLY_MILLISECONDS]
    _share(results, late, share, f"were delayed by {seconds:g} s", false_alarm)


def assert_aborted(
    results: Collection[Result], status: int, *, share: float = 1.0, false_alarm: float = FALSE_ALARM
) -> None:
    """This share of the requests (a ratio) was answered with this status by a fault, and all others with 200.

    Raises:
        AssertionError: more or fewer were, by an exact test, or a request had another status.
    """
    __tracebackhide__ = True
    aborted = [each for each in results if each.status == status]
    if other := [each for each in results if each.status not in (status, SERVED)]:
        raise AssertionError(
            f"{len(other)} of {len(results)} requests had neither {status} nor {SERVED}\n{first_of(other)}"
        )
    _share(results, aborted, share, f"were aborted with {status}", false_alarm)


def assert_timed_out(results: Collection[Result], after_s: float, *, under_s: float, status: int = TIMED_OUT) -> None:
    """Each request was given up after this time and before `under_s` seconds, with this status.

    Raises:
        AssertionError: as `assert_all` and `assert_lasted`.
    """
    __tracebackhide__ = True
    assert_all(results, status=status)
    assert_lasted(results, after_s, under_s)


def _share(results: Collection[Result], hit: Collection[Result], share: float, what: str, false_alarm: float) -> None:
    __tracebackhide__ = True
    some(results)
    accepted = binomial_interval(len(results), share, false_alarm)
    if len(hit) not in accepted:
        raise AssertionError(
            f"{len(hit)} of {len(results)} requests {what}; {share * len(results):.1f} were expected ({share:.1%}), "
            f"{accepted} are accepted (false-alarm rate {false_alarm:g})"
        )

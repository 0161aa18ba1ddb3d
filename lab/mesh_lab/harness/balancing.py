"""Assertions on which endpoint requests go to: taking turns, avoiding busy ones, keeping to one, coming back.

https://istio.io/latest/docs/reference/config/networking/destination-rule/#LoadBalancerSettings
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

from mesh_lab.harness.assertions import assert_split
from mesh_lab.harness.results import By, Result, Results
from mesh_lab.harness.statistics import FALSE_ALARM, binomial_interval
from mesh_lab.harness.telling import first_of, some, table


def assert_round_robin(
    results: Collection[Result], endpoints: Collection[str], *, slack: int = 1, by: By = "hostname"
) -> None:
    """The endpoints took turns: each got as many requests as the others, up to `slack` more or fewer.

    Each worker thread of Envoy takes turns by itself, and a connection belongs to one: the slack is 1 for requests over
    one connection, and else the number of threads.

    Raises:
        AssertionError: with the requests of each endpoint.
    """
    __tracebackhide__ = True
    some(results)
    counts = Results(results).counts(by)
    seen = [counts.get(name, 0) for name in endpoints]
    if set(counts) - set(endpoints) or max(seen) - min(seen) > slack:
        raise AssertionError(
            f"{', '.join(sorted(endpoints))} did not take turns: {table(counts)}; "
            f"with {len(results)} requests each gets {len(results) / len(endpoints):.1f}, and {slack} more or fewer"
        )


def assert_least_request(
    results: Collection[Result],
    busy: str,
    endpoints: Collection[str],
    *,
    by: By = "hostname",
    false_alarm: float = FALSE_ALARM,
) -> None:
    """A busy endpoint was avoided: of two that Envoy picks at random, the one with fewer requests under way gets it.

    So of k endpoints the busy one gets a request only when both picks are of it, once in k². To be told from random
    endpoints, once in k, there have to be enough requests.

    Raises:
        AssertionError: it got more, by an exact test; with the requests of each endpoint.
        ValueError: so few requests that the test could not fail.
    """
    __tracebackhide__ = True
    some(results)
    counts, number = Results(results).counts(by), len(endpoints)
    most = binomial_interval(len(results), 1 / number**2, false_alarm).high
    if most >= binomial_interval(len(results), 1 / number, false_alarm).low:
        raise ValueError(f"{len(results)} requests are too few to tell least requests from random ones: send more")
    if counts[busy] > most:
        raise AssertionError(
            f"{busy} was busy and not avoided: {table(counts)}; up to {most} of {len(results)} are accepted "
            f"(false-alarm rate {false_alarm:g}), {len(results) / number:.0f} would be at random"
        )


def assert_sticky(results: Collection[Result], key: By, *, by: By = "hostname", spread: bool = True) -> None:
    """Requests with the same key (a header, a cookie, a client) went to the same endpoint.

    `key` gives each result's key, as an attribute's name or a function. With `spread` not all keys may go to one
    endpoint: that would show nothing.

    Raises:
        AssertionError: naming the keys that went to several endpoints.
    """
    __tracebackhide__ = True
    some(results)
    places: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        (key_of,), (place,) = Results([result]).counts(key), Results([result]).counts(by)
        places[key_of][place] += 1
    if torn := {name: counts for name, counts in places.items() if len(counts) > 1}:
        raise AssertionError(
            f"{len(torn)} of {len(places)} keys went to more than one endpoint\n"
            + "".join(f"  {name or '?'}: {table(counts)}\n" for name, counts in list(torn.items())[:5])
        )
    used = {place for counts in places.values() for place in counts}
    if spread and len(used) < 2:
        raise AssertionError(f"all {len(places)} keys went to {', '.join(used)}: send more keys, or spread=False")


def assert_locality(
    results: Collection[Result],
    localities: Mapping[str, str],
    weights: Mapping[str, float],
    *,
    by: By = "hostname",
    false_alarm: float = FALSE_ALARM,
) -> None:
    """The requests were shared out over localities by these weights, tested exactly as `assert_split`.

    `localities` gives each endpoint's (`region/zone/subzone`), as `mesh.localities()` does.

    Raises:
        AssertionError: with the counts of each locality.
    """
    __tracebackhide__ = True
    some(results)

    def place(result: Result) -> str:
        (endpoint,) = Results([result]).counts(by)
        return localities.get(endpoint, f"unknown locality of {endpoint or '?'}")

    assert_split(results, weights, by=place, false_alarm=false_alarm)


def assert_returned(
    results: Collection[Result],
    hostname: str,
    endpoints: Collection[str],
    *,
    by: By = "hostname",
    false_alarm: float = FALSE_ALARM,
) -> None:
    """An endpoint that had been ejected gets its share again: not fewer requests than chance makes of an even share.

    Raises:
        AssertionError: it got fewer, or not all requests were answered.
        ValueError: so few requests that the test could not fail.
    """
    __tracebackhide__ = True
    some(results)
    least = binomial_interval(len(results), 1 / len(endpoints), 2 * false_alarm).low
    if least < 1:
        raise ValueError(f"{len(results)} requests are too few to see {hostname} among {len(endpoints)}: send more")
    counts = Results(results).counts(by)
    if counts[hostname] < least:
        raise AssertionError(
            f"{hostname} is not back: {table(counts)}; at least {least} of {len(results)} were expected "
            f"(false-alarm rate {false_alarm:g})"
        )
    if failed := [each for each in results if each.status >= 500 or not each.status]:
        raise AssertionError(f"{len(failed)} of {len(results)} requests failed\n{first_of(failed)}")

"""Assertions that need everybody's count: metrics of client, proxies and server agree; nothing was lost meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from mesh_lab.harness.assertions import assert_all
from mesh_lab.harness.metrics import by_label
from mesh_lab.harness.proxies import Proxy
from mesh_lab.harness.results import Result
from mesh_lab.harness.telling import some, table

REQUESTS = "istio_requests_total"
PAUSE_SECONDS, SHOWN_SECONDS = 0.1, 15.0
SETTLED_SECONDS = 1.2
"""A proxy shows a request among its metrics up to a second after it has answered it (Envoy merges histograms once in a
`stats_flush_interval`): counts that have stayed the same for longer are of all requests until then."""
Growth = Callable[[], Counter[str]]


@dataclass(frozen=True, slots=True)
class Counted:
    """How many requests each side's proxy has counted since `counting` began, by status, as of now."""

    source: Growth
    destination: Growth


@contextmanager
def counting(
    source: Proxy, to: Mapping[str, str], destinations: Collection[Proxy], of: Mapping[str, str]
) -> Iterator[Counted]:
    """Count requests from one proxy, those with the labels `to`, and what the others count, those with `of`."""
    yield Counted(
        _growth([source], {**to, "reporter": "source"}),
        _growth(destinations, {**of, "reporter": "destination"}),
    )


def _growth(proxies: Collection[Proxy], labels: Mapping[str, str]) -> Growth:
    def now() -> Counter[str]:
        sums: Counter[str] = Counter()
        for proxy in proxies:
            sums += by_label(proxy.metrics(), REQUESTS, "response_code", labels)
        return sums

    before = _settled(now)

    def since() -> Counter[str]:
        return now() - before

    return since


def _settled(now: Growth) -> Counter[str]:
    """The counts, once they no longer grow from requests of before; at the latest after `SHOWN_SECONDS`."""
    end, seen = time.monotonic() + SHOWN_SECONDS, now()
    while time.monotonic() < end:
        time.sleep(SETTLED_SECONDS)
        before, seen = seen, now()
        if seen == before:
            break
    return seen


def assert_metrics_agree(results: Collection[Result], counted: Counted, *, timeout: float = SHOWN_SECONDS) -> None:
    """The client, its proxy and the servers' proxies count the same requests, status by status.

    A request that was retried is one at the client's proxy and one for each attempt at the servers'; there the numbers
    are compared in all, by the attempts that were recorded.

    Raises:
        AssertionError: a proxy counts more, or fewer for longer than `timeout` seconds; with all three counts.
    """
    __tracebackhide__ = True
    some(results)
    client = Counter(str(each.status) for each in results if each.status)
    recorded = all(each.record is not None for each in results)
    arrived = sum(each.attempts for each in results) if recorded else client.total()
    end = time.monotonic() + timeout
    while True:
        source, destination = counted.source(), counted.destination()
        if source == client and destination.total() == arrived and (recorded or destination == client):
            return
        if time.monotonic() > end or source - client or destination.total() > arrived:
            raise AssertionError(
                f"the counts differ: the client has {table(client)}; its proxy {table(source) or 'none'}; "
                f"the servers' proxies {table(destination) or 'none'}, of {arrived} attempts"
            )
        time.sleep(PAUSE_SECONDS)


def assert_none_lost(results: Collection[Result], *, at_least: int) -> None:
    """While parts of the mesh came and went, at least so many requests were sent, and all were answered with 200.

    `at_least` keeps the test honest: without traffic during the change nothing could be lost.

    Raises:
        AssertionError: fewer were sent, or as `assert_all`.
    """
    __tracebackhide__ = True
    assert_all(results)
    if len(results) < at_least:
        raise AssertionError(f"{len(results)} requests were sent, and {at_least} are needed to show that none is lost")

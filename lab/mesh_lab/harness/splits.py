"""A split under test that sends its own requests, as many as a safe verdict takes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from mesh_lab.harness.results import By, Results
from mesh_lab.harness.sequential import THE_USUAL, Rates, SplitTest, Verdict
from mesh_lab.harness.statistics import wilson_interval

BATCH, MOST = 100, 20_000
_SHOWN_CONFIDENCE = 0.99


class Sender(Protocol):
    """What sends requests: a `TrafficClient`."""

    def draw_header(self) -> str:
        """The header by which its proxy draws the destinations of splits."""

    def send(self, url: str, count: int = 1, **options: Any) -> Results:
        """Send so many requests and give every result."""


def assert_route_splits(
    client: Sender,
    url: str,
    weights: Mapping[str, float],
    *,
    by: By = "version",
    rates: Rates = THE_USUAL,
    batch: int = BATCH,
    most: int = MOST,
    exact: bool = False,
    **options: Any,
) -> Results:
    """Requests to `url` are split by these weights: sent in batches until the verdict is safe; all results.

    At the usual rates a split that is as written fails once in a million runs, and one of which an arm deviates by 5
    percentage points passes less than once in a thousand; 90/10 as written takes 700 requests at the median
    (docs/statistics.md). `most` bounds the requests. Options are those of `TrafficClient.send`.

    With `exact` nothing is left to chance: the requests are numbered, and the lab's proxies draw by that number, so 100
    requests show 90 and 10. It needs the lab's own control plane, and whole numbers for weights.

    Raises:
        AssertionError: the split deviates, or the verdict is still open after `most` requests; with the counts.
        LookupError: `exact`, and the client's proxy draws at random.
        ValueError: weights, rates or bounds that are none.
    """
    __tracebackhide__ = True
    if exact:
        return _assert_exact(client, url, weights, by, options)
    if not 0 < batch <= most:
        raise ValueError(f"batches of {batch} requests, {most} at most")
    test, results = SplitTest(weights, rates), Results()
    while len(results) < most:
        results.extend(client.send(url, min(batch, most - len(results)), **options))
        counts = results.counts(by)
        verdict = test.look(counts)
        if verdict is Verdict.AS_WRITTEN:
            return results
        if verdict is Verdict.DEVIATES:
            raise AssertionError(
                "\n".join([f"{url} is not split as {dict(weights)}", *_evidence(test, counts, weights)])
            )
    why = f"whether {url} is split as {dict(weights)} is open after {most} requests"
    hint = "  the shares are between those written and the deviation that is looked for: send more (most=...)"
    raise AssertionError("\n".join([why, hint, *_evidence(test, counts, weights)]))


def _assert_exact(
    client: Sender, url: str, weights: Mapping[str, float], by: By, options: Mapping[str, Any]
) -> Results:
    """As many requests as the weights add up to, or a multiple of that, and of each version precisely its share."""
    __tracebackhide__ = True
    if url.startswith("tcp://"):
        raise ValueError("exact: a connection over TCP has no header by whose number it could be drawn")
    total = sum(weights.values())
    if total < 1 or min(weights.values()) < 0 or any(weight != int(weight) for weight in weights.values()):
        raise ValueError(f"exact: weights {dict(weights)} are not whole numbers that add up to at least 1")
    rounds = math.ceil(BATCH / total)
    results = client.send(url, int(total) * rounds, **{**options, "index_header": client.draw_header()})
    counts = results.counts(by)
    wanted = {name: int(weight) * rounds for name, weight in weights.items() if weight}
    if counts != wanted:
        seen = ", ".join(f"{name or '?'}: {counts[name]}" for name in sorted({*counts, *wanted}))
        raise AssertionError(f"{url} is not split as {dict(weights)}: of {len(results)} numbered requests came {seen}")
    return results


def _evidence(test: SplitTest, counts: Counter[str], weights: Mapping[str, float]) -> list[str]:
    """What was seen, with an interval for each share, and what the verdict is worth."""
    trials, total = counts.total(), sum(weights.values())
    lines = []
    for name, weight in weights.items():
        low, high = wilson_interval(counts[name], trials, _SHOWN_CONFIDENCE)
        side = test.deviating
        mark = f"  <-- {side.direction} than written" if side is not None and side.arm == name else ""
        lines.append(
            f"  {name}: {counts[name]} of {trials}, {counts[name] / trials:.1%} "
            f"({low:.1%} to {high:.1%} at {_SHOWN_CONFIDENCE:.0%}), written {weight / total:.1%}{mark}"
        )
    if test.strangers:
        others = ", ".join(f"{count} × {name or '?'}" for name, count in test.strangers.items())
        lines.append(f"  answered by something without a share: {others}")
    rates = test.rates
    lines.append(
        f"  a false alarm at most once in {1 / rates.false_alarm:,.0f} runs; "
        f"{100 * rates.deviation:g} points missed at most once in {1 / rates.missed:,.0f}"
    )
    lines.append("  look at: `mesh-lab wait` of the route (has every proxy acknowledged it?), its subsets' endpoints")
    return lines

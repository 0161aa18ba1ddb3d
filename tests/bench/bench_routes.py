"""What a change costs where one Gateway has many HTTPRoutes: the stages between the API's event and Envoy.

    python -m tests.bench.bench_routes [ROUTES]

One process, no input or output. Prints figures and judges none: machines differ.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.gatewayapi.statuses import Release, statuses
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.xds.gatewayapi.objects import POD, edge, path, route, rule, to

CHANGES = 20
RELEASE = Release("v1.6.3", "standard")


def number(index: int, turn: int = 0) -> dict[str, Any]:
    """The route of one team: a host of its own, two paths, a split."""
    split = (to("reviews", weight=9 - turn % 9), to("ratings", weight=1 + turn % 9))
    rules = rule(*split, matches=[path(f"/{index}")]), rule(to("details"))
    made = route(f"r{index:04}", *rules, hostnames=[f"r{index}.example"])
    made["metadata"]["generation"] = 1 + turn
    return made


def gateway_of(routes: int) -> Cluster:
    """A Gateway with so many routes."""
    cluster = edge()
    for index in range(routes):
        cluster.add("HTTPRoute", number(index))
    return cluster


def shared(index: int, turn: int = 0) -> dict[str, Any]:
    """A route of the host that all have in common, by a path of its own."""
    made = number(index, turn)
    del made["spec"]["hostnames"]
    made["spec"]["rules"] = made["spec"]["rules"][:1]
    return made


def gateway_of_one_host(routes: int) -> Cluster:
    """A Gateway whose routes are all of one host."""
    cluster = edge()
    for index in range(routes):
        cluster.add("HTTPRoute", shared(index))
    return cluster


Change = Callable[[int, int], dict[str, Any]]
CASES: dict[str, tuple[Callable[[int], Cluster], Change]] = {
    "each of a host of its own": (gateway_of, number),
    "all of one host": (gateway_of_one_host, shared),
}


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def _row(name: str, snapshot: float, proxy: float, findings: float, stated: float) -> None:
    sys.stdout.write(f"{name:36}{snapshot:9.2f}{proxy:12.2f}{findings:10.2f}{stated:10.2f}\n")


def figures(routes: int, build: Callable[[int], Cluster], change: Change) -> list[tuple[float, ...]]:
    """Milliseconds of each stage, first from nothing and then for each change."""
    cluster, generator = build(routes), Generator()
    proxy = cluster.proxy(POD, kind="router")
    rows: list[tuple[float, ...]] = []
    for turn in range(CHANGES + 1):
        cluster.add("HTTPRoute", change(routes // 2, turn))
        took = _timed(cluster.snapshot)
        after = cluster.snapshot()
        generated = _timed(lambda s=after: generator.generate(s, proxy))
        with generator.remembering():
            found = _timed(lambda s=after: analyse(s))
            rows.append((took, generated, found, _timed(lambda s=after: statuses(s, RELEASE))))
    return rows


def main(routes: int) -> None:
    """Print the figures of a Gateway with that many routes."""
    sys.stdout.write(f"{routes} HTTPRoutes; milliseconds of processor time, medians of {CHANGES}\n")
    sys.stdout.write(f"{'':36}{'snapshot':>9}{'the gateway':>12}{'analysis':>10}{'statuses':>10}\n")
    for name, (build, change) in CASES.items():
        first, *others = figures(routes, build, change)
        _row(f"{name}, from nothing", *first)
        _row(f"{name}, one changes", *(statistics.median(column) for column in zip(*others, strict=True)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

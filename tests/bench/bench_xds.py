"""What translation costs: a mesh of many services from nothing, and then one change at a time.

    python -m tests.bench.bench_xds [SERVICES]

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
from tests.unit.controlplane.cluster import Cluster, config, endpoints, pod, service

PODS = 3
PORTS = 10
CHANGES = 20


def mesh(services: int) -> Cluster:
    """Services of three pods each, on ten port numbers."""
    cluster = Cluster()
    for index in range(services):
        name, port = f"s{index}", ("http", 8000 + index % PORTS)
        pods = [_pod(index, number) for number in range(PODS)]
        cluster.add("Service", service(name, port, ip=f"10.96.{index // 250}.{index % 250}"))
        cluster.add("Pod", *pods).add("EndpointSlice", endpoints(name, *pods, ports=(port,)))
    return cluster


def _pod(index: int, number: int) -> dict[str, Any]:
    address = f"10.{index // 250 + 1}.{index % 250}.{number + 1}"
    return pod(f"s{index}-{number}", address, app=f"s{index}", version=f"v{number}")


def _route(cluster: Cluster, turn: int) -> None:
    shares = [{"destination": {"host": host}, "weight": 1 + turn} for host in ("s1", "s2")]
    _next(cluster, config("VirtualService", "v", {"hosts": ["s1"], "http": [{"route": shares}]}), turn)


def _policy(cluster: Cluster, turn: int) -> None:
    limit = {"connectionPool": {"tcp": {"maxConnections": 1 + turn}}}
    _next(cluster, config("DestinationRule", "d", {"host": "s1", "trafficPolicy": limit}), turn)


def _next(cluster: Cluster, resource: dict[str, Any], turn: int) -> None:
    resource["metadata"]["generation"] = 1 + turn
    cluster.istio(resource)


def _endpoint(cluster: Cluster, turn: int) -> None:
    part = endpoints("s1", *(_pod(1, number) for number in range(PODS)), ports=(("http", 8001),))
    part["endpoints"][0]["conditions"]["ready"] = bool(turn % 2)
    cluster.add("EndpointSlice", part)


def _newcomer(cluster: Cluster, turn: int) -> None:
    cluster.add("Pod", pod(f"new-{turn}", f"10.250.0.{turn + 1}"))


CASES: dict[str, Callable[[Cluster, int], None]] = {
    "a VirtualService changes": _route,
    "a DestinationRule changes": _policy,
    "an endpoint comes or goes": _endpoint,
    "a pod starts that nothing selects": _newcomer,
}


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def _row(name: str, snapshot: float, first: float, another: float, analysis: float) -> None:
    sys.stdout.write(f"{name:36}{snapshot:9.2f}{first:12.2f}{another:9.2f}{analysis:10.2f}\n")


def main(services: int) -> None:
    """Print the figures of a mesh of that many services."""
    cluster, generator = mesh(services), Generator()
    took = _timed(cluster.snapshot)
    snapshot, one, other = cluster.snapshot(), cluster.proxy("s0-0"), cluster.proxy("s1-0")
    sys.stdout.write(f"{services} services, {PODS * services} pods; milliseconds, medians of {CHANGES}\n")
    sys.stdout.write(f"{'':36}{'snapshot':>9}{'first proxy':>12}{'another':>9}{'analysis':>10}\n")
    first, another = (_timed(lambda p=proxy: generator.generate(snapshot, p)) for proxy in (one, other))
    _row("from nothing (once)", took, first, another, _timed(lambda: analyse(snapshot)))
    for name, change in CASES.items():
        rows: list[tuple[float, ...]] = []
        for turn in range(CHANGES):
            change(cluster, turn)
            took = _timed(cluster.snapshot)
            after = cluster.snapshot()
            first, another = (_timed(lambda s=after, p=proxy: generator.generate(s, p)) for proxy in (one, other))
            rows.append((took, first, another, _timed(lambda s=after: analyse(s))))
        _row(name, *(statistics.median(column) for column in zip(*rows, strict=True)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

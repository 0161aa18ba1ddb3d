"""Whether the control plane's memory stays flat under changes: 20,000 of them, one after another.

    python -m tests.bench.bench_churn [CHANGES]

State, translation, analysis and three proxies' sessions in one process, without input or output. Resources are edited,
endpoints come and go, and whole services with their pods do. Prints figures and judges none.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

from mesh_lab.controlplane.delivery.delta import Session
from mesh_lab.controlplane.delivery.messages import Request
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS
from tests.unit.controlplane.cluster import config, endpoints, pod, service

SERVICES = 20
PROXIES = 3
STEPS = 10
MEGABYTE = 1024 * 1024
_HTTP = ("http", 8000)


class Plane:
    """A control plane without its servers, and proxies that acknowledge whatever they are sent."""

    def __init__(self) -> None:
        self.state = ClusterState()
        self.generator = Generator()
        for index in range(SERVICES):
            self.add_service(f"s{index}", index + 1)
        snapshot = self.state.snapshot()
        pods = [snapshot.pods["default", f"s{index}-0"] for index in range(PROXIES)]
        self.sessions = [(Proxy.of(each), Session()) for each in pods]
        for _, session in self.sessions:
            for url in (CDS, LDS):
                session.request(Request(url))

    def apply(self, kind: str, obj: dict[str, Any], event: str = "MODIFIED") -> None:
        """One event."""
        self.state.apply(FOLLOWED[kind], event, obj)

    def add_service(self, name: str, number: int, event: str = "ADDED") -> None:
        """A service of two pods; with `event` DELETED they go."""
        pods = [pod(f"{name}-{i}", f"10.{number // 250 + 1}.{number % 250}.{i + 1}", app=name) for i in range(2)]
        self.apply("Service", service(name, _HTTP, ip=f"10.96.{number // 250}.{number % 250 + 1}"), event)
        for each in pods:
            self.apply("Pod", each, event)
        self.apply("EndpointSlice", endpoints(name, *pods, ports=(_HTTP,)), event)

    def push(self) -> None:
        """Give all proxies what holds now."""
        snapshot = self.state.snapshot()
        for proxy, session in self.sessions:
            session.update(self.generator.generate(snapshot, proxy), snapshot.version)
            while responses := session.pump(time.monotonic()):
                for response in responses:
                    session.request(Request(response.type_url, nonce=response.nonce))
                    if response.type_url == CDS:
                        asked = tuple(resource.name for resource in response.resources)
                        session.request(Request(EDS, subscribe=asked, unsubscribe=response.removed))
            session.request(Request(RDS, subscribe=tuple(session.desired()[RDS])))
        if snapshot.version % 10 == 0:
            analyse(snapshot)  # the reporter asks for it at most ten times a second


def _route(plane: Plane, turn: int) -> None:
    shares = [{"destination": {"host": host}, "weight": 1 + turn} for host in ("s1", "s2")]
    _edit(plane, config("VirtualService", "v", {"hosts": ["s1"], "http": [{"route": shares}]}), turn)


def _policy(plane: Plane, turn: int) -> None:
    limit = {"connectionPool": {"tcp": {"maxConnections": 1 + turn}}}
    _edit(plane, config("DestinationRule", "d", {"host": "s1", "trafficPolicy": limit}), turn)


def _authorization(plane: Plane, turn: int) -> None:
    rule = {"to": [{"operation": {"paths": [f"/{turn}"]}}]}
    _edit(plane, config("AuthorizationPolicy", "a", {"action": "DENY", "rules": [rule]}), turn)


def _edit(plane: Plane, resource: dict[str, Any], turn: int) -> None:
    resource["metadata"]["generation"] = 1 + turn
    plane.apply(resource["kind"], resource)


def _endpoint(plane: Plane, turn: int) -> None:
    part = endpoints("s3", *(pod(f"s3-{i}", f"10.1.4.{i + 1}") for i in range(2)), ports=(_HTTP,))
    part["endpoints"][0]["conditions"]["ready"] = bool(turn % 2)
    plane.apply("EndpointSlice", part)


def _comer(plane: Plane, turn: int) -> None:
    plane.add_service(f"new{turn}", 1000 + turn % 1000)


def _goer(plane: Plane, turn: int) -> None:
    plane.add_service(f"new{turn - 1}", 1000 + (turn - 1) % 1000, "DELETED")


CHANGES: tuple[Callable[[Plane, int], None], ...] = (_route, _policy, _endpoint, _authorization, _comer, _goer)


def main(changes: int) -> None:
    """Print the resident size, and what a change cost, at each tenth of the way."""
    process, plane = psutil.Process(), Plane()
    plane.push()
    sys.stdout.write(f"{'changes':>8}{'MB':>9}{'ms a change':>13}\n")
    started = time.perf_counter()
    for turn in range(changes):
        CHANGES[turn % len(CHANGES)](plane, turn)
        plane.push()
        if (turn + 1) % (changes // STEPS) == 0:
            took = (time.perf_counter() - started) / (changes // STEPS) * 1000
            gc.collect()
            sys.stdout.write(f"{turn + 1:>8}{process.memory_info().rss / MEGABYTE:>9.1f}{took:>13.2f}\n")
            sys.stdout.flush()
            started = time.perf_counter()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)

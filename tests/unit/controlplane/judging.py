"""Judges the configuration of many resources in one run of Envoy; what it refuses is narrowed down to single ones."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mesh_lab.controlplane.istiokinds import decode
from mesh_lab.controlplane.istiokinds import validate as problems
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.typeurls import CDS, EDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, endpoints, pod, service
from tests.unit.controlplane.edges import Case
from tests.unit.controlplane.envoy import static, validate

BATCH = 400
CLIENT = "productpage-v1-abc-1"
# What a kind shapes nothing of costs Envoy the most.
_LEFT_OUT: dict[str, dict[str, Any]] = {
    "VirtualService": {CDS: {}, EDS: {}},
    "DestinationRule": {EDS: {}},
}
SUBSETS = [{"name": "v1", "labels": {"version": "v1"}}]


def accepted(case: Case) -> bool:
    """Whether a resource passes the checks."""
    try:
        spec = decode(case.kind, case.document)
    except DecodeError:
        return False
    return not any(problem.severity == "error" for problem in problems(spec))


def refused(cases: Sequence[Case]) -> Iterator[tuple[Case, str]]:
    """Those whose translation raises, or whose configuration Envoy refuses, with its words."""
    for start in range(0, len(cases), BATCH):
        yield from _refused(cases[start : start + BATCH])


def _refused(cases: Sequence[Case]) -> Iterator[tuple[Case, str]]:
    complaint = _complaint(cases)
    if complaint is None:
        return
    if len(cases) == 1:
        yield cases[0], complaint
        return
    middle = len(cases) // 2
    yield from _refused(cases[:middle])
    yield from _refused(cases[middle:])


def _complaint(cases: Sequence[Case]) -> str | None:
    try:
        cluster = _mesh(cases)
        snapshot, generator = cluster.snapshot(), Generator()
        assert not snapshot.invalid, snapshot.invalid
        analyse(snapshot)
        with tempfile.TemporaryDirectory() as directory:
            for proxy in _proxies(cluster, cases[0].kind):
                made = generator.generate(snapshot, proxy)
                validate(static({**made, **_LEFT_OUT.get(cases[0].kind, {})}), Path(directory))
    except Exception as error:  # noqa: BLE001 - what it is, is the answer
        return f"{type(error).__name__}: {error}"
    return None


def _proxies(cluster: Cluster, kind: str) -> Iterator[Proxy]:
    if kind != "Gateway":
        yield cluster.proxy(CLIENT)
    if kind in ("Gateway", "VirtualService"):
        yield cluster.proxy("gate-1", "istio-system", "router")


def _mesh(cases: Sequence[Case]) -> Cluster:
    """Each resource for a host, or a port, of its own, so that none hides another."""
    cluster = bookinfo()
    cluster.add("Pod", pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", meshed=False))
    front = [
        {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
        {"port": {"number": 443, "name": "tls", "protocol": "TLS"}, "hosts": ["*"], "tls": {"mode": "PASSTHROUGH"}},
        {"port": {"number": 9090, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]},
    ]
    cluster.istio(config("Gateway", "front", {"selector": {"app": "gate"}, "servers": front}, created="2025-01-01"))
    cluster.istio(config("DestinationRule", "reviews", {"host": "reviews", "subsets": SUBSETS}, created="2025-01-01"))
    secret = dict.fromkeys(("tls.crt", "tls.key", "ca.crt"), "cGVt")
    cluster.add("Secret", {"metadata": {"namespace": "istio-system", "name": "cert"}, "data": secret})
    for index, case in enumerate(cases):
        if case.kind in ("VirtualService", "DestinationRule"):
            _add_app(cluster, index, ("tcp", 9090) if "tcp" in case.document else ("http", 9080))
        cluster.istio(config(case.kind, f"c{index}", _own(case, index)))
    return cluster


def _add_app(cluster: Cluster, index: int, *ports: tuple[str, int]) -> None:
    name = f"s{index}"
    one = pod(f"{name}-1", f"10.{245 + index // 250}.{index % 250}.1", app=name, version="v1")
    cluster.add("Service", service(name, *ports, ip=f"10.97.{index // 250}.{index % 250 + 1}")).add("Pod", one)
    cluster.add("EndpointSlice", endpoints(name, one, ports=ports))


def _own(case: Case, index: int) -> dict[str, Any]:
    own = copy.deepcopy(case.document)
    if case.kind == "VirtualService" and not case.path.startswith("spec.hosts"):
        own["hosts"] = [f"s{index}"]
        if not case.path.startswith("spec.gateways"):
            own["gateways"] = ["mesh", "front"]
        for rule in own.get("tls", []):
            for match in rule["match"]:
                match["sniHosts"] = [f"s{index}" for _ in match["sniHosts"]]
    elif case.kind == "DestinationRule" and not case.path.startswith("spec.host"):
        own["host"] = f"s{index}"
    elif case.kind == "Gateway":
        for number, server in enumerate(own["servers"]):
            if "port.number" not in case.path:
                server["port"]["number"] = 2000 + 10 * index + number
    elif case.kind == "PeerAuthentication":
        own["selector"] = {"matchLabels": {"app": f"s{index}"}}
    return own

"""Consul's objects at the edges of their ranges: what passes the checks is translated, and Envoy takes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from mesh_lab.controlplane.dialects.consul import kinds
from mesh_lab.controlplane.dialects.consul.checks import problems
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.model.decoding import decode_as
from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds import Generator
from tests.unit.controlplane.cluster import Cluster, config, endpoints, pod, service
from tests.unit.controlplane.dialects.consul.objects import CLIENT, consul, defaults, statuses
from tests.unit.controlplane.edges import Case, cases_of
from tests.unit.controlplane.envoy import static, validate

BATCH = 200
SERVER = "reviews-v1-abc-1"


@cache
def accepted(kind: str) -> tuple[Case, ...]:
    """The objects that pass the checks."""
    return tuple(case for case in cases_of(getattr(kinds, kind)) if passes(case))


def passes(case: Case) -> bool:
    name = "global" if case.kind == "ProxyDefaults" else "a"
    try:
        spec = decode_as(getattr(kinds, case.kind), case.document)
    except DecodeError:
        return False
    return not any(problem.severity == "error" for problem in problems(name, spec))


def refused(cases: Sequence[Case]) -> Iterator[tuple[Case, str]]:
    """Those whose translation raises, or whose configuration Envoy refuses, with its words."""
    complaint = complained_of(cases)
    if complaint is None:
        return
    if len(cases) == 1:
        yield cases[0], complaint
        return
    middle = len(cases) // 2
    yield from refused(cases[:middle])
    yield from refused(cases[middle:])


def complained_of(cases: Sequence[Case]) -> str | None:
    try:
        cluster = mesh(cases)
        snapshot, generator = cluster.snapshot(), Generator()
        analyse(snapshot)
        statuses.statuses(snapshot)
        with tempfile.TemporaryDirectory() as directory:
            for name in (CLIENT, SERVER):
                validate(static(generator.generate(snapshot, cluster.proxy(name))), Path(directory))
    except Exception as error:  # noqa: BLE001 - what it is, is the answer
        return f"{type(error).__name__}: {error}"
    return None


def mesh(cases: Sequence[Case]) -> Cluster:
    """Each object for a service of its own, so that none hides another; there is one ProxyDefaults at a time."""
    cluster = consul(defaults("reviews"))
    for index, case in enumerate(cases):
        name = f"s{index}"
        one = pod(f"{name}-1", f"10.{245 + index // 250}.{index % 250}.1", app=name, version="v1")
        cluster.add("Service", service(name, ("http", 9080), ip=f"10.97.{index // 250}.{index % 250 + 1}"))
        cluster.add("Pod", one).add("EndpointSlice", endpoints(name, one, ports=(("http", 9080),)))
        if case.kind != "ServiceDefaults":
            cluster.istio(defaults(name))
        cluster.istio(config(case.kind, "global" if case.kind == "ProxyDefaults" else name, case.document))
    return cluster


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", [kind for kind in kinds.__all__ if kind != "ProxyDefaults"])
def test_what_passes_the_checks_envoy_takes(kind: str) -> None:
    some = accepted(kind)
    found = [each for start in range(0, len(some), BATCH) for each in refused(some[start : start + BATCH])]
    assert not [f"{case.path}: {str(case.document)[-200:]} {words[-400:]}" for case, words in found]


def test_each_of_proxy_defaults_is_taken() -> None:
    some = accepted("ProxyDefaults")
    assert not [(case.path, words) for case in some[:: max(1, len(some) // 8)] for _, words in refused([case])]


def test_they_are_more_than_two_thousand() -> None:
    assert sum(len(accepted(kind)) for kind in kinds.__all__) > 2_000

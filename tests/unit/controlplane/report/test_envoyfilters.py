"""What is said of EnvoyFilters: what finds nothing, what cannot be applied, and what Istio's analyser says."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds import Generator
from tests.unit.controlplane.cluster import Cluster, bookinfo
from tests.unit.controlplane.xds.patches.patched import envoy_filter, http, lua, patch

NOTHING = "matches nothing in the configuration of any proxy"


def injected() -> Cluster:
    """Bookinfo, whose pods have their proxies."""
    cluster = bookinfo()
    for pod in list(cluster.snapshot().pods.values()):
        proxy = {"name": "istio-proxy", "image": "proxyv2"}
        meta = {"namespace": pod.namespace, "name": pod.name, "labels": dict(pod.labels)}
        meta |= {"annotations": {"sidecar.istio.io/status": "{}"}}
        meta |= {"ownerReferences": [{"kind": "ReplicaSet", "name": f"{pod.workload}-abc", "controller": True}]}
        spec = {"serviceAccountName": pod.service_account, "nodeName": "lab", "containers": [proxy]}
        cluster.add("Pod", {"metadata": meta, "spec": spec, "status": {"podIP": pod.ip, "phase": "Running"}})
    assert all(pod.has_proxy for pod in cluster.snapshot().pods.values())
    return cluster


def said(*patches: dict[str, Any], **spec: Any) -> list[tuple[str, str, str]]:
    """Severity, code and message, but for Istio's warning of all EnvoyFilters."""
    cluster = injected().istio(envoy_filter(*patches, **spec))
    found = analyse(cluster.snapshot(), patched=Generator().patched)
    return [
        (each.severity, each.code, each.message)
        for each in found
        if each.origin.kind == "EnvoyFilter" and each.path != "spec"
    ]


def test_what_finds_its_subject_is_not_remarked_on() -> None:
    assert said(patch("HTTP_FILTER", "INSERT_FIRST", lua(), "SIDECAR_INBOUND", **http())) == []


@pytest.mark.parametrize(
    "change",
    [
        patch("HTTP_FILTER", "ADD", lua(), "GATEWAY"),
        patch("HTTP_FILTER", "MERGE", {"name": "x"}, "ANY", **http("envoy.router")),
        patch("CLUSTER", "MERGE", {"connect_timeout": "1s"}, cluster={"service": "nobody.default.svc.cluster.local"}),
        patch("EXTENSION_CONFIG", "ADD", lua("nobody-asks")),
    ],
)
def test_what_finds_nothing_is_told(change: dict[str, Any]) -> None:
    found = [each for each in said(change) if NOTHING in each[2]]
    assert [(severity, code) for severity, code, _ in found] == [("warning", "IST0133")]
    assert "spec.configPatches[0]" in found[0][2]


def test_where_there_is_no_such_proxy_it_is_left_open() -> None:
    chosen = {"workloadSelector": {"labels": {"app": "nobody"}}}
    assert not [text for _, _, text in said(patch("HTTP_FILTER", "ADD", lua(), "GATEWAY"), **chosen) if NOTHING in text]


def test_what_cannot_be_applied_is_an_error() -> None:
    found = said(patch("CLUSTER", "ADD", {"name": "BlackHoleCluster", "connect_timeout": "1s"}))
    assert [(severity, code) for severity, code, _ in found] == [("error", "IST0106")]
    assert "there is a cluster BlackHoleCluster already" in found[0][2]


def test_a_merge_of_another_type_is_an_error() -> None:
    found = said(patch("HTTP_FILTER", "MERGE", lua(""), **http("envoy.filters.http.router")))
    assert "Lua cannot be merged into a envoy.extensions.filters.http.router.v3.Router" in found[0][2]


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (patch("HTTP_FILTER", "INSERT_BEFORE", lua(), "SIDECAR_INBOUND", **http()), ["IST0151"]),
        (patch("ROUTE_CONFIGURATION", "ADD", {"name": "x"}), ["IST0153"]),
        (patch("ROUTE_CONFIGURATION", "REMOVE"), ["IST0154"]),
        (patch("CLUSTER", "REPLACE", {"name": "x"}), ["IST0152"]),
        (patch("HTTP_FILTER", "INSERT_FIRST", lua(), "SIDECAR_INBOUND"), []),
    ],
)
def test_operations_are_judged_as_istioctl_does(change: dict[str, Any], codes: list[str]) -> None:
    assert [code for _, code, _ in said(change) if code.startswith("IST015")] == codes


def test_a_priority_settles_the_order() -> None:
    assert said(patch("HTTP_FILTER", "INSERT_BEFORE", lua(), "SIDECAR_INBOUND", **http()), priority=10) == []

"""Namespaces, pods, services and selectors that do not do what their author may think."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds.gatewayapi.infrastructure import objects
from mesh_lab.controlplane.xds.gatewayapi.listeners import gateways
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, pod, service
from tests.unit.controlplane.xds.gatewayapi.objects import edge, gateway

CODES = ("IST0102", "IST0103", "IST0107", "IST0108", "IST0110", "IST0111", "IST0116", "IST0118", "IST0127", "IST0133")
OTHERS = ("IST0137",)


def found(cluster: Cluster) -> list[tuple[str, str, str]]:
    """Code, kind and name of what there is to say."""
    remarks = analyse(cluster.snapshot())
    return [(f.code, f.origin.kind, f.origin.name) for f in remarks if f.code in (*CODES, *OTHERS)]


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


def annotated(obj: dict[str, Any], **annotations: str) -> dict[str, Any]:
    names = {name.replace("__", "/").replace("_", "."): value for name, value in annotations.items()}
    obj["metadata"]["annotations"] = names
    return obj


@pytest.mark.parametrize(
    ("made", "codes"),
    [
        (namespace("shop"), ["IST0102"]),
        (namespace("shop", **{"istio-injection": "enabled"}), []),
        (namespace("shop", **{"istio-injection": "disabled"}), []),
        (namespace("shop", **{"istio.io/rev": "default"}), []),
        (namespace("kube-system"), []),
        (namespace("istio-system"), []),
    ],
)
def test_a_namespace_says_whether_it_is_injected(made: dict[str, Any], codes: list[str]) -> None:
    assert [code for code, _, _ in found(Cluster().add("Namespace", made))] == codes


def test_a_pod_of_an_injected_namespace_has_its_proxy_unless_it_says_no() -> None:
    cluster = Cluster().add("Namespace", namespace("default", **{"istio-injection": "enabled"}))
    cluster.add("Pod", pod("a-1", "10.0.0.1"), pod("b-1", "10.0.0.2", meshed=False))
    cluster.add("Pod", pod("c-1", "10.0.0.3", meshed=False, **{"sidecar.istio.io/inject": "false"}))
    assert found(cluster) == [("IST0103", "Pod", "b-1")]


def test_the_name_of_a_port_tells_its_protocol() -> None:
    cluster = Cluster().add("Service", service("db", ("postgres", 5432), ("tcp-admin", 81), ("http", 80)))
    cluster.add("Service", service("gate", ("status-port", 15021), namespace="istio-system"))
    assert found(cluster) == [("IST0118", "Service", "db")]


def test_services_of_a_workload_agree_on_transports_and_targets() -> None:
    one = service("one", ports=[{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}])
    two = service("two", ports=[{"name": "udp", "port": 80, "targetPort": 53, "protocol": "UDP"}])
    three = service("three", ports=[{"name": "http", "port": 81, "targetPort": 8080, "protocol": "TCP"}])
    for each in (one, two, three):
        each["spec"]["selector"] = {"app": "web"}
    cluster = Cluster().add("Pod", pod("web-1", "10.0.0.1")).add("Service", one, two, three)
    remarks = sorted(found(cluster))
    assert [each for each in remarks if each[0] == "IST0116"] == [
        ("IST0116", "Service", "one"),
        ("IST0116", "Service", "two"),
    ]
    assert [each for each in remarks if each[0] == "IST0137"] == [
        ("IST0137", "Service", "one"),
        ("IST0137", "Service", "three"),
    ]


@pytest.mark.parametrize("kind", ["AuthorizationPolicy", "PeerAuthentication"])
def test_a_policy_selects_somebody(kind: str) -> None:
    cluster = bookinfo()
    cluster.istio(config(kind, "good", {"selector": {"matchLabels": {"app": "reviews"}}}))
    cluster.istio(config(kind, "bad", {"selector": {"matchLabels": {"app": "nobody"}}}))
    assert found(cluster) == [("IST0127", kind, "bad")]
    cluster.istio(config("WorkloadEntry", "vm", {"address": "172.31.0.7", "labels": {"app": "nobody"}}))
    assert found(cluster) == []


def test_what_istiod_writes_on_the_entry_of_a_machine_is_understood() -> None:
    entry = config("WorkloadEntry", "vm", {"address": "172.31.0.7"})
    entry["metadata"]["labels"] = {"service.istio.io/canonical-name": "vm", "security.istio.io/tlsMode": "istio"}
    names = ("autoRegistrationGroup", "workloadController", "connectedAt", "disconnectedAt")
    entry["metadata"]["annotations"] = {f"istio.io/{name}": "x" for name in names}
    assert found(bookinfo().istio(entry)) == []


def test_a_namespace_has_one_sidecar_for_each_pod() -> None:
    egress = {"egress": [{"hosts": ["*/*"]}]}
    cluster = bookinfo().istio(config("Sidecar", "a", egress), config("Sidecar", "b", egress))
    for name in ("c", "d"):
        cluster.istio(config("Sidecar", name, {**egress, "workloadSelector": {"labels": {"app": "ratings"}}}))
    assert found(cluster) == [
        ("IST0111", "Sidecar", "a"),
        ("IST0111", "Sidecar", "b"),
        ("IST0110", "Sidecar", "c"),
        ("IST0110", "Sidecar", "d"),
    ]


@pytest.mark.parametrize(
    ("kind", "made", "said"),
    [
        ("Pod", annotated(pod("a-1", "10.0.0.1"), sidecar_istio_io__logLevel="debug"), []),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), sidecar_istio_io__loglevel="debug"), ["IST0108"]),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), sidecar_istio_io__proxyCPU="1"), []),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), sidecar_istio_io__agentLogLevel="debug"), ["IST0133"]),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), sidecar_istio_io__interceptionMode="TPROXY"), ["IST0133"]),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), sidecar_istio_io__interceptionMode="REDIRECT"), []),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), status_sidecar_istio_io__port="15000"), ["IST0133"]),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), status_sidecar_istio_io__port="0"), []),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), networking_istio_io__exportTo="."), ["IST0107"]),
        ("Service", annotated(service("a", ("http", 80)), networking_istio_io__exportTo="."), []),
        ("Service", annotated(service("a", ("http", 80)), sidecar_istio_io__inject="true"), ["IST0107"]),
        ("Deployment", annotated({"metadata": {"name": "a"}}, proxy_istio_io__config="{}"), ["IST0107"]),
        ("Deployment", {"metadata": {"name": "a", "labels": {"sidecar.istio.io/inject": "false"}}}, ["IST0107"]),
        ("Deployment", {"metadata": {"name": "a", "labels": {"app": "a"}}}, []),
        ("Namespace", namespace("a", **{"istio-injection": "enabled", "sidecar.istio.io/inject": "true"}), ["IST0107"]),
        (
            "Namespace",
            namespace("a", **{"istio-injection": "disabled", "istio.io/dataplane-mode": "ambient"}),
            ["IST0133"],
        ),
        ("Pod", pod("a-1", "10.0.0.1", **{"istio-injection": "enabled"}), ["IST0107"]),
        ("Pod", pod("a-1", "10.0.0.1", **{"sidecar.istio.io/injct": "false"}), ["IST0108"]),
        ("Pod", pod("a-1", "10.0.0.1", **{"shop.istio.io/shelf": "7"}), []),
        ("Pod", pod("a-1", "10.0.0.1", **{"istio.io/rev": "default"}), []),
        ("Pod", pod("a-1", "10.0.0.1", **{"istio.io/rev": "canary"}), ["IST0133"]),
        ("Namespace", namespace("a", **{"istio.io/rev": "canary"}), ["IST0133"]),
        ("Namespace", namespace("a", **{"istio-injection": "enable"}), ["IST0133"]),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), proxy_istio_io__config="concurrency: 2"), []),
        ("Pod", annotated(pod("a-1", "10.0.0.1"), proxy_istio_io__config="concurrencyy: 2"), ["IST0133"]),
        (
            "Pod",
            annotated(pod("a-1", "10.0.0.1"), proxy_istio_io__config="proxyStatsMatcher: {inclusionSuffix: [x]}"),
            ["IST0133"],
        ),
    ],
)
def test_annotations_and_labels_are_known_in_their_place_and_have_an_effect(
    kind: str, made: dict[str, Any], said: list[str]
) -> None:
    assert [code for code, _, _ in found(Cluster().add(kind, made))] == said


@pytest.mark.parametrize(
    ("kind", "annotations", "labels", "said"),
    [
        ("AuthorizationPolicy", {"istio.io/dry-run": "true"}, {}, []),
        ("AuthorizationPolicy", {"istio.io/dry-runs": "true"}, {}, ["IST0108"]),
        ("AuthorizationPolicy", {"sidecar.istio.io/inject": "true"}, {}, ["IST0107"]),
        ("AuthorizationPolicy", {"kubectl.kubernetes.io/last-applied-configuration": "{}"}, {"app": "x"}, []),
        ("VirtualService", {"networking.istio.io/exportTo": "."}, {}, ["IST0107"]),
        ("VirtualService", {}, {"istio.io/rev": "default"}, []),
        ("VirtualService", {}, {"istio.io/rev": "canary"}, ["IST0133"]),
        ("Gateway", {}, {"sidecar.istio.io/inject": "true"}, ["IST0107"]),
        ("Gateway", {"networking.istio.io/service-type": "NodePort"}, {}, ["IST0133"]),
    ],
)
def test_the_metadata_of_the_meshs_resources_is_read_too(
    kind: str, annotations: dict[str, str], labels: dict[str, str], said: list[str]
) -> None:
    specs: dict[str, dict[str, Any]] = {
        "AuthorizationPolicy": {},
        "VirtualService": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]},
        "Gateway": {"servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]},
    }
    made = config(kind, "one", specs[kind])
    made["metadata"] |= {"annotations": annotations, "labels": labels}
    assert [code for code, _, _ in found(Cluster().istio(made))] == said


def test_what_is_deployed_for_a_gateway_is_nothing_to_remark_on() -> None:
    cluster = edge(gateway(infrastructure={"labels": {"team": "a"}}))
    (state,) = gateways(Sources.of(cluster.snapshot()))
    for each in (each for each in objects(state) if each["kind"] in ("Deployment", "Service")):
        cluster.add(each["kind"], each)
        if each["kind"] == "Deployment":
            made = pod("edge-istio-2", "10.244.1.2", app="edge", meshed=False)
            made["metadata"]["labels"] = each["spec"]["template"]["metadata"]["labels"]
            cluster.add("Pod", made)
    remarks = analyse(cluster.snapshot())
    assert [f for f in remarks if f.code in CODES and f.origin.name.startswith("edge-istio")] == []


def test_a_misspelt_annotation_names_the_one_that_may_be_meant() -> None:
    made = annotated(pod("a-1", "10.0.0.1"), sidecar_istio_io__injet="true")
    (remark,) = analyse(Cluster().add("Pod", made).snapshot())
    assert remark.message == "Unknown annotation: sidecar.istio.io/injet (is it sidecar.istio.io/inject?)"


def test_what_belongs_on_the_pods_of_a_deployment_says_where() -> None:
    made = annotated({"metadata": {"name": "a"}}, sidecar_istio_io__inject="true")
    (remark,) = analyse(Cluster().add("Deployment", made).snapshot())
    assert "spec.template.metadata.annotations" in remark.message

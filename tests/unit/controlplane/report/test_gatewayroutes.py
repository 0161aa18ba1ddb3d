"""Findings on routes of the Gateway API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.world.gatewayapi import GATEWAY
from mesh_lab.controlplane.xds.gatewayapi.statuses import Key, Release, statuses
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.xds.gatewayapi.objects import edge, gateway, listener, made, route, rule, to
from tests.unit.controlplane.xds.gatewayapi.test_connections import secret


def found(*rules: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    cluster = edge().add("HTTPRoute", route("r", *rules, **more))
    return [(each.severity, each.text) for each in analyse(cluster.snapshot()) if each.origin.kind == "HTTPRoute"]


def test_a_good_route_has_none() -> None:
    assert found(rule(to("reviews"))) == []


@pytest.mark.parametrize(
    ("rules", "more", "severity", "reason"),
    [
        (rule(to("nobody")), {}, "warning", "BackendNotFound"),
        (rule(to("reviews"), filters=[{"type": "Later"}]), {}, "error", "UnsupportedValue"),
        (rule(to("reviews")), {"parent": {"name": "edge", "port": 1}}, "error", "NoMatchingParent"),
    ],
)
def test_what_the_status_says_is_found(rules: dict[str, Any], more: Any, severity: str, reason: str) -> None:
    ((grave, text),) = found(rules, **more)
    assert grave == severity
    assert text.startswith(f"{reason}: ")


def test_a_gateway_that_is_refused_is_in_error() -> None:
    parameters = {"group": "", "kind": "ConfigMap", "name": "x"}
    cluster = edge(gateway(infrastructure={"parametersRef": parameters}))
    (finding,) = (each for each in analyse(cluster.snapshot()) if each.origin.kind == "KubernetesGateway")
    assert finding.severity == "error"


def of_kind(cluster: Cluster, *kinds: str) -> list[tuple[str, str, str]]:
    """Severity, object and text of what is found on objects of some kinds."""
    remarks = analyse(cluster.snapshot())
    return [(each.severity, each.origin.name, each.text) for each in remarks if each.origin.kind in kinds]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (listener("bad", protocol="SCTP", port=53), "UnsupportedProtocol: listener bad: "),
        (listener("bad", protocol="TCP"), "ProtocolConflict: listener bad: port 80 "),
        (listener("bad"), "HostnameConflict: listener bad: port 80 "),
        (
            listener("bad", 443, "HTTPS", tls={"certificateRefs": [{"name": "none"}]}),
            "InvalidCertificateRef: listener bad: Secret default/none: ",
        ),
        (
            listener("bad", 443, "HTTPS", tls={"certificateRefs": [{"name": "c", "namespace": "shop"}]}),
            "RefNotPermitted: listener bad: Secret shop/c: ",
        ),
    ],
)
def test_a_listener_that_is_not_served_is_found(wrong: dict[str, Any], says: str) -> None:
    ((severity, name, text),) = of_kind(edge(gateway(listener("good"), wrong)), GATEWAY)
    assert (severity, name) == ("error", "edge")
    assert text.startswith(says)


def test_of_certificates_that_are_there_in_part_is_warned(tmp_path: Path) -> None:
    tls = {"certificateRefs": [{"name": "cert"}, {"name": "none"}]}
    cluster = edge(gateway(listener("https", 443, "HTTPS", tls=tls))).add("Secret", secret(tmp_path))
    ((severity, _, text),) = of_kind(cluster, GATEWAY)
    assert (severity, text.partition(":")[0]) == ("warning", "InvalidCertificateRef")


@pytest.mark.parametrize(
    ("parent", "says"),
    [
        ({"name": "none"}, 'Referenced Gateway not found: "default/none"'),
        ({"name": "edge", "namespace": "shop"}, 'Referenced Gateway not found: "shop/edge"'),
        ({"name": "none", "kind": "ListenerSet"}, 'Referenced ListenerSet not found: "default/none"'),
        ({"name": "edge", "kind": "Ingress"}, 'Referenced Ingress not found: "default/edge"'),
    ],
)
def test_a_parent_that_is_not_there_is_found_though_no_status_says_it(parent: dict[str, Any], says: str) -> None:
    cluster = edge().add("HTTPRoute", route("r", rule(to("reviews")), parent=parent))
    assert of_kind(cluster, "HTTPRoute") == [("error", "r", f"spec.parentRefs: {says}")]
    assert Key("HTTPRoute", "default", "r") not in statuses(cluster.snapshot(), Release())


def test_a_listener_set_without_its_gateway_and_one_that_is_not_taken_are_found() -> None:
    cluster = edge()
    for name, parent in (("lost", "none"), ("unwanted", "edge")):
        cluster.add("ListenerSet", made(name, {"parentRef": {"name": parent}, "listeners": [listener("a", 8080)]}))
    lost, unwanted = sorted(of_kind(cluster, "ListenerSet"), key=lambda each: each[1])
    assert lost == ("error", "lost", 'spec.parentRef: Referenced Gateway not found: "default/none"')
    assert unwanted[:2] == ("error", "unwanted")
    assert unwanted[2].startswith("NotAllowed: ")


def test_a_class_that_is_not_there_is_found_and_of_anothers_nothing_is_said() -> None:
    lost = made("lost", {"gatewayClassName": "none", "listeners": [listener()]})
    theirs = made("theirs", {"gatewayClassName": "theirs", "listeners": [listener()]})
    cluster = edge(lost, theirs).add("GatewayClass", made("theirs", {"controllerName": "example.com/x"}, namespace=""))
    assert of_kind(cluster, GATEWAY) == [
        ("error", "lost", 'spec.gatewayClassName: Referenced GatewayClass not found: "none"')
    ]

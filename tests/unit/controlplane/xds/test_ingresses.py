"""Ingresses of Istio's class at a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.xds.typeurls import CDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, mesh_config
from tests.unit.controlplane.envoy import static, validate
from tests.unit.controlplane.xds.gateways import edge, gateway, route, sent, server
from tests.unit.controlplane.xds.translated import hosts_of

ISTIO = {"kubernetes.io/ingress.class": "istio"}


def path(where: str, to: str = "reviews", kind: str = "Prefix", port: int | str = 9080) -> dict[str, Any]:
    number = {"number": port} if isinstance(port, int) else {"name": port}
    return {"path": where, "pathType": kind, "backend": {"service": {"name": to, "port": number}}}


def ingress(
    *paths: dict[str, Any], host: str = "", name: str = "web", annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    rule = {"http": {"paths": list(paths)}} | ({"host": host} if host else {})
    meta = {"namespace": "default", "name": name, "creationTimestamp": "2026-01-01"}
    meta |= {"annotations": ISTIO if annotations is None else annotations}
    return {"metadata": meta, "spec": {"rules": [rule]} | spec}


def served(cluster: Cluster, name: str = "http.8080") -> dict[str, list[str]]:
    """By host the paths that have routes."""
    found = sent(cluster)
    if name not in found[RDS]:
        return {}
    return {
        host.domains[0]: [r.match.path or r.match.safe_regex.regex or r.match.prefix for r in host.routes]
        for host in hosts_of(found, name).values()
    }


def test_paths_lead_to_services_the_longest_first(tmp_path: Path) -> None:
    paths = [path("/"), path("/status"), path("/status/200/", "details"), path("/status", "ratings", "Exact")]
    cluster = edge().add("Ingress", ingress(*paths, host="a.example.com"))
    assert served(cluster) == {"a.example.com": [r"/status/200(/.*)?", "/status", r"/status(/.*)?", "/"]}
    found = sent(cluster)
    assert "outbound|9080||details.default.svc.cluster.local" in found[CDS]
    assert {o.kind for o in found[RDS]["http.8080"].origins} >= {"Ingress"}
    validate(static(found), tmp_path)


def test_a_port_may_be_named_and_hosts_may_be_all() -> None:
    cluster = edge().add("Ingress", ingress(path("/a", port="http"), path("/b", port="none")))
    assert served(cluster) == {"*": [r"/a(/.*)?"]}


def test_what_no_path_takes_goes_to_the_default_backend() -> None:
    default = {"service": {"name": "details", "port": {"number": 9080}}}
    cluster = edge().add("Ingress", ingress(path("/a"), defaultBackend=default))
    assert served(cluster) == {"*": [r"/a(/.*)?", "/"]}


def test_ingresses_share_a_host() -> None:
    both = [ingress(path("/a"), host="h.example"), ingress(path("/b"), host="h.example", name="more")]
    assert served(edge().add("Ingress", *both)) == {"h.example": [r"/b(/.*)?", r"/a(/.*)?"]}


def test_tls_ends_with_a_secret_beside_the_gateway() -> None:
    tls = [{"secretName": "cert", "hosts": ["a.example.com"]}]
    cluster = edge().add("Ingress", ingress(path("/"), host="a.example.com", tls=tls))
    found = sent(cluster)
    assert "0.0.0.0_8443" in found[LDS]
    assert any("https-443-ingress-web-default-0" in name for name in found[RDS])


@pytest.mark.parametrize(
    ("annotations", "class_name", "mode", "ours"),
    [
        ({"kubernetes.io/ingress.class": "nginx"}, "", "STRICT", False),
        ({}, "", "STRICT", False),
        ({}, "", "DEFAULT", True),
        (ISTIO, "", "OFF", False),
        ({}, "istio", "STRICT", True),
        ({}, "nginx", "STRICT", False),
    ],
)
def test_only_those_of_its_class(annotations: dict[str, str], class_name: str, mode: str, ours: bool) -> None:
    classes = {"istio": "istio.io/ingress-controller", "nginx": "k8s.io/ingress-nginx"}
    cluster = edge().add("ConfigMap", mesh_config(f"ingressControllerMode: '{mode}'"))
    for name, controller in classes.items():
        cluster.add("IngressClass", {"metadata": {"name": name}, "spec": {"controller": controller}})
    more = {"ingressClassName": class_name} if class_name else {}
    cluster.add("Ingress", ingress(path("/"), annotations=annotations, **more))
    assert bool(served(cluster)) is ours


def test_it_stands_beside_gateways() -> None:
    cluster = edge().istio(gateway(server(80, "HTTP", "b.example.com")), route("b.example.com"))
    cluster.add("Ingress", ingress(path("/"), host="a.example.com"))
    assert set(served(cluster)) == {"a.example.com", "b.example.com"}

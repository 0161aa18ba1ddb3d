"""Listeners for TLS and TCP, their routes, and the certificates that they name."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from mesh_lab.controlplane.delivery import secrets
from mesh_lab.controlplane.world.gatewayapi import GATEWAY
from mesh_lab.controlplane.xds.typeurls import LDS
from tests.unit.apps.samples.certificates import Authority
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.gatewayapi.objects import (
    POD,
    edge,
    gateway,
    holds,
    listener,
    made,
    of_parent,
    route,
    rule,
    sent,
    status,
    to,
)

REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"


def chains(cluster: Cluster, name: str) -> list[Any]:
    return list(message(sent(cluster)[LDS][name]).filter_chains)


def secret(tmp_path: Path, name: str = "cert", namespace: str = "default") -> dict[str, Any]:
    files = Authority(tmp_path, name).issue("a.example.com")
    data = {"tls.crt": files.certificate, "tls.key": files.key}
    encoded = {key: base64.b64encode(path.read_bytes()).decode() for key, path in data.items()}
    return {"metadata": {"namespace": namespace, "name": name}, "data": encoded}


def secured(**more: Any) -> dict[str, Any]:
    tls = {"certificateRefs": [{"name": "cert", **more.pop("ref", {})}]}
    return gateway(listener("https", 443, "HTTPS", hostname="a.example.com", tls=tls), **more)


def test_connections_are_passed_through_by_server_name(tmp_path: Path) -> None:
    passing = listener("tls", 443, "TLS", tls={"mode": "Passthrough"})
    spec = {"parentRefs": [{"name": "edge"}], "hostnames": ["a.example.com"], "rules": [rule(to("reviews"))]}
    cluster = edge(gateway(passing)).add("TLSRoute", made("r", spec))
    (chain,) = chains(cluster, "0.0.0.0_443")
    assert list(chain.filter_chain_match.server_names) == ["a.example.com"]
    assert of_parent(cluster, "TLSRoute", "r")["Accepted"] == ("True", "Accepted")
    validate(static(sent(cluster)), tmp_path)


def test_connections_of_any_protocol(tmp_path: Path) -> None:
    spec = {"parentRefs": [{"name": "edge"}], "rules": [rule(to("reviews", weight=3), to("ratings", weight=1))]}
    cluster = edge(gateway(listener("tcp", 9000, "TCP"))).add("TCPRoute", made("r", spec))
    assert len(chains(cluster, "0.0.0.0_9000")) == 1
    validate(static(sent(cluster)), tmp_path)
    cluster.add("TCPRoute", made("two", {**spec, "rules": [rule(), rule()]}))
    assert of_parent(cluster, "TCPRoute", "two")["Accepted"] == ("False", "UnsupportedValue")


def test_where_tls_ends_a_route_takes_its_own_names_only(tmp_path: Path) -> None:
    tls = {"mode": "Terminate", "certificateRefs": [{"name": "cert"}]}
    cluster = edge(gateway(listener("tls", 443, "TLS", tls=tls))).add("Secret", secret(tmp_path))
    for name, backend, created in (
        ("*.example.com", "ratings", "2025-01-01"),
        ("a.example.com", "reviews", "2024-01-01"),
    ):
        spec = {"parentRefs": [{"name": "edge"}], "hostnames": [name], "rules": [rule(to(backend))]}
        cluster.add("TLSRoute", made(backend, spec, created=created))
    found = {
        tuple(chain.filter_chain_match.server_names): TcpProxy.FromString(chain.filters[-1].typed_config.value).cluster
        for chain in chains(cluster, "0.0.0.0_443")
    }
    assert found == {("*.example.com",): REVIEWS.replace("reviews", "ratings"), ("a.example.com",): REVIEWS}
    validate(static(sent(cluster)), tmp_path)


def test_datagrams_are_refused() -> None:
    spec = {"parentRefs": [{"name": "edge"}], "rules": [rule(to("reviews"))]}
    cluster = edge().add("UDPRoute", made("r", spec))
    assert of_parent(cluster, "UDPRoute", "r")["Accepted"] == ("False", "NotAllowedByListeners")


def test_a_gateway_is_given_the_certificates_that_it_names_and_no_others(tmp_path: Path) -> None:
    cluster = edge(secured()).add("Secret", secret(tmp_path), secret(tmp_path, "other"))
    cluster.add("HTTPRoute", route("r", rule(to("reviews"))))
    (chain,) = chains(cluster, "0.0.0.0_443")
    assert list(chain.filter_chain_match.server_names) == ["a.example.com"]
    snapshot, proxy = cluster.snapshot(), cluster.proxy(POD, kind="router")
    assert secrets.credential(snapshot, proxy, "kubernetes://default/cert") is not None
    assert secrets.credential(snapshot, proxy, "kubernetes://default/other") is None
    sidecar = cluster.proxy("reviews-v1-abc-1")
    assert secrets.credential(snapshot, sidecar, "kubernetes://default/cert") is None


def test_a_certificate_of_another_namespace_needs_a_grant(tmp_path: Path) -> None:
    cluster = edge(secured(ref={"namespace": "shop"})).add("Secret", secret(tmp_path, namespace="shop"))
    proxy, name = cluster.proxy(POD, kind="router"), "kubernetes://shop/cert"
    assert secrets.credential(cluster.snapshot(), proxy, name) is None
    by = [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "default"}]
    grant = {"from": by, "to": [{"group": "", "kind": "Secret"}]}
    cluster.add("ReferenceGrant", made("g", grant, namespace="shop"))
    assert secrets.credential(cluster.snapshot(), proxy, name) is not None


def test_a_broken_certificate_is_told_and_not_sent() -> None:
    data = {"tls.crt": base64.b64encode(b"none").decode(), "tls.key": base64.b64encode(b"none").decode()}
    cluster = edge(secured()).add("Secret", {"metadata": {"namespace": "default", "name": "cert"}, "data": data})
    (found,) = status(cluster, GATEWAY, "edge")["listeners"]
    assert holds(found["conditions"], "ResolvedRefs") == ("False", "InvalidCertificateRef")
    assert not sent(cluster)[LDS]


def test_clients_certificates_are_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "clients").certificate.read_text()
    validation = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}
    asking = secured(tls={"frontend": {"default": {"validation": validation}}})
    cluster = edge(asking).add("Secret", secret(tmp_path))
    (found,) = status(cluster, GATEWAY, "edge")["listeners"]
    assert holds(found["conditions"], "Accepted") == ("False", "NoValidCACertificate")
    config_map = {"metadata": {"namespace": "default", "name": "ca"}, "data": {"ca.crt": authority}}
    cluster.add("ConfigMap", config_map)
    assert len(chains(cluster, "0.0.0.0_443")) == 1
    proxy = cluster.proxy(POD, kind="router")
    assert secrets.credential(cluster.snapshot(), proxy, "kubernetes://default/ca-cacert") is not None


def test_listeners_of_others_come_after_the_gateways_own() -> None:
    allowing = gateway(listener(hostname="a.example.com"), allowedListeners={"namespaces": {"from": "Same"}})
    listeners = [listener("same", hostname="a.example.com"), listener("more", hostname="b.example.com")]
    spec = {"parentRef": {"name": "edge"}, "listeners": listeners}
    cluster = edge(allowing).add("ListenerSet", made("s", spec))
    found = status(cluster, "ListenerSet", "s")
    assert holds(found["conditions"], "Accepted") == ("True", "ListenersNotValid")
    assert holds(found["listeners"][0]["conditions"], "Programmed") == ("False", "HostnameConflict")
    assert holds(found["listeners"][1]["conditions"], "Conflicted") == ("False", "NoConflicts")

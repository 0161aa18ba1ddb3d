"""Sidecar.ingress: the ports on which a workload is called, and where its application listens for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds.typeurls import CDS, RDS
from tests.unit.controlplane.authorities import signer
from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.envoy import static, validate
from tests.unit.controlplane.xds.translated import CLIENT, cluster_of, listener_of, resources


def stating(*ports: int, endpoint: str = "", **spec: Any) -> Cluster:
    port = {"protocol": "HTTP", "name": "http"}
    listeners = [{"port": {**port, "number": number}, "defaultEndpoint": endpoint} for number in ports]
    return bookinfo().istio(config("Sidecar", "own", {"ingress": listeners, **spec}))


def chains(cluster: Cluster) -> set[int]:
    found = listener_of(cluster, "virtualInbound").filter_chains
    return {chain.filter_chain_match.destination_port.value for chain in found} - {0, 15006}


def test_without_one_the_services_name_the_ports() -> None:
    assert chains(bookinfo()) == {9080}


def test_the_stated_ports_are_the_only_ones() -> None:
    cluster = stating(8081, 8082)
    assert chains(cluster) == {8081, 8082}
    found = resources(cluster)
    assert {"inbound|8081||", "inbound|8082||"} <= set(found[CDS])
    assert "inbound|9080||" not in found[CDS]
    assert ("Sidecar", "default", "own") in {origin.key for origin in found[RDS]["inbound|8081||"].origins}


def test_a_port_of_a_proxy_speaks_http() -> None:
    """As in Istio, and not what the first bytes look like."""

    def routed(protocol: str) -> bool:
        port = {"number": 8081, "name": "p", "protocol": protocol}
        cluster = bookinfo().istio(config("Sidecar", "own", {"ingress": [{"port": port}]}))
        found = listener_of(cluster, "virtualInbound").filter_chains
        here = [each for each in found if each.filter_chain_match.destination_port.value == 8081]
        filters = [each.filters[-1].name for each in here]
        return set(filters) == {"envoy.filters.network.http_connection_manager"}

    assert routed("HTTP_PROXY")
    assert routed("HTTP")
    assert not routed("TCP")


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("", ("10.244.0.10", 8081)),
        ("127.0.0.1:9080", ("127.0.0.1", 9080)),
        ("0.0.0.0:9080", ("10.244.0.10", 9080)),
    ],
)
def test_where_the_application_listens(endpoint: str, expected: tuple[str, int], tmp_path: Path) -> None:
    cluster = stating(8081, endpoint=endpoint)
    (locality,) = cluster_of(cluster, "inbound|8081||").load_assignment.endpoints
    address = locality.lb_endpoints[0].endpoint.address.socket_address
    assert (address.address, address.port_value) == expected
    validate(static(resources(cluster)), tmp_path)


def test_an_application_may_listen_on_a_socket(tmp_path: Path) -> None:
    cluster = stating(8081, endpoint="unix:///run/app.sock")
    (locality,) = cluster_of(cluster, "inbound|8081||").load_assignment.endpoints
    assert locality.lb_endpoints[0].endpoint.address.pipe.path == "/run/app.sock"
    validate(static(resources(cluster)), tmp_path)


def test_a_stated_port_has_its_own_limits_before_those_of_the_sidecar() -> None:
    def limit(number: int) -> dict[str, Any]:
        return {"tcp": {"maxConnections": number}}

    listeners = [
        {"port": {"number": 8081, "protocol": "TCP"}, "connectionPool": limit(7)},
        {"port": {"number": 8082, "protocol": "TCP"}},
    ]
    cluster = bookinfo().istio(
        config("Sidecar", "own", {"ingress": listeners, "inboundConnectionPool": limit(9)}),
    )
    limits = [cluster_of(cluster, f"inbound|{port}||").circuit_breakers.thresholds[0] for port in (8081, 8082)]
    assert [each.max_connections.value for each in limits] == [7, 9]


def test_an_entry_that_selects_the_pod_names_its_port() -> None:
    spec = {
        "hosts": ["page.example.com"],
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 7070}],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "workloadSelector": {"labels": {"app": "productpage"}},
    }
    cluster = bookinfo().istio(config("ServiceEntry", "page", spec))
    assert chains(cluster) == {7070, 9080}
    assert "inbound|7070||" in resources(cluster, CLIENT)[CDS]


FILES = {"serverCertificate": "server.pem", "privateKey": "server.key", "caCertificates": "ca.pem"}


def ending(tls: dict[str, Any], mode: str = "DISABLE", protocol: str = "HTTPS") -> Cluster:
    """A Sidecar whose port 8443 ends TLS, with a mode of the mesh's TLS for it."""
    port = {"number": 8443, "protocol": protocol, "name": "own"}
    listener = {"port": port, "tls": tls, "defaultEndpoint": "0.0.0.0:9080"}
    policy = {
        "selector": {"matchLabels": {"app": "productpage"}},
        "mtls": {"mode": "STRICT"},
        "portLevelMtls": {"8443": {"mode": mode}},
    }
    selected = {"workloadSelector": {"labels": {"app": "productpage"}}}
    made = bookinfo().istio(config("PeerAuthentication", "p", policy))
    return made.istio(config("Sidecar", "own", {"ingress": [listener], **selected}))


def chains_of(cluster: Cluster, number: int) -> list[Any]:
    found = listener_of(cluster, "virtualInbound").filter_chains
    return [chain for chain in found if chain.filter_chain_match.destination_port.value == number]


def own_tls(chain: Any) -> DownstreamTlsContext:
    context = DownstreamTlsContext()
    assert chain.transport_socket.typed_config.Unpack(context)
    return context


def manager_of(chain: Any) -> HttpConnectionManager:
    manager = HttpConnectionManager()
    assert chain.filters[-1].typed_config.Unpack(manager)
    return manager


def test_tls_of_a_stated_port_is_ended_with_the_sidecars_files() -> None:
    (chain,) = chains_of(ending({"mode": "MUTUAL", **FILES}), 8443)
    assert chain.filter_chain_match.transport_protocol == "tls", "nothing but TLS finds a chain"
    context = own_tls(chain)
    assert context.require_client_certificate.value
    common = context.common_tls_context
    assert [c.certificate_chain.filename for c in common.tls_certificates] == ["server.pem"]
    assert common.validation_context.trusted_ca.filename == "ca.pem"
    assert list(common.alpn_protocols) == ["h2", "http/1.1"]
    manager = manager_of(chain)
    assert manager.rds.route_config_name == "inbound|8443||"
    assert manager.forward_client_cert_details == HttpConnectionManager.SANITIZE_SET


def test_with_simple_tls_nobody_is_asked_for_a_certificate_and_none_is_passed_on() -> None:
    files = {name: FILES[name] for name in ("serverCertificate", "privateKey")}
    (chain,) = chains_of(ending({"mode": "SIMPLE", **files}), 8443)
    assert not own_tls(chain).require_client_certificate.value
    assert manager_of(chain).forward_client_cert_details == HttpConnectionManager.SANITIZE


def test_what_is_in_tls_is_not_read_unless_it_is_http() -> None:
    (chain,) = chains_of(ending({"mode": "MUTUAL", **FILES}, protocol="TLS"), 8443)
    proxy = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(proxy)
    assert proxy.cluster == "inbound|8443||"


def test_the_inspector_of_tls_looks_at_the_port(tmp_path: Path) -> None:
    issued = signer("server")
    for name, content in (("server.pem", issued.pem), ("server.key", issued.key), ("ca.pem", issued.pem)):
        (tmp_path / name).write_bytes(content)
    cluster = ending({"mode": "MUTUAL", **{kind: str(tmp_path / name) for kind, name in FILES.items()}})
    inspector = next(f for f in listener_of(cluster, "virtualInbound").listener_filters if "tls" in f.name)
    assert inspector.filter_disabled.ByteSize() == 0, "all ports are looked at"
    validate(static(resources(cluster)), tmp_path)


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
def test_the_meshs_tls_comes_before_it_and_the_sidecar_says_so(mode: str) -> None:
    cluster = ending({"mode": "MUTUAL", **FILES}, mode)
    names = {chain.name for chain in chains_of(cluster, 8443)}
    assert "8443-mtls-http" in names
    assert "8443-tls-http" not in names
    (finding,) = [f for f in analyse(cluster.snapshot()) if f.origin.kind == "Sidecar"]
    assert (finding.severity, finding.path) == ("warning", "spec.ingress[0].tls")
    assert f"port 8443 is {mode}" in finding.message
    assert not [f for f in analyse(ending({"mode": "MUTUAL", **FILES}).snapshot()) if f.origin.kind == "Sidecar"]

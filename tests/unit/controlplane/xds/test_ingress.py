"""Sidecar.ingress: the ports on which a workload is called, and where its application listens for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.xds.typeurls import CDS, RDS
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

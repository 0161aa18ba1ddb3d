"""Proxies that capture DNS: what they answer, and what the addresses that hosts were given are good for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.filters.udp.dns_filter.v3.dns_filter_pb2 import DnsFilterConfig

from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.xds import Generator, Resources
from mesh_lab.controlplane.xds.typeurls import LDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.translated import CLIENT, hosts_of

TCP = {"number": 9000, "name": "tcp", "protocol": "TCP"}
HTTP = {"number": 80, "name": "http", "protocol": "HTTP"}


def entry(host: str, *ports: dict[str, Any], given: str = "", **spec: Any) -> dict[str, Any]:
    made = config("ServiceEntry", host.replace("*.", ""), {"hosts": [host], "ports": list(ports), **spec})
    return {**made, "status": {"addresses": [{"host": host, "value": given}]}} if given else made


def sent(cluster: Cluster, capture: str = "true") -> Resources:
    snapshot = cluster.snapshot()
    proxy = Proxy.of(snapshot.pods["default", CLIENT], metadata={"DNS_CAPTURE": capture})
    return Generator().generate(snapshot, proxy)


def answered(resources: Resources) -> dict[str, list[str]]:
    listener = message(resources[LDS]["dns"])
    config = DnsFilterConfig()
    assert listener.listener_filters[0].typed_config.Unpack(config)
    domains = config.server_config.inline_dns_table.virtual_domains
    return {domain.name: list(domain.endpoint.address_list.address) for domain in domains}


def two_databases() -> Cluster:
    return bookinfo().istio(
        entry("one.internal", TCP, given="240.240.0.1", resolution="DNS"),
        entry("two.internal", TCP, given="240.240.0.2", resolution="DNS"),
    )


def test_hosts_of_entries_have_their_addresses_and_all_else_is_asked_for(tmp_path: Path) -> None:
    cluster = bookinfo().istio(
        entry("given.internal", HTTP, given="240.240.0.1", resolution="DNS"),
        entry("own.internal", HTTP, resolution="NONE", addresses=["10.9.0.0/24", "198.51.100.1"]),
        entry("none.internal", HTTP, resolution="NONE"),
    )
    resources = sent(cluster)
    assert answered(resources) == {"given.internal": ["240.240.0.1"], "own.internal": ["198.51.100.1"]}
    validate(static(resources), tmp_path)


def test_services_on_one_port_are_told_apart_by_their_addresses() -> None:
    found = {}
    for name, built in sent(two_databases())[LDS].items():
        if name.endswith("_9000"):
            proxy = TcpProxy()
            assert message(built).filter_chains[0].filters[-1].typed_config.Unpack(proxy)
            found[name] = proxy.cluster
    assert found == {
        "240.240.0.1_9000": "outbound|9000||one.internal",
        "240.240.0.2_9000": "outbound|9000||two.internal",
    }


def test_requests_by_the_address_are_for_the_host() -> None:
    resources = sent(bookinfo().istio(entry("web.internal", HTTP, given="240.240.0.7", resolution="DNS")))
    assert "240.240.0.7" in hosts_of(resources, "80")["web.internal:80"].domains


def test_a_proxy_that_does_not_capture_dns_knows_nothing_of_these_addresses() -> None:
    resources = sent(two_databases(), capture="false")
    assert "dns" not in resources[LDS]
    assert [name for name in resources[LDS] if name.endswith("_9000")] == ["0.0.0.0_9000"]


def test_an_entry_whose_user_opted_out_is_not_answered_for() -> None:
    left = entry("left.internal", HTTP, given="240.240.0.7", resolution="DNS")
    left["metadata"]["labels"] = {"networking.istio.io/enable-autoallocate-ip": "false"}
    assert answered(sent(bookinfo().istio(left))) == {}

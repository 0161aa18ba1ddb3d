"""Cluster DNS answers as the specification says, over UDP and TCP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.reversename
import pytest

from mesh_lab.kube.network.dns import TTL, UDP_LIMIT, ClusterDns
from mesh_lab.kube.network.endpoints import Catalogue, Name
from tests.unit.kube.network.catalogues import catalogue, endpoint_slice, service

SRV_PORTS = ({"name": "peer", "port": 7000, "protocol": "TCP"},)
HEADLESS_PORTS = [{"name": "peer", "port": 7000, "protocol": "TCP"}]


def shop() -> Catalogue:
    not_ready = {"addresses": ["10.244.0.9"], "conditions": {"ready": False}}
    named = {"addresses": ["10.244.0.7"], "conditions": {"ready": True}, "hostname": "db-0"}
    return catalogue(
        service("web", "10.96.0.20"),
        endpoint_slice("web", ["10.244.0.2"]),
        service("db", "None", ports=HEADLESS_PORTS),
        endpoint_slice("db", ["10.244.0.8", named, not_ready], ports=SRV_PORTS),
        service("both", "10.96.0.30", clusterIPs=["10.96.0.30", "fd00:10:96::30"]),
        service("six", "fd00:10:96::40"),
        service("pods", "None", ports=HEADLESS_PORTS),
        endpoint_slice("pods", ["10.244.0.5"], ports=SRV_PORTS),
        endpoint_slice("pods", ["fd00:10:244::5"], name="pods-2", ports=SRV_PORTS) | {"addressType": "IPv6"},
        service("empty", "None"),
        service("alias", "", type="ExternalName", externalName="web.default.svc.cluster.local", ports=[]),
        service("chain", "", type="ExternalName", externalName="alias.default.svc.cluster.local", ports=[]),
        service("loop", "", type="ExternalName", externalName="loop.default.svc.cluster.local", ports=[]),
        service("outside", "", type="ExternalName", externalName="example.org", ports=[]),
        namespaces=("default", "other"),
    )


def ask(dns_server: ClusterDns, name: str, kind: str = "A", limit: int = 0) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    response = dns_server.answer(query.to_wire(), limit)
    assert response is not None
    message = dns.message.from_wire(response)
    assert query.is_response(message)
    return message


def texts(message: dns.message.Message) -> list[str]:
    return sorted(record.to_text() for rrset in message.answer for record in rrset)


@pytest.fixture
def server() -> ClusterDns:
    return ClusterDns(shop(), "cluster.local")


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.default.svc.cluster.local", "A", ["10.96.0.20"]),
        ("WEB.Default.svc.cluster.LOCAL", "A", ["10.96.0.20"]),
        ("db.default.svc.cluster.local", "A", ["10.244.0.7", "10.244.0.8"]),
        ("db-0.db.default.svc.cluster.local", "A", ["10.244.0.7"]),
        ("10-244-0-8.db.default.svc.cluster.local", "A", ["10.244.0.8"]),
        ("1-2-3-4.default.pod.cluster.local", "A", ["1.2.3.4"]),
        ("_http._tcp.web.default.svc.cluster.local", "SRV", ["0 100 80 web.default.svc.cluster.local."]),
        (
            "_peer._tcp.db.default.svc.cluster.local",
            "SRV",
            ["0 50 7000 10-244-0-8.db.default.svc.cluster.local.", "0 50 7000 db-0.db.default.svc.cluster.local."],
        ),
        ("alias.default.svc.cluster.local", "A", ["10.96.0.20", "web.default.svc.cluster.local."]),
        (
            "chain.default.svc.cluster.local",
            "A",
            ["10.96.0.20", "alias.default.svc.cluster.local.", "web.default.svc.cluster.local."],
        ),
        ("outside.default.svc.cluster.local", "A", ["example.org."]),
        ("both.default.svc.cluster.local", "A", ["10.96.0.30"]),
        ("both.default.svc.cluster.local", "AAAA", ["fd00:10:96::30"]),
        ("six.default.svc.cluster.local", "AAAA", ["fd00:10:96::40"]),
        ("pods.default.svc.cluster.local", "A", ["10.244.0.5"]),
        ("pods.default.svc.cluster.local", "AAAA", ["fd00:10:244::5"]),
        ("fd00-10-244--5.pods.default.svc.cluster.local", "AAAA", ["fd00:10:244::5"]),
        ("fd00-10-244--5.default.pod.cluster.local", "AAAA", ["fd00:10:244::5"]),
        (dns.reversename.from_address("fd00:10:96::30").to_text(), "PTR", ["both.default.svc.cluster.local."]),
        (
            dns.reversename.from_address("fd00:10:244::5").to_text(),
            "PTR",
            ["fd00-10-244--5.pods.default.svc.cluster.local."],
        ),
        ("20.0.96.10.in-addr.arpa", "PTR", ["web.default.svc.cluster.local."]),
        ("7.0.244.10.in-addr.arpa", "PTR", ["db-0.db.default.svc.cluster.local."]),
        ("dns-version.cluster.local", "TXT", ['"1.1.0"']),
        ("cluster.local", "NS", ["kube-dns.kube-system.svc.cluster.local."]),
    ],
)
def test_records(server: ClusterDns, name: str, kind: str, expected: list[str]) -> None:
    message = ask(server, name, kind)
    assert message.rcode() == dns.rcode.NOERROR
    assert message.flags & dns.flags.AA
    assert texts(message) == expected
    assert all(rrset.ttl == TTL for rrset in message.answer)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("web.default.svc.cluster.local", "AAAA"),
        ("db.default.svc.cluster.local", "AAAA"),
        ("six.default.svc.cluster.local", "A"),
        ("_tcp.web.default.svc.cluster.local", "A"),
        ("_http._tcp.web.default.svc.cluster.local", "A"),
        ("default.svc.cluster.local", "A"),
        ("svc.cluster.local", "A"),
        ("cluster.local", "A"),
        ("1-2-3-4.default.pod.cluster.local", "AAAA"),
    ],
)
def test_names_that_exist_without_such_data(server: ClusterDns, name: str, kind: str) -> None:
    message = ask(server, name, kind)
    assert message.rcode() == dns.rcode.NOERROR
    assert not message.answer
    assert message.authority[0].name.to_text() == "cluster.local."


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("absent.default.svc.cluster.local", "cluster.local."),
        ("web.nowhere.svc.cluster.local", "cluster.local."),
        ("web.other.svc.cluster.local", "cluster.local."),
        ("empty.default.svc.cluster.local", "cluster.local."),
        ("10-244-0-9.db.default.svc.cluster.local", "cluster.local."),
        ("web.default.svc.cluster.local.default.svc.cluster.local", "cluster.local."),
        ("1-2-3-400.default.pod.cluster.local", "cluster.local."),
        ("1-2-3-4.nowhere.pod.cluster.local", "cluster.local."),
        ("_https._tcp.web.default.svc.cluster.local", "cluster.local."),
        ("9.9.9.9.in-addr.arpa", "in-addr.arpa."),
        ("example.org", "."),
    ],
)
def test_names_that_do_not_exist(server: ClusterDns, name: str, zone: str) -> None:
    message = ask(server, name)
    assert message.rcode() == dns.rcode.NXDOMAIN
    assert not message.answer
    assert message.authority[0].name.to_text() == zone


def test_servers_come_with_their_addresses(server: ClusterDns) -> None:
    message = ask(server, "_peer._tcp.db.default.svc.cluster.local", "SRV")
    additional = {rrset.name.to_text(): rrset[0].to_text() for rrset in message.additional}
    assert additional == {
        "10-244-0-8.db.default.svc.cluster.local.": "10.244.0.8",
        "db-0.db.default.svc.cluster.local.": "10.244.0.7",
    }


def test_a_loop_of_aliases_ends(server: ClusterDns) -> None:
    assert ask(server, "loop.default.svc.cluster.local").rcode() == dns.rcode.NOERROR


def test_answers_follow_changes(server: ClusterDns) -> None:
    made = shop()
    server = ClusterDns(made, "cluster.local")
    name, reverse = "db.default.svc.cluster.local", "8.0.244.10.in-addr.arpa"
    for _ in range(2):
        assert texts(ask(server, name)) == ["10.244.0.7", "10.244.0.8"]
    assert texts(ask(server, reverse, "PTR")) == ["10-244-0-8.db.default.svc.cluster.local."]
    made.put_slice(endpoint_slice("db", ["10.244.0.5"], ports=SRV_PORTS))
    assert texts(ask(server, name)) == ["10.244.0.5"]
    assert ask(server, reverse, "PTR").rcode() == dns.rcode.NXDOMAIN
    made.drop_service(service("db"))
    assert ask(server, name).rcode() == dns.rcode.NXDOMAIN
    made.drop_slice(endpoint_slice("db", []))
    assert list(made.slices(Name("default", "db"))) == []


def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp() -> None:
    addresses = [f"10.244.1.{n}" for n in range(1, 101)]
    server = ClusterDns(catalogue(service("many", "None"), endpoint_slice("many", addresses)), "cluster.local")
    name = "many.default.svc.cluster.local"
    cut = ask(server, name, limit=UDP_LIMIT)
    assert cut.flags & dns.flags.TC
    assert len(texts(ask(server, name))) == 100


def test_edns_raises_the_limit(server: ClusterDns) -> None:
    addresses = [f"10.244.1.{n}" for n in range(1, 41)]
    server = ClusterDns(catalogue(service("many", "None"), endpoint_slice("many", addresses)), "cluster.local")
    query = dns.message.make_query("many.default.svc.cluster.local", "A", use_edns=0, payload=4096)
    response = server.answer(query.to_wire(), UDP_LIMIT)
    assert response is not None
    message = dns.message.from_wire(response)
    assert not message.flags & dns.flags.TC
    assert len(texts(message)) == 40


def test_addresses_come_in_changing_order() -> None:
    addresses = [f"10.244.1.{n}" for n in range(1, 9)]
    server = ClusterDns(catalogue(service("many", "None"), endpoint_slice("many", addresses)), "cluster.local")
    firsts = {ask(server, "many.default.svc.cluster.local").answer[0][0].to_text() for _ in range(400)}
    # Each address is missing with a probability of (7/8)^400, about 6e-24.
    assert firsts == set(addresses)


@pytest.mark.parametrize("junk", [b"", b"short", b"\x00\x01\x80\x00" + bytes(8)])
def test_a_packet_that_is_no_query_gets_no_answer(server: ClusterDns, junk: bytes) -> None:
    assert server.answer(junk, UDP_LIMIT) is None


def test_a_malformed_query_is_answered_with_formerr(server: ClusterDns) -> None:
    broken = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x3fabc"
    response = server.answer(broken, UDP_LIMIT)
    assert response is not None
    assert response[:2] == b"\x12\x34"
    assert response[3] & 0xF == dns.rcode.FORMERR


@pytest.fixture
async def port(server: ClusterDns) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number = int(probe.getsockname()[1])
    running = asyncio.create_task(server.run(("127.0.0.1",), number))
    async with asyncio.timeout(5):
        while not running.done():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", number)
            except OSError:
                await asyncio.sleep(0.005)
                continue
            writer.close()
            break
    yield number
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_both_transports_answer(port: int) -> None:
    query = dns.message.make_query("web.default.svc.cluster.local", "A")
    for transport in (dns.asyncquery.udp, dns.asyncquery.tcp):
        response = await transport(query, "127.0.0.1", port=port, timeout=5)
        assert texts(response) == ["10.96.0.20"]

"""The servers of the Gateway API's conformance suite."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from pathlib import Path

import pytest

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.client import Client, fetch, parse_url
from mesh_lab.apps.http.messages import Headers, Request, Tls
from mesh_lab.apps.http.server import Server
from mesh_lab.apps.samples.coredns import Server as Dns
from mesh_lab.apps.samples.coredns import Zone, reply, zones
from mesh_lab.apps.samples.echobasic import calls, tcp, udp
from mesh_lab.apps.samples.echobasic.handler import Echo, Identity, described, only_h2c
from tests.unit.apps.conftest import Start
from tests.unit.apps.grpc.calls import call
from tests.unit.apps.samples.certificates import Authority

WHO = Identity.of({"NAMESPACE": "ns", "POD_NAME": "p-1"})


async def test_it_answers_with_the_request(start: Start) -> None:
    _, url = await start(Echo(WHO))
    asked = {"x-mine": "1", "x-echo-set-header": "x-a:1,x-b:2"}
    answer = await fetch(f"{url}/a?b=c", headers=asked)
    seen = json.loads(answer.body)
    assert (seen["path"], seen["method"], seen["namespace"], seen["pod"]) == ("/a?b=c", "GET", "ns", "p-1")
    assert seen["headers"]["X-Mine"] == ["1"]
    assert (answer.headers.get("x-a"), answer.headers.get("x-b")) == ("1", "2")
    assert (await fetch(url, headers={"x-echo-set-header": ""})).status == 200


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/status/418", 418), ("/status/x", 400)])
async def test_it_answers_with_a_status(path: str, status: int, start: Start) -> None:
    _, url = await start(Echo(WHO))
    assert (await fetch(f"{url}{path}")).status == status


async def test_the_first_attempts_at_a_request_fail(start: Start) -> None:
    _, url = await start(Echo(WHO))
    asked = f"{url}/retry/x?uuid=1&succeedAfter=2&responseCode=503"
    assert [(await fetch(asked)).status for _ in range(3)] == [503, 503, 200]
    assert (await fetch(f"{url}/retry/x")).status == 400


async def test_one_port_is_for_http2_only(start: Start) -> None:
    _, url = await start(only_h2c(Echo(WHO)))
    assert (await fetch(url)).status == 400
    second = Client(parse_url(url)[0], http2=True)
    assert json.loads((await second.request("GET", "/")).body)["proto"] == "HTTP/2.0"
    second.close()


async def test_over_grpc_it_answers_with_the_call(start: Start) -> None:
    _, url = await start(calls.server(WHO))
    answer = await call(url, f"{calls.SERVICE}/EchoTwo", b"", **{"x-mine": "1"})
    assertions = wire.message(answer, 1)
    assert wire.text(assertions, 1) == f"{calls.SERVICE}/EchoTwo"
    headers = {wire.text(each, 1): wire.text(each, 2) for each in wire.messages(assertions, 2)}
    assert headers["x-mine"] == "1"
    assert wire.text(wire.message(assertions, 4), 4) == "p-1"


def test_of_a_connection_it_tells_the_pod() -> None:
    plain = tcp.described(WHO, "3000", "8443")
    assert (plain["pod"], plain["isTLS"], "tls" in plain) == ("p-1", False, False)
    secured = tcp.described(WHO, "3000", "8443", {"version": "TLS 1.3"})
    assert (secured["isTLS"], secured["tls"]) == (True, {"version": "TLS 1.3"})


def test_of_tls_it_tells_the_clients_certificate() -> None:
    shown = Request("GET", "/", Headers(), tls=Tls(True, "TLSv1.3", certificate="PEM"))
    assert described(shown, WHO)["tls"]["peerCertificates"] == ["PEM"]
    none = Request("GET", "/", Headers(), tls=Tls(False, "TLSv1.3"))
    assert "peerCertificates" not in described(none, WHO)["tls"]


async def test_over_tls_it_tells_the_certificate_that_the_client_has_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    own, shown = authority.issue("localhost"), authority.issue("client.example.com")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    serving.load_cert_chain(own.certificate, own.key)
    serving.verify_mode = ssl.CERT_OPTIONAL
    asking = ssl.create_default_context(cafile=str(authority.certificate))
    asking.load_cert_chain(shown.certificate, shown.key)
    server = Server(Echo(WHO))
    port = await server.listen("127.0.0.1", 0, serving)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=asking, server_hostname="localhost")
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await server.close(0.1)
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert told["tls"]["peerCertificates"] == [shown.certificate.read_text()]


async def exchanged(server: asyncio.DatagramProtocol, sent: bytes) -> bytes:
    """What a server for datagrams answers."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    with contextlib.closing(transport), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        await loop.sock_connect(client, transport.get_extra_info("sockname"))
        await loop.sock_sendall(client, sent)
        return await asyncio.wait_for(loop.sock_recv(client, 4096), 10)


async def test_datagrams_are_answered_with_what_they_hold() -> None:
    answer = json.loads(await exchanged(udp.Echo(WHO), b"hello"))
    assert (answer["request"], answer["pod"], answer["namespace"]) == ("hello", "p-1", "ns")


COREFILE = """
.:53 {
    forward . 8.8.8.8
}
foo.bar.com:53 {
  whoami
}
"""
_QUESTION = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"


async def test_dns_answers_over_udp() -> None:
    question = _QUESTION + b"\x03foo\x03bar\x03com\x00\x00\x01\x00\x01"
    assert (await exchanged(Dns(zones(COREFILE)), question))[:2] == b"\x00\x07"


def test_dns_answers_for_its_zones_with_the_clients_address() -> None:
    known = zones(COREFILE)
    assert known == [Zone("foo.bar.com", 53, whoami=True), Zone("", 53, whoami=False)]
    name = b"\x03foo\x03bar\x03com\x00\x00\x01\x00\x01"
    answer = reply(_QUESTION + name, "10.1.2.3", known)
    assert answer[:2] == b"\x00\x07"
    assert answer[3] & 0xF == 0
    assert answer.endswith(b"\x0a\x01\x02\x03")
    assert reply(_QUESTION + b"\x03org\x00\x00\x01\x00\x01", "10.1.2.3", known)[3] & 0xF == 2
    assert reply(_QUESTION + b"\xff", "10.1.2.3", known)[3] & 0xF == 1
    assert reply(b"", "10.1.2.3", known) == b""

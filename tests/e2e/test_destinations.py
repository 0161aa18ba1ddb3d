"""DestinationRule: settings of a single port, warming up, the PROXY protocol, and client certificates from Secrets."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.testing import Mesh, Object, TrafficClient, assert_all, destination_rule, eventually, service

from .certificates import issue
from .pods import deployment, shell

# Answers each connection with the first line that it gets.
FIRST_LINE = (
    "import socketserver;"
    "Handler = type('Handler', (socketserver.StreamRequestHandler,),"
    " {'handle': lambda self: self.wfile.write(b'got ' + self.rfile.readline())});"
    "socketserver.ThreadingTCPServer(('', 9000), Handler).serve_forever()"
)
# Asks each client for a certificate, and tells its name.
MUTUAL = """
import http.server, os, ssl
open('/tmp/own', 'w').write(os.environ['PEM']); open('/tmp/clients', 'w').write(os.environ['CLIENTS'])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        name = dict(part[0] for part in self.connection.getpeercert()['subject'])['commonName'].encode()
        self.send_response(200); self.send_header('content-length', str(len(name))); self.end_headers()
        self.wfile.write(name)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile='/tmp/clients')
context.load_cert_chain('/tmp/own'); context.verify_mode = ssl.CERT_REQUIRED
server = http.server.ThreadingHTTPServer(('', 8443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
UNMESHED = {"sidecar.istio.io/inject": "false"}


def python(name: str, program: str, port: int, **more: Any) -> Object:
    """A server in Python, without a sidecar."""
    listening = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    container = {**shell("", name=name, readinessProbe=listening, **more), "command": ["python3", "-c", program]}
    made = deployment(name, container)
    made["spec"]["template"]["metadata"]["labels"] |= UNMESHED
    return made


def on_port(number: int, **settings: Any) -> Object:
    return {"portLevelSettings": [{"port": {"number": number}, **settings}]}


def test_settings_of_a_port_hold_for_it_and_for_no_other(shop: Mesh, client: TrafficClient) -> None:
    nobody = {"http": {"http2MaxRequests": 1, "http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1}}
    with shop.applied(destination_rule("echo", policy=on_port(81, connectionPool=nobody))):
        limited = client.send("http://echo:81/?delay=0.3", 6, concurrency=6, http2=True).counts("status")
        free = client.send("http://echo/?delay=0.3", 6, concurrency=6)
    assert_all(free)
    assert limited["503"] > 0
    assert limited["200"] > 0


def test_settings_of_a_port_take_the_place_of_those_of_all(shop: Mesh, client: TrafficClient) -> None:
    """A port that has settings of its own takes nothing from the others, as Istio says."""
    policy = {"connectionPool": {"http": {"http2MaxRequests": 1}}, **on_port(80, loadBalancer={"simple": "RANDOM"})}
    with shop.applied(destination_rule("echo", policy=policy)):
        assert_all(client.send("http://echo/?delay=0.2", 6, concurrency=6))


def test_a_new_endpoint_warms_up(shop: Mesh, client: TrafficClient) -> None:
    """Its share grows over the time that the rule says, and is then a fair one. The first has a start of a pod's."""
    warming = {"loadBalancer": {"simple": "ROUND_ROBIN", "warmup": {"duration": "3s", "minimumPercent": 1}}}
    shop.deploy_echo("slow", ("v1",))
    shop.ready()
    shop.wait_endpoints("slow", 1)
    with shop.applied(destination_rule("slow", policy=warming)):
        shop.deploy_echo("slow", ("v1", "v2"))
        shop.ready()
        shop.wait_endpoints("slow", 2)
        at_first = client.send("http://slow", 200).versions()
        assert at_first["v2"] < 0.4 * 200, at_first

        def fair() -> bool:
            return client.send("http://slow", 100).versions()["v2"] >= 48

        eventually(fair, timeout=10, why="both have the same share")


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_a_server_is_told_the_clients_address_by_the_proxy_protocol(shop: Mesh, version: str) -> None:
    with shop.applied([python("lines", FIRST_LINE, 9000), service("lines", {"app": "lines"}, ("tcp", 9000, 9000))]):
        shop.ready()
        shop.wait_endpoints("lines", 1)
        pod = shop.pod("client")
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        ask = "import socket; s = socket.create_connection(('lines', 9000)); s.send(b'hello\\n'); print(s.recv(100))"
        with shop.applied(destination_rule("lines", policy={"proxyProtocol": {"version": version}})):
            got = shop.exec(name, "python3", "-c", ask)
        if version == "V1":
            assert got.startswith(f"b'got PROXY TCP4 {address} ")
        else:
            assert got.startswith(r"b'got \r\n'"), "the binary form begins with an empty line"
        assert shop.exec(name, "python3", "-c", ask).startswith(r"b'got hello\n'")


def test_a_sidecar_shows_the_certificate_of_a_secret_to_a_server_that_asks_for_one(
    shop: Mesh, client: TrafficClient
) -> None:
    server, known = issue("mutual.example"), issue("a known client")
    env = [{"name": "PEM", "value": server.shown}, {"name": "CLIENTS", "value": known.authority.decode()}]
    secret = known.secret("known", shop.namespace, clients=server.authority)
    tls = {"mode": "MUTUAL", "credentialName": "known", "sni": "mutual.example", "subjectAltNames": ["mutual.example"]}
    rule = destination_rule("mutual", policy={"tls": tls})
    rule["spec"]["workloadSelector"] = {"matchLabels": {"app": "client"}}
    parts = [secret, python("mutual", MUTUAL, 8443, env=env), service("mutual", {"app": "mutual"}, ("http", 80, 8443))]
    with shop.applied(parts):
        shop.ready()
        shop.wait_endpoints("mutual", 1)
        with shop.applied(rule):
            results = client.send("http://mutual", 3, show_body=True)
        assert_all(results)
        assert {result.body for result in results} == {"a known client"}
        assert client.send("http://mutual")[0].status == 503, "it takes no plaintext"

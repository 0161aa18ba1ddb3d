"""A port of undeclared protocol in the real Envoy: what is said there decides, and waits for no more than needed."""

from __future__ import annotations

import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from google.protobuf.json_format import ParseDict

from mesh_lab.controlplane.injection import bootstrap
from mesh_lab.controlplane.xds.clusters import socket_address
from tests.unit.controlplane.cluster import bookinfo, service
from tests.unit.controlplane.envoy import ENVOY
from tests.unit.controlplane.xds.translated import listener_of

ODD = "outbound|7000||odd.default.svc.cluster.local"
HTTP = b"GET / HTTP/1.1\r\nhost: odd\r\n\r\n"


class Echo(socketserver.BaseRequestHandler):
    """Returns what it gets."""

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An Envoy with the listener of such a port: HTTP is answered with 204, connections reach an echo server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as echo:
        echo.daemon_threads = True
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        file = tmp_path_factory.mktemp("sniffing") / "bootstrap.pb"
        file.write_bytes(_bootstrap(found, echo.server_address[1]).SerializeToString())
        command = [ENVOY, "-c", file, "--disable-hot-restart", "--concurrency", "1", "-l", "critical"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _until_open(found)
            yield found
        finally:
            process.kill()
            process.wait()
            echo.shutdown()


def _bootstrap(port: int, echo: int) -> Bootstrap:
    runtime = bootstrap.config(bootstrap.ProxySettings("sidecar"))["layered_runtime"]
    result = ParseDict({"layered_runtime": runtime}, Bootstrap())
    listener = listener_of(bookinfo().add("Service", service("odd", ("", 7000), ip="10.96.1.1")), "10.96.1.1_7000")
    listener.address.CopyFrom(socket_address("127.0.0.1", port))
    listener.ClearField("bind_to_port")
    last = listener.filter_chains[0].filters[-1].typed_config
    manager = HttpConnectionManager()
    assert last.Unpack(manager)
    host = manager.route_config.virtual_hosts.add(name="all", domains=["*"])
    host.routes.add(match={"prefix": "/"}, direct_response={"status": 204})
    last.Pack(manager)
    result.static_resources.listeners.append(listener)
    cluster = result.static_resources.clusters.add(name=ODD)
    cluster.load_assignment.cluster_name = ODD
    endpoint = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint
    endpoint.address.CopyFrom(socket_address("127.0.0.1", echo))
    return result


def _until_open(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError("Envoy did not start within 20 s")


@pytest.mark.parametrize(
    "said",
    [
        b"hello",
        b"hello\n",
        b"SELECT 1;",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x16\x03\x01\x00\x05hello",
        b"get k\r\n",
    ],
    ids=["a word", "a line", "SQL", "postgres asks for TLS", "TLS", "memcached"],
)
def test_what_is_no_http_passes_at_once(port: int, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(said)
        assert client.recv(100) == said


def test_text_of_any_length_without_a_line_passes(port: int) -> None:
    text = b"hello " * 20_000
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(text)
        assert client.makefile("rb").read(len(text)) == text


def test_http_is_detected_however_late_and_in_whatever_pieces_it_comes(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        for part in (HTTP[:2], HTTP[2:9], HTTP[9:]):
            time.sleep(0.05)
            client.sendall(part)
        assert client.recv(100).startswith(b"HTTP/1.1 204 ")

"""The probes of a machine's application: when it counts as healthy, and what each kind of probe asks."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from mesh_lab.controlplane.injection import machineprobe, machinesettings
from mesh_lab.controlplane.injection.machineprobe import check, states
from mesh_lab.controlplane.model.meshproxy import Exec, GrpcProbe, HttpGet, ProbeHeader, ReadinessProbe, TcpSocket

ADDRESS = "127.0.0.1"


def said(results: str, **settings: int) -> tuple[list[str], list[float]]:
    """What is reported when probes go so (`+` and `-`), and how long is waited before each."""
    waits: list[float] = []
    left = list(results)
    found: list[str] = []

    def look(_: float) -> str:
        if not left:
            raise EOFError
        return "" if left.pop(0) == "+" else "down"

    with contextlib.suppress(EOFError):
        for state in states(ReadinessProbe(**settings), look, waits.append):
            found.append(state)  # noqa: PERF402 - extend would lose what came before the end
    return found, waits[: len(results)]


def test_a_state_holds_once_its_threshold_is_reached() -> None:
    assert said("+")[0] == [""]
    assert said("--+")[0] == [""], "two failures of three are none"
    assert said("---+-")[0] == ["down", "", ""]
    assert said("+-+", success_threshold=2, failure_threshold=1)[0] == ["down", "down"]


def test_it_waits_as_istio_does() -> None:
    assert said("++")[1] == [0, 10]
    assert said("++", initial_delay_seconds=3, period_seconds=2)[1] == [3, 2]


class Handler(BaseHTTPRequestHandler):
    """Answers by what is asked."""

    def do_GET(self) -> None:
        good = self.path == "/ready" and self.headers["x-own"] == "value" and self.client_address[0] == "127.0.0.6"
        self.send_response(204 if good else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""


@contextmanager
def served() -> Iterator[int]:
    with ThreadingHTTPServer((ADDRESS, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_http_is_asked_from_where_nothing_is_redirected() -> None:
    with served() as port:
        good = HttpGet(port, "/ready", http_headers=[ProbeHeader("x-own", "value")])
        assert check(ReadinessProbe(http_get=good), ADDRESS, 5) == ""
        bad = check(ReadinessProbe(http_get=HttpGet(port)), ADDRESS, 5)
        assert bad == "status code was not from [200,400), was 503"
        tcp = ReadinessProbe(tcp_socket=TcpSocket(port))
        assert check(tcp, ADDRESS, 5) == ""
    assert "refused" in check(tcp, ADDRESS, 5)
    assert "refused" in check(ReadinessProbe(http_get=good), ADDRESS, 5)


def test_a_command_is_run() -> None:
    assert check(ReadinessProbe(exec=Exec(["true"])), ADDRESS, 5) == ""
    assert "non-zero exit status 1" in check(ReadinessProbe(exec=Exec(["false"])), ADDRESS, 5)
    assert "timed out" in check(ReadinessProbe(exec=Exec(["sleep", "10"])), ADDRESS, 0.1)
    assert "No such file" in check(ReadinessProbe(exec=Exec(["no-such-program"])), ADDRESS, 5)


def test_grpc_is_asked_for_its_health() -> None:
    with socket.create_server((ADDRESS, 0)) as nobody:
        port = nobody.getsockname()[1]
    assert check(ReadinessProbe(grpc=GrpcProbe(port)), ADDRESS, 5) != ""


@pytest.mark.parametrize("service", ["", "shop", "s" * 300])
def test_grpc_is_asked_for_the_service_that_is_named(service: str) -> None:
    asked: list[str] = []

    def answer(request: bytes, _: object) -> bytes:
        asked.append(StringValue.FromString(request).value)
        return b"\x08\x01" if len(asked) == 1 else b"\x08\x02"

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})])
    probe = ReadinessProbe(grpc=GrpcProbe(server.add_insecure_port(f"{ADDRESS}:0"), service))
    server.start()
    try:
        assert [check(probe, ADDRESS, 5), check(probe, ADDRESS, 5)] == ["", "gRPC service is not serving"]
    finally:
        server.stop(None)
    assert asked == [service, service]


def test_the_node_is_envoys_and_says_that_it_is_probed() -> None:
    mesh = "defaultConfig: {readinessProbe: {httpGet: {port: 80}}, proxyMetadata: {POD_NAMESPACE: vm}}"
    proxy = machinesettings.read(mesh, "ISTIO_META_AUTO_REGISTER_GROUP=ratings\n", "vm-1", "172.31.0.7")
    assert proxy.probe is not None
    node = machineprobe.node_of(proxy)
    assert node.id == "sidecar~172.31.0.7~vm-1.vm~vm.svc.cluster.local"
    assert node.metadata["AUTO_REGISTER_GROUP"] == "ratings"
    assert node.metadata["PROXY_CONFIG"]["readinessProbe"]["httpGet"]["port"] == 80

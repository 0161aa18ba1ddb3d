"""Users that speak TCP and gRPC, in Locust, against servers that are real."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc

from mesh_lab.load.locustfiles import OF_TARGETS
from mesh_lab.resources import LOADTESTS
from tests.unit.load.standin import run

SETTINGS = {"LOCUST_USERS": "2", "LOCUST_RUN_TIME": "2s", "LOAD_RATE": "20"}
OWN_TCP = """
from locust import constant, task
from meshtcp import TcpUser


class Asker(TcpUser):
    keep = False
    wait_time = constant(0.05)

    @task
    def ask(self):
        answer = self.exchange(b"twice\\n", complete=lambda read: read.count(b"\\n") == 2, name="ask")
        assert answer == b"twice\\ntwice\\n", answer

    @task
    def hang_up(self):
        assert self.exchange(b"bye\\n", name="bye") is None
"""
OWN_GRPC = """
from locust import constant, task
from meshgrpc import GrpcUser


class Caller(GrpcUser):
    wait_time = constant(0.05)
    timeout = 0.3

    @task
    def echo(self):
        assert self.call("/shop.Cart/Echo", b"hello") == b"hello"

    @task
    def none(self):
        assert self.call("/shop.Cart/Missing") is None

    @task
    def slow(self):
        assert self.call("/shop.Cart/Slow") is None
"""


class _Lines(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            if line == b"bye\n":
                return
            self.wfile.write(line * (2 if line == b"twice\n" else 1))


@contextmanager
def lines() -> Iterator[int]:
    """A server that answers each line."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Lines) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class _Cart(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        if details.method == "/shop.Cart/Echo":
            return grpc.unary_unary_rpc_method_handler(_echo)
        return grpc.unary_unary_rpc_method_handler(_never) if details.method == "/shop.Cart/Slow" else None


def _echo(message: bytes, context: Any) -> bytes:
    context.send_initial_metadata((("x-version", "v7"),))
    return message


def _never(_: bytes, context: Any) -> bytes:
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(10)
    return b""


@contextmanager
def cart() -> Iterator[int]:
    """A gRPC server."""
    server = grpc.server(futures.ThreadPoolExecutor(10), handlers=(_Cart(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def errors(found: dict[str, Any]) -> dict[str, str]:
    return {error["name"]: error["error"] for error in found["errors"]}


def users(scheme: str) -> str:
    return (LOADTESTS / OF_TARGETS[scheme]).read_text()


def test_a_tcp_target_is_asked_at_its_rate() -> None:
    with lines() as port:
        found = run(f"tcp://127.0.0.1:{port}", SETTINGS, users=users("tcp"))
    assert (found["failures"], found["exceptions"]) == (0, [])
    assert found["requests"] == found["arrivals"]["begun"] >= 35
    assert found["endpoints"][0]["name"] == f"127.0.0.1:{port}"


def test_a_locustfile_says_when_an_answer_of_tcp_is_whole_and_a_hang_up_is_an_error() -> None:
    with lines() as port:
        found = run(f"tcp://127.0.0.1:{port}", SETTINGS, users=OWN_TCP)
    assert found["exceptions"] == []
    ask, bye = found["endpoints"]
    assert (ask["name"], ask["failures"]) == ("ask", 0)
    assert (bye["name"], bye["failures"]) == ("bye", bye["requests"])
    assert "closed after 0 bytes" in errors(found)["bye"]


def test_a_grpc_target_is_called_and_its_version_counted() -> None:
    more = {"LOAD_PATH": "/shop.Cart/Echo", "LOAD_VERSION_BY": "header:x-version"}
    with cart() as port:
        found = run(f"grpc://127.0.0.1:{port}", SETTINGS | more, users=users("grpc"))
    assert (found["failures"], found["exceptions"]) == (0, [])
    assert found["versions"] == {"v7": found["requests"]}
    assert found["requests"] >= 35


def test_calls_that_fail_are_errors_by_their_code() -> None:
    with cart() as port:
        found = run(f"grpc://127.0.0.1:{port}", {**SETTINGS, "LOCUST_USERS": "20"}, users=OWN_GRPC)
    assert found["exceptions"] == []
    told = errors(found)
    assert "UNIMPLEMENTED" in told["/shop.Cart/Missing"]
    assert "DEADLINE_EXCEEDED" in told["/shop.Cart/Slow"]
    assert "/shop.Cart/Echo" not in told

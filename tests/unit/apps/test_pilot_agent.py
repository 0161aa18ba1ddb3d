"""`pilot-agent` as tutorials call it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from mesh_lab.apps import pilot_agent
from mesh_lab.kube.node.images import tools


class Answers(BaseHTTPRequestHandler):
    """Says what it was asked; the path names the status."""

    def do_GET(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        said = f"{self.command} {self.path} {body.decode()}".encode()
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET  # noqa: N815 - the base class names it

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    monkeypatch.setattr(pilot_agent, "_PORTS", (server.server_port,))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("arguments", "code", "out", "error"),
    [
        (("GET", "stats/200"), 0, "GET /stats/200 \n", ""),
        (("POST", "/logging/200", "level=debug"), 0, "POST /logging/200 level=debug\n", ""),
        (("GET", "404"), 0, "GET /404 \n", ""),
        (("GET", "500"), 1, "", "received unsuccessful status code 500: GET /500"),
    ],
)
def test_a_request_prints_the_answer(
    port: int, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, out: str, error: str
) -> None:
    assert pilot_agent.main(["request", *arguments, "--debug-port", str(port)]) == code
    said = capsys.readouterr()
    assert said.out == out
    assert error in said.err


def test_waiting_ends_when_the_proxy_is_ready_or_says_why_it_is_not(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{port}"
    assert pilot_agent.main(["wait", "--url", f"{url}/200"]) == 0
    brief = ["--timeoutSeconds", "0.05", "--periodMillis", "20"]
    assert pilot_agent.main(["wait", "--url", f"{url}/503", *brief]) == 1
    assert "Last error: HTTP status code 503" in capsys.readouterr().err


def test_each_container_finds_it_and_it_needs_nothing_but_an_interpreter() -> None:
    done = subprocess.run(
        ["sh", "-c", tools()["pilot-agent"].replace('"$@"', "request")],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "usage: pilot-agent request" in done.stderr
    assert sys.executable in tools()["pilot-agent"]

"""The traffic client: every request counted, every result reported."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from mesh_lab.apps.__main__ import main
from mesh_lab.apps.echo.handler import Echo
from mesh_lab.apps.http.answers import Answer
from mesh_lab.apps.http.connection import Connection
from mesh_lab.apps.http.messages import Headers
from mesh_lab.apps.http.server import Server
from mesh_lab.apps.traffic.capture import Findings, tcp_segment
from mesh_lab.apps.traffic.plan import Plan
from mesh_lab.apps.traffic.run import percentile, run_plan
from mesh_lab.apps.traffic.versions import version_of

from .conftest import Start


async def carry_out(**wanted: Any) -> tuple[bool, list[dict[str, Any]], dict[str, Any]]:
    lines: list[str] = []
    ok = await run_plan(Plan(**wanted), lines.append)
    *results, last = [json.loads(line) for line in lines]
    return ok, results, last["summary"]


@pytest.mark.parametrize("http2", [False, True])
async def test_exactly_the_stated_number_is_sent(start: Start, http2: bool) -> None:
    echo = Echo("v7")
    _, url = await start(echo)
    ok, results, summary = await carry_out(url=url, count=57, concurrency=8, distinct_ids=True, http2=http2)
    assert ok
    assert len(results) == 57
    assert echo.attempts.total == 57
    assert len(echo.attempts.all()) == 57, "each request has an id of its own"
    assert summary["statuses"] == {"200": 57}
    assert summary["versions"] == {"v7": 57}


@pytest.mark.parametrize(
    ("headers", "body", "version"),
    [
        ((("x-echo-version", "v2"),), b"", "v2"),
        ((), b'{"id": "0", "podname": "reviews-v3-cf9644f74-7t9cq", "reviews": []}', "v3"),
        ((), b"<dt>Reviews served by</dt><dd>reviews-v1-66f9589986-f2v6b</dd>", "v1"),
        ((), b'{"ratings": {"Reviewer1": 5}}', None),
        ((), b"see reviews-v1 and reviews-v1-notes", None),
    ],
)
def test_the_version_is_that_of_the_echo_server_or_of_the_reviews(
    headers: tuple[tuple[str, str], ...], body: bytes, version: str | None
) -> None:
    assert version_of(Answer(200, Headers(headers), body, "HTTP/1.1")) == version


async def test_a_rate_is_kept_whatever_the_answers_take(start: Start) -> None:
    _, url = await start(Echo())
    _, results, _ = await carry_out(url=f"{url}/?delay=0.1", count=20, rate=100, concurrency=20)
    begun = sorted(result["at_ms"] for result in results)
    assert begun[-1] >= 190, "the last of 20 at 100 a second begins after 190 ms"
    assert begun[0] < 100


@pytest.mark.parametrize(("new", "connections"), [(True, 4), (False, 1)])
async def test_connections_are_new_for_each_request_or_kept(new: bool, connections: int) -> None:
    class Counting(Server):
        accepted = 0

        def _accept(self) -> Connection:
            self.accepted += 1
            return super()._accept()

    server = Counting(Echo())
    port = await server.listen("127.0.0.1", 0)
    await carry_out(url=f"http://127.0.0.1:{port}/", count=4, new_connections=new)
    await server.close(1)
    assert server.accepted == connections


async def test_errors_are_results_too() -> None:
    ok, results, summary = await carry_out(url="http://127.0.0.1:1/", count=3)
    assert not ok
    assert [(result["status"], result["error"]) for result in results] == [(0, "refused")] * 3
    assert summary["statuses"] == {"refused": 3}


async def test_the_deadline_cuts_a_run_short(start: Start) -> None:
    _, url = await start(Echo())
    began = time.perf_counter()
    ok, _, summary = await carry_out(url=f"{url}/?delay=0.2", count=1000, deadline=0.3)
    assert not ok
    assert summary["cut_short"]
    assert time.perf_counter() - began < 2


async def test_bodies_and_headers_are_shown_on_request(start: Start) -> None:
    _, url = await start(Echo())
    _, (result,), _ = await carry_out(url=url, show_body=True, show_headers=("content-type", "x-none"))
    assert json.loads(result["body"])["path"] == "/"
    assert result["headers"] == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"url": "http://a", "count": 0}, "^count: 0"),
        ({"url": "http://a", "concurrency": 5000}, "^concurrency: 5000"),
        ({"url": "http://a", "rate": -1}, "^rate: -1"),
        ({"url": "http://a", "timeout": 0}, "^timeout: 0"),
        ({"url": "a"}, "^url: 'a' is no URL"),
    ],
)
def test_an_impossible_plan_is_refused(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(**wanted)


def test_percentiles_are_of_the_nearest_rank() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [percentile(ordered, share) for share in (50, 90, 99, 100)] == [50, 90, 99, 100]
    assert percentile([7.0], 99) == 7.0


def test_the_program_names_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "send requests and print every result" in capsys.readouterr().out
    assert main(["dance"]) == 2
    assert "there is no program 'dance'" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["send", "http://a", "--header", "no-colon"])
    assert raised.value.code == 2
    assert "'no-colon' is not of the form NAME:VALUE" in capsys.readouterr().err


def test_a_server_ends_with_0_when_kubernetes_asks_it_to() -> None:
    command = [sys.executable, "-m", "mesh_lab.apps", "echo", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "listens on port" in process.stderr.readline()
        process.terminate()
        assert process.wait(10) == 0


def test_a_taken_port_is_a_clear_error() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            check=False,
            args=[sys.executable, "-m", "mesh_lab.apps", "traffic", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot listen" in done.stderr


def test_capture_tells_tls_from_plaintext() -> None:
    findings = Findings()
    findings.take(b"\x16\x03\x01\x00\x05hello", ["secret"])
    findings.take(b"\x17\x03\x03\x00\x05xxxxx", ["secret"])
    findings.take(b"GET / HTTP/1.1\r\nx: secret\r\n\r\n", ["secret"])
    findings.take(b"", ["secret"])
    assert (findings.packets, findings.payload_packets) == (4, 3)
    assert (findings.tls_handshakes, findings.tls_application_data, findings.http_plaintext) == (1, 1, 1)
    assert findings.found == {"secret": 1}


def test_capture_takes_the_payload_of_a_segment() -> None:
    ip = bytes([0x45, 0, 0, 45, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
    tcp = (8080).to_bytes(2) + (51000).to_bytes(2) + bytes(8) + bytes([0x50]) + bytes(7)
    assert tcp_segment(ip + tcp + b"hello" + b"padding") == (8080, 51000, b"hello")
    assert tcp_segment(b"short") is None
    assert tcp_segment(bytes([0x60]) + bytes(60)) is None

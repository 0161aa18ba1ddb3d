"""fortio: its options, its figures, and the lines that Istio's tasks read."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.http.server import Server as HttpServer
from mesh_lab.apps.samples.fortio import program
from mesh_lab.apps.samples.fortio.flags import FlagError, Options, duration, parse
from mesh_lab.apps.samples.fortio.histogram import ENDS, Histogram
from mesh_lab.apps.samples.fortio.report import closing
from mesh_lab.apps.samples.fortio.running import Result, Worker, run
from mesh_lab.apps.samples.fortio.server import Server, listen_echo
from tests.unit.apps.conftest import Start
from tests.unit.apps.grpc.calls import call


def test_options_are_read_as_gos_flags_are() -> None:
    line = "-c 3 -qps=0 --n 30 -loglevel Warning -H A:b -H C:d -p 50,99 -t 1m30s -quiet http://x"
    options = parse(line.split())
    assert (options.c, options.qps, options.n, options.loglevel, options.quiet) == (3, 0.0, 30, "Warning", True)
    assert (options.H, options.p, options.t, options.words) == (("A:b", "C:d"), (50, 99), 90, ("http://x",))
    assert parse(["-keepalive=false"]).keepalive is False
    assert parse(["-allow-initial-errors", "x"]) == Options(allow_initial_errors=True, words=("x",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["-zz", "1"], "flag provided but not defined: -zz"),
        (["-c"], "flag needs an argument: -c"),
        (["-c", "x"], 'invalid value "x" for flag -c'),
        (["-t", "5"], 'invalid value "5" for flag -t'),
    ],
)
def test_an_option_that_is_not_understood_is_named(given: list[str], message: str) -> None:
    with pytest.raises(FlagError, match=message):
        parse(given)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("250ms", 0.25), ("1.5s", 1.5), ("2h", 7200)])
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


def test_ranges_end_where_fortios_do() -> None:
    assert ENDS[:14] == (0, *range(1, 13), 14)
    assert list(ENDS) == sorted(set(ENDS))


def test_percentiles_are_interpolated_within_a_range() -> None:
    histogram = Histogram([0.0015, 0.0035, 0.0035, 0.0038], resolution=0.001)
    lines = histogram.lines("Aggregated Function Time", (50, 100))
    assert lines[0].startswith("Aggregated Function Time : count 4 avg 0.003075 +/- 0.00")
    assert lines[2:] == [
        ">= 0.0015 <= 0.002 , 0.00175 , 25.00, 1",
        "> 0.003 <= 0.0038 , 0.0034 , 100.00, 3",
        "# target 50% 0.00326667",
        "# target 100% 0.0038",
    ]


def test_of_nothing_there_is_nothing_to_tell() -> None:
    assert Histogram().lines("Error cases", (50,)) == ["Error cases : no data"]


class Every:
    """Answers 503 to every third request."""

    def __init__(self) -> None:
        self.seen = 0

    async def __call__(self, request: Request) -> Response:
        """Answer."""
        self.seen += 1
        return Response(503 if self.seen % 3 == 0 else 200, request.headers.get("x-a").encode())


async def loaded(url: str, **options: object) -> Result:
    given = Options(**options)  # type: ignore[arg-type]
    result = Result(given, url, [Worker(given, url) for _ in range(given.c)], given.r)
    await run(result)
    return result


async def test_a_run_makes_its_calls_and_a_new_connection_after_an_error(start: Start) -> None:
    _, url = await start(Every())
    result = await loaded(url, c=1, n=30, qps=0, H=("X-A: b",))
    text = "\n".join(closing(result))
    assert result.codes == {200: 20, 503: 10}
    assert "\nCode 200 : 20 (66.7 %)\nCode 503 : 10 (33.3 %)\n" in text
    assert "\nSockets used: 10 (for perfect keepalive, would be 1)\n" in text
    assert re.search(r"\nAll done 30 calls \(plus 0 warmup\) [\d.]+ ms avg, [\d.]+ qps$", text)
    assert re.search(r"^Ended after [\d.]+m?s : 30 calls\. qps=[\d.]+\n", text)
    assert f"\n{result.connections[0].address}:{result.connections[0].origin.port}: 10\n" in text


async def test_calls_are_shared_among_connections(start: Start) -> None:
    server = Every()
    _, url = await start(server)
    result = await loaded(url, c=4, n=10, qps=0)
    assert server.seen == sum(result.codes.values()) == 10


async def test_a_rate_is_kept(start: Start) -> None:
    _, url = await start(Every())
    result = await loaded(url, c=2, n=8, qps=40)
    assert result.seconds >= 0.15, "eight calls at forty a second: the last begins after 0.15 s"


async def test_no_answer_counts_as_minus_one() -> None:
    result = await loaded("http://127.0.0.1:1", c=1, n=3, qps=0)
    assert result.codes == {-1: 3}
    assert "Code  -1 : 3 (100.0 %)" in closing(result)


@pytest.fixture
def server() -> Iterator[str]:
    """fortio's server in a thread, for commands that run a loop of their own."""
    ready = threading.Event()
    ports: list[int] = []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        http, stop = HttpServer(Server()), asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        ports.append(await http.listen("127.0.0.1", 0))
        ready.set()
        await stop.wait()
        await http.close(0.1)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield f"127.0.0.1:{ports[0]}"
    loop, stop = loops[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


def test_the_command_of_the_circuit_breaking_task(
    server: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    given = [
        "load",
        "-c",
        "2",
        "-qps",
        "0",
        "-n",
        "20",
        "-loglevel",
        "Warning",
        "-json",
        str(file),
        f"http://{server}/",
    ]
    assert program.main(given) == 0
    out = capsys.readouterr().out
    assert "running at 0 queries per second, " in out
    assert "Starting at max qps with 2 thread(s)" in out
    assert "for exactly 20 calls (10 per thread + 0)" in out
    assert "\nCode 200 : 20 (100.0 %)\n" in out
    assert json.loads(file.read_text())["RetCodes"] == {"200": 20}


def test_curl_prints_headers_apart_from_the_body(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["curl", "-quiet", "-payload", "hello", server]) == 0
    said = capsys.readouterr()
    assert said.out == "hello"
    assert said.err.startswith("HTTP/1.1 200 OK\r\n")
    assert program.main(["curl", f"{server}/?status=404"]) == 1


def test_a_run_by_time_stops_before_it_starts_when_the_first_call_fails(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["load", "-t", "10s", f"http://{server}/?status=503"]) == 1
    assert "Aborting because of error 503" in capsys.readouterr().err
    given = ["load", "-t", "100ms", "-qps", "0", "-c", "1", "-allow-initial-errors", f"http://{server}/?status=503"]
    assert program.main(given) == 0
    assert "Code 503 :" in capsys.readouterr().out


@pytest.mark.parametrize(
    "given",
    [[], ["nothing"], ["load"], ["load", "https://x"], ["load", "-loglevel", "Loud", "x"], ["load", "-c", "0", "x"]],
)
def test_wrong_usage_fails(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(given) == 1
    assert "usage: fortio COMMAND" in capsys.readouterr().err


async def test_the_server_returns_what_it_gets_as_asked(start: Start) -> None:
    _, url = await start(Server())
    assert (await fetch(url, method="POST", body=b"x")).body == b"x"
    asked = await fetch(f"{url}/?status=418&size=10&header=x-a:b&delay=1ms")
    assert (asked.status, len(asked.body), asked.headers.get("x-a")) == (418, 10, "b")
    assert b"X-B: c" in (await fetch(f"{url}/debug", headers={"x-b": "c"})).body
    assert (await fetch(f"{url}/?status=7")).status == 400
    assert (await fetch(f"{url}/?delay=soon")).status == 400


async def test_the_server_answers_pings_over_grpc_and_bytes_over_tcp(start: Start) -> None:
    _, url = await start(Server())
    ping = wire.encode({1: 7, 3: "payload"})
    assert await call(url, "/fgrpc.PingServer/Ping", ping) == {1: [7], 3: [b"payload"]}
    echo = await listen_echo(0, "127.0.0.1")
    async with echo:
        reader, writer = await asyncio.open_connection("127.0.0.1", echo.sockets[0].getsockname()[1])
        writer.write(b"bytes")
        assert await reader.read(5) == b"bytes"
        writer.close()

"""`nc` and `nslookup`, run as containers run them; `swctl`."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.tools import netcat, nslookup, swctl
from tests.unit.apps.conftest import Start, start

__all__ = ["start"]


def nc(*arguments: str, given: str = "", timeout: float = 20) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(netcat.__file__), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def shouting() -> Iterator[int]:
    """A server that returns in capitals what it got until the client's end."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                with connection:
                    data = b""
                    while piece := connection.recv(100):
                        data += piece
                    connection.sendall(data.upper())
        except OSError:
            return  # the listener was closed

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_nc_sends_its_input_and_prints_the_answer(shouting: int) -> None:
    done = nc("127.0.0.1", str(shouting), given="world\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "WORLD\n", "")


def test_nc_only_connects_with_z_and_says_so_with_v(shouting: int) -> None:
    done = nc("-zv", "-w", "5", "127.0.0.1", str(shouting))
    assert (done.returncode, done.stdout) == (0, "")
    assert f"127.0.0.1 (127.0.0.1) {shouting} open" in done.stderr


def test_nc_fails_where_nobody_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    done = nc("127.0.0.1", str(port))
    assert (done.returncode, done.stderr) == (1, f"nc: 127.0.0.1 {port}: Connection refused\n")


@pytest.mark.parametrize("arguments", [["-l", "-k", "-v", "-p", "0"], ["-lkv", "0"]])
def test_nc_listens_to_one_connection_after_the_other(arguments: list[str]) -> None:
    command = [sys.executable, "-I", "-S", str(netcat.__file__), *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1, text=True) as server:
        assert server.stderr is not None
        assert server.stdout is not None
        port = int(server.stderr.readline().split()[-2])
        for text in ("one\n", "two\n"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(text.encode())
                client.shutdown(socket.SHUT_WR)
                assert client.recv(10) == b""
            assert server.stdout.readline() == text
        server.terminate()


@pytest.mark.parametrize("arguments", [[], ["host"], ["80"]])
def test_nc_says_what_is_missing(arguments: list[str]) -> None:
    done = nc(*arguments)
    assert done.returncode == 2
    assert "is missing" in done.stderr


def test_nc_gives_up_after_silence() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        assert nc("-w", "0.1", "127.0.0.1", str(silent.getsockname()[1])).returncode == 0


@pytest.mark.parametrize(("options", "said"), [((), ""), (("-v",), "Connection reset by peer")])
def test_nc_is_silent_about_a_reset_unless_it_is_verbose(options: tuple[str, ...], said: str) -> None:
    """As busybox's: Istio's page on authorization of TCP compares all that is printed."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=_reset, args=(server,))
        thread.start()
        done = nc(*options, "127.0.0.1", str(server.getsockname()[1]), given="hello\n")
        thread.join()
    assert (done.returncode, done.stdout) == (0, "")
    assert said in done.stderr
    assert bool(done.stderr) == bool(said)


def _reset(server: socket.socket) -> None:
    """Take one connection and end it with an RST, once the other side has said all."""
    connection, _ = server.accept()
    while connection.recv(100):
        pass
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


Answering = Callable[[bytes], bytes]


@pytest.fixture
def name_server() -> Iterator[Callable[[Answering], int]]:
    """A name server for one question after the other; the test gives the answer."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def begin(answer: Answering) -> int:
        def serve() -> None:
            data, client = sock.recvfrom(512)
            sock.sendto(answer(data), client)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return int(sock.getsockname()[1])

    yield begin
    for thread in threads:
        thread.join(5)
    sock.close()


def test_nslookup_reads_the_records_of_an_answer(name_server: Callable[[Answering], int]) -> None:
    def answer(question: bytes) -> bytes:
        assert question[12:] == b"\x07httpbin\x07example\x00\x00\x01\x00\x01"
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + bytes((10, 96, 0, 7))
        return question[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question[12:] + record

    found = nslookup.ask("127.0.0.1", "httpbin.example", 1, name_server(answer))
    assert found == [("httpbin.example", "10.96.0.7")]


def test_nslookup_says_that_there_is_no_such_name(name_server: Callable[[Answering], int]) -> None:
    def answer(question: bytes) -> bytes:
        return question[:2] + b"\x81\x83" + question[4:]

    with pytest.raises(nslookup.LookupFailedError, match="NXDOMAIN"):
        nslookup.ask("127.0.0.1", "nowhere", 1, name_server(answer))


def test_nslookup_tries_the_search_domains_as_the_resolver_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(_server: str, name: str, kind: int) -> list[tuple[str, str]]:
        asked.append(name)
        if name == "a.default.svc.cluster.local" and kind == 1:
            return [(name, "10.96.0.7")]
        raise nslookup.LookupFailedError("NXDOMAIN")

    monkeypatch.setattr(nslookup, "ask", ask)
    text = "search default.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
    servers, searches, dots = nslookup._configuration(text)
    assert (servers, dots) == (["10.96.0.10"], 5)
    lines = nslookup._lines("a", servers[0], searches, dots)
    assert lines == ["Name:\ta.default.svc.cluster.local", "Address: 10.96.0.7"]
    with pytest.raises(nslookup.LookupFailedError, match="NXDOMAIN"):
        nslookup._lines("b", servers[0], searches, dots)
    assert asked[-2:] == ["b", "b"], "the name itself is tried last"


def test_nslookup_wants_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert nslookup.main([]) == 2
    assert "usage: nslookup NAME" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
async def test_swctl_tells_whether_the_server_is_well(start: Start, status: int, code: int) -> None:
    async def answer(request: Request) -> Response:
        return Response(status if request.path == "/healthcheck" else 404)

    _, url = await start(answer)
    port = int(url.rpartition(":")[2])
    assert await asyncio.to_thread(swctl.main, ["health"], port) == code


def test_swctl_says_who_does_not_answer_and_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert swctl.main(["health"], 1) == 1
    assert "swctl: 127.0.0.1:1: " in capsys.readouterr().err
    assert swctl.main(["trace"]) == 2
    assert capsys.readouterr().err == "usage: swctl health\n"

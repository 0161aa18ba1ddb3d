"""The forward proxy: the configuration of the task, tunnels, and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mesh_lab.apps.http.client import fetch, parse_url
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples import squid
from mesh_lab.apps.samples.squid import Config, ConfigError, Squid, Wish, read
from tests.unit.apps.conftest import Start

CONFIG = """
http_port 3128

acl SSL_ports port 443
acl CONNECT method CONNECT

http_access deny CONNECT !SSL_ports
http_access allow localhost manager
http_access deny manager
http_access allow all   # everybody

coredump_dir /var/spool/squid

max_filedescriptors 1024
"""


def config(directory: Path, text: str = CONFIG) -> Config:
    (directory / "squid.conf").write_text(text)
    return read(directory / "squid.conf")


def test_the_rules_of_the_task(tmp_path: Path) -> None:
    found = config(tmp_path)
    assert found.ports == (3128,)
    assert found.allows(Wish("CONNECT", "a.example", 443, "10.244.0.7"))
    assert not found.allows(Wish("CONNECT", "a.example", 80, "10.244.0.7"))
    assert found.allows(Wish("GET", "a.example", 80, "10.244.0.7"))


@pytest.mark.parametrize(
    ("text", "wish", "allowed"),
    [
        ("", Wish("GET", "a", 80, "10.0.0.1"), False),
        ("acl net src 10.0.0.0/8\nhttp_access allow net", Wish("GET", "a", 80, "10.1.2.3"), True),
        ("acl net src 10.0.0.0/8\nhttp_access allow net", Wish("GET", "a", 80, "11.1.2.3"), False),
        ("acl d dstdomain .example\nhttp_access deny d", Wish("GET", "x.example", 80, "10.0.0.1"), False),
        ("acl d dstdomain .example\nhttp_access deny d", Wish("GET", "x.other", 80, "10.0.0.1"), True),
        ("acl p port 1-9\nacl p port 80\nhttp_access allow p", Wish("GET", "a", 80, "10.0.0.1"), True),
        ("http_access allow localhost", Wish("GET", "a", 80, "127.0.0.1"), True),
    ],
)
def test_the_first_rule_that_holds_decides(tmp_path: Path, text: str, wish: Wish, allowed: bool) -> None:
    assert config(tmp_path, text).allows(wish) is allowed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http_port x", "http_port: [HOST:]PORT expected"),
        ("\nacl a time 9", ":2: acl NAME port|method|src|dstdomain VALUE... expected"),
        ("acl a src nowhere", "does not appear to be an IPv4 or IPv6 network"),
        ("http_access allow some", "ACL not found: some"),
        ("http_access some all", "http_access allow|deny ACL... expected"),
        ("cache_peer a", "no directive 'cache_peer'"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(tmp_path, text)
    assert message in str(error.value)
    assert "squid.conf:" in str(error.value)


async def hello(request: Request) -> Response:
    return Response(200, f"hello {request.target}".encode(), headers={"x-a": "b"})


EVERYBODY = Config(rules=(squid.Rule(allow=True, tests=()),))


async def test_a_tunnel_carries_bytes_both_ways_and_is_logged(start: Start) -> None:
    lines: list[str] = []
    _, there = await start(hello)
    server, proxy = await start(Squid(EVERYBODY, lines.append))
    origin, target = parse_url(proxy)[0], parse_url(there)[0].authority
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 OK\r\n\r\n"
    writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"hello /x")
    writer.close()
    await server.close(1)
    assert len(lines) == 1
    assert "TCP_TUNNEL/200 " in lines[0]
    assert lines[0].endswith(f"CONNECT {target} - HIER_DIRECT/127.0.0.1 -")


async def through(proxy: str, method: str, target: str) -> tuple[int, bytes]:
    origin = parse_url(proxy)[0]
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1]), answer


async def test_plain_requests_are_forwarded(start: Start) -> None:
    lines: list[str] = []
    _, there = await start(hello)
    _, proxy = await start(Squid(EVERYBODY, lines.append))
    status, answer = await through(proxy, "GET", f"{there}/y?z=1")
    assert status == 200
    assert answer.endswith(b"hello /y?z=1")
    assert b"\r\nx-a: b\r\n" in answer
    assert "TCP_MISS/200 12 GET" in lines[0]


@pytest.mark.parametrize(
    ("method", "target", "status", "logged"),
    [
        ("GET", "http://127.0.0.1:1/", 503, "TCP_MISS/503"),
        ("CONNECT", "127.0.0.1:1", 503, "TCP_TUNNEL/503"),
        ("CONNECT", "127.0.0.1", 400, ""),
        ("GET", "/path", 400, ""),
        ("GET", "https://127.0.0.1/", 400, ""),
    ],
)
async def test_what_leads_nowhere_is_told_so(start: Start, method: str, target: str, status: int, logged: str) -> None:
    lines: list[str] = []
    _, proxy = await start(Squid(EVERYBODY, lines.append))
    assert (await through(proxy, method, target))[0] == status
    assert [logged] == [line.split()[3] for line in lines] if logged else not lines


async def test_what_the_rules_deny_is_refused(start: Start) -> None:
    lines: list[str] = []
    _, proxy = await start(Squid(Config(), lines.append))
    assert (await through(proxy, "CONNECT", "127.0.0.1:443"))[0] == 403
    assert "TCP_DENIED/403" in lines[0]
    assert (await fetch(proxy)).status == 400


def test_a_configuration_that_is_missing_ends_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert squid.main(["-N", "-f", str(tmp_path / "none.conf")]) == 1
    assert "FATAL: " in capsys.readouterr().err

"""helloworld, health-check, tcp-echo, and what has Prometheus read its configuration again."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples import configreloader, health, tcpecho
from mesh_lab.apps.samples.helloworld import HelloWorld
from tests.unit.apps.conftest import Start


async def test_helloworld_tells_version_and_instance(start: Start) -> None:
    _, url = await start(HelloWorld({"SERVICE_VERSION": "v2", "HOSTNAME": "helloworld-v2-x"}))
    assert (await fetch(f"{url}/hello")).body == b"Hello version: v2, instance: helloworld-v2-x\n"
    assert (await fetch(f"{url}/health")).body == b"Helloworld is healthy"
    assert (await fetch(f"{url}/")).status == 404


async def test_the_health_check_answers_its_two_paths(start: Start) -> None:
    _, url = await start(health.answer)
    port = url.rpartition(":")[2]
    assert (await fetch(f"{url}/foo")).body.decode() == f"Listening on {port}: foo "
    assert (await fetch(f"{url}/bar")).status == 200
    assert (await fetch(f"{url}/baz")).status == 404


async def test_tcp_echo_returns_each_line_with_its_prefix() -> None:
    server = await tcpecho.listen(0, "hello", "127.0.0.1")
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for line in (b"world\n", b"once more\n"):
            writer.write(line)
            assert await reader.readline() == b"hello " + line
        writer.write_eof()
        assert await reader.read() == b""
        with contextlib.closing(writer):
            pass


def test_tcp_echo_asks_for_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tcpecho.main(["9000,a", "hello"])
    assert "ports: 9000,a is not a list of numbers" in capsys.readouterr().err


async def test_a_changed_configuration_is_read_again(start: Start, tmp_path: Path) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def reloaded(request: Request) -> Response:
        asked.put_nowait(f"{request.method} {request.path}")
        return Response(200)

    _, url = await start(reloaded)
    (tmp_path / "prometheus.yml").write_text("a")
    following = asyncio.create_task(configreloader.follow([str(tmp_path)], f"{url}/-/reload", 0.01))
    assert await asyncio.wait_for(asked.get(), 10) == "POST /-/reload"
    (tmp_path / "prometheus.yml").write_text("changed")
    assert await asyncio.wait_for(asked.get(), 10) == "POST /-/reload"
    following.cancel()

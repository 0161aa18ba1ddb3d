"""What Envoy answers on 15020 in the place of Istio's agent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mesh_lab.controlplane.injection import status_port
from mesh_lab.controlplane.injection.bootstrap import ProxySettings
from mesh_lab.controlplane.injection.merging import Target
from mesh_lab.controlplane.trust.serving import serve_http
from tests.unit.controlplane.mesh import eventually
from tests.unit.controlplane.standalone import standalone

OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
)
"""What Prometheus says that it accepts."""


@asynccontextmanager
async def application(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[int]:
    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = await serve_http(app, "127.0.0.1", 0)
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def scrape(port: int, path: str = "/stats/prometheus", **headers: str) -> tuple[str, list[str]]:
    """Content type and lines."""
    url = f"http://127.0.0.1:{port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers={"accept": PROMETHEUS, **headers}) as got:
        assert got.status == 200
        return got.headers["content-type"], (await got.text()).splitlines()


@pytest.mark.parametrize("path", ["/stats/prometheus", "/metrics"])
async def test_an_applications_metrics_follow_envoys(tmp_path: Path, path: str) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: web.Request) -> web.Response:
        asked.append((request.path_qs, request.headers["accept"]))
        return web.Response(text="orders_total 7")

    async with application(answer) as served:
        settings = ProxySettings("sidecar", metrics=(Target(served, "/m?all=$(x)"),))
        async with standalone(tmp_path, settings) as (port, _):
            kind, lines = await scrape(port, path)
    assert kind.startswith("text/plain")
    assert "istio_agent_scrapes_total 1" in lines
    assert any(line.startswith("envoy_server_uptime") for line in lines)
    assert lines[-1] == "orders_total 7"
    assert asked == [("/m?all=$(x)", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4")]


async def test_open_metrics_end_once_with_their_mark(tmp_path: Path) -> None:
    def answer(request: web.Request) -> web.Response:
        text = f"{request.path.strip('/')}_total 1\n# EOF\n"
        return web.Response(body=text.encode(), headers={"content-type": OPEN_METRICS})

    async with application(answer) as served:
        settings = ProxySettings("sidecar", metrics=(Target(served, "/a"), Target(served, "/b")))
        async with standalone(tmp_path, settings) as (port, _):
            kind, lines = await scrape(port)
    assert kind == OPEN_METRICS
    assert lines[-3:] == ["a_total 1", "b_total 1", "# EOF"]
    assert lines.count("# EOF") == 1


@pytest.mark.parametrize("failure", ["refused", "status", "slow"])
async def test_without_an_answer_of_the_application_there_are_envoys_and_a_failure_is_counted(
    tmp_path: Path, failure: str
) -> None:
    def answer(_: web.Request) -> web.Response:
        return web.Response(status=500, text="lost_total 1")

    async with application(answer) as served:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            ports = {"refused": 1, "status": served, "slow": mute.getsockname()[1]}
            settings = ProxySettings("sidecar", metrics=(Target(ports[failure], "/metrics"),))
            async with standalone(tmp_path, settings) as (port, _):
                _, lines = await scrape(port, **{"x-prometheus-scrape-timeout-seconds": "0.2"})
    assert any(line.startswith("envoy_server_uptime") for line in lines)
    assert 'istio_agent_scrape_failures_total{type="application"} 1' in lines
    assert "lost_total 1" not in lines
    assert "no metrics from http://localhost:" in (tmp_path / "envoy.log").read_text()


async def test_a_large_page_is_whole(tmp_path: Path) -> None:
    page = "".join(f'big_total{{n="{number}"}} 1\n' for number in range(200_000))
    async with application(lambda _: web.Response(text=page)) as served:
        settings = ProxySettings("sidecar", metrics=(Target(served, "/metrics"),))
        async with standalone(tmp_path, settings) as (port, _):
            _, lines = await scrape(port)
    assert lines[-1] == 'big_total{n="199999"} 1'
    assert len(lines) > 200_000


async def asked_to_quit(port: int, method: str, source: str = "127.0.0.1") -> tuple[int, str]:
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    url = f"http://127.0.0.1:{port}/quitquitquit"
    async with aiohttp.ClientSession(connector=connector) as session, session.request(method, url) as response:
        return response.status, await response.text()


async def test_the_pod_itself_may_end_the_proxy_and_gets_an_answer(tmp_path: Path) -> None:
    async with standalone(tmp_path, ProxySettings("sidecar")) as (port, process):
        assert (await asked_to_quit(port, "POST", "127.0.0.3"))[0] == 403
        assert (await asked_to_quit(port, "GET", "127.0.0.3"))[0] == 403
        assert (await asked_to_quit(port, "GET"))[0] == 405
        assert process.poll() is None
        assert await asked_to_quit(port, "POST") == (200, "OK")

        async def has_ended() -> bool:
            return process.poll() is not None

        await eventually(has_ended)
        assert process.returncode == 0


async def test_what_others_may_ask_for_does_not_end_the_proxy(tmp_path: Path) -> None:
    async with standalone(tmp_path, ProxySettings("sidecar")) as (port, process), aiohttp.ClientSession() as session:
        for path in ("/stats/prometheus", "/metrics", "/metrics?/quitquitquit", "/healthz/ready"):
            async with session.post(f"http://127.0.0.1:{port}{path}") as response:
                await response.read()
        assert await asked_to_quit(port, "GET") == (405, "Method Not Allowed")
        assert process.poll() is None


def test_one_program_of_lua_does_for_the_port() -> None:
    listener = status_port.listener([], (Target(9080, "/metrics"),), 1 << 20)
    (chain,) = listener["filter_chains"]
    filters = chain["filters"][0]["typed_config"]["http_filters"]
    (lua,) = (each["typed_config"] for each in filters if each["name"] == "envoy.filters.http.lua")
    assert len(lua["source_codes"]) == 1


async def test_readiness_and_drain_are_there_too(tmp_path: Path) -> None:
    async with standalone(tmp_path, ProxySettings("sidecar")) as (port, process), aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/healthz/ready") as response:
            assert (response.status, await response.text()) == (200, "LIVE\n")
        async with session.post(f"http://127.0.0.1:{port}/drain") as response:
            assert (response.status, await response.text()) == (200, "OK\n")
        await asyncio.sleep(0)
        assert process.poll() is None

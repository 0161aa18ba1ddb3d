"""Probes as the proxy answers them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from mesh_lab.controlplane.injection import probes
from mesh_lab.controlplane.injection.bootstrap import ProxySettings
from mesh_lab.controlplane.trust.serving import serve_http
from tests.unit.controlplane.mesh import eventually
from tests.unit.controlplane.standalone import POD_IP, standalone


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "app", "ports": [{"name": "web", "containerPort": 9080}], **fields}


def test_exec_and_what_is_not_for_the_pod_itself_stay() -> None:
    given = container(
        readinessProbe={"exec": {"command": ["true"]}},
        livenessProbe={"httpGet": {"port": 80, "host": "example.com"}},
        startupProbe={"tcpSocket": {"port": "no-such-name"}},
        lifecycle={"preStop": {"tcpSocket": {"port": 80}}, "postStart": {"sleep": {"seconds": 1}}},
    )
    assert probes.rewrite(given) == (given, [])


def test_the_probes_own_headers_and_times_stay() -> None:
    headers = [{"name": "X-Probe", "value": "1"}]
    given = container(readinessProbe={"httpGet": {"port": "web", "httpHeaders": headers}, "failureThreshold": 5})
    changed, (probe,) = probes.rewrite(given)
    assert changed["readinessProbe"]["failureThreshold"] == 5
    assert changed["readinessProbe"]["httpGet"]["httpHeaders"] == headers
    assert (probe.kind, probe.port, probe.target) == ("http", 9080, "/")
    assert given["readinessProbe"]["httpGet"]["port"] == "web", "the given container is not changed"


@asynccontextmanager
async def answering(directory: Path, declared: dict[str, Any]) -> AsyncIterator[str]:
    """An Envoy that answers the probes of a container; gives the address of its 15020."""
    _, answered = probes.rewrite({"name": "app", **declared})
    async with standalone(directory, ProxySettings("sidecar", probes=tuple(answered))) as (port, _):
        yield f"http://127.0.0.1:{port}"


async def status_of(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status


@pytest.mark.parametrize("code", [200, 500])
async def test_an_http_probe_gets_the_applications_answer(tmp_path: Path, code: int) -> None:
    async def health(request: web.Request) -> web.Response:
        return web.Response(status=code if request.path_qs == "/health?deep=1" else 404)

    app = web.Application()
    app.router.add_get("/health", health)
    runner = await serve_http(app, POD_IP, 0)
    asked = {"httpGet": {"path": "/health?deep=1", "port": runner.addresses[0][1]}}
    declared = {"readinessProbe": asked, "lifecycle": {"preStop": asked}}
    try:
        async with answering(tmp_path, declared) as url:
            assert await status_of(f"{url}/app-health/app/readyz") == code
            assert await status_of(f"{url}/app-lifecycle/app/prestopz") == code
            assert await status_of(f"{url}/app-health/app/livez") == 404
    finally:
        await runner.cleanup()


async def test_a_tcp_probe_says_whether_the_application_listens(tmp_path: Path) -> None:
    with socket.create_server((POD_IP, 0)) as listening:
        port = listening.getsockname()[1]
        async with answering(tmp_path, {"readinessProbe": {"tcpSocket": {"port": port}}}) as url:

            async def answers(code: int) -> bool:
                return await status_of(f"{url}/app-health/app/readyz") == code

            await eventually(lambda: answers(200))
            listening.close()
            await asyncio.sleep(0)
            await eventually(lambda: answers(503))

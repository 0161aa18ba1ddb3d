"""HTTP into the cluster through the API server."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from mesh_lab.kube.api.proxying import split_name
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.resources import ENDPOINTSLICES, NODES, PODS, SERVICES
from mesh_lab.kube.streams import ContainerUsage, PodUsage
from tests.unit.kube.api.conftest import Server


@dataclass
class Backend:
    """A server that reports what it was asked. `go` releases the second half of `/slow`; `left`: its caller hung up."""

    port: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    made = Backend()

    async def report(request: web.Request) -> web.StreamResponse:
        if request.path == "/slow":
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"first")
            try:
                await made.go.wait()
            except asyncio.CancelledError:
                made.left.set()
                raise
            await response.write(b" second")
            return response
        body = await request.read()
        report = {
            "method": request.method,
            "path": request.raw_path,
            "headers": dict(request.headers),
            "body": body.decode("latin-1") if len(body) < 1000 else len(body),
        }
        status = 418 if request.path == "/teapot" else 200
        return web.json_response(report, status=status, headers={"X-Backend": "yes"})

    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", report)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
async def proxied(server: Server, backend: Backend) -> str:
    """A pod and a service in front of the backend; the path of their namespace."""
    ports = [{"name": "http", "containerPort": backend.port}]
    pod = {
        "metadata": {"name": "web-0"},
        "spec": {"containers": [{"name": "c", "image": "x", "ports": ports}]},
    }
    await server.registry.create(PODS, pod, namespace="default")
    await server.registry.modify(
        PODS, "web-0", "default", lambda obj: {**obj, "status": {"podIP": "127.0.0.1"}}, subresource="status"
    )
    service = {"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}]}}
    await server.registry.create(SERVICES, service, namespace="default")
    piece = {
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": backend.port, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["127.0.0.1"], "conditions": {"ready": True}},
            {"addresses": ["192.0.2.1"], "conditions": {"ready": False}},
        ],
    }
    await server.registry.create(ENDPOINTSLICES, piece, namespace="default")
    return "/api/v1/namespaces/default"


@pytest.mark.parametrize("name", ["services/web", "services/web:80", "services/web:http", "services/http:web:80"])
async def test_a_service_is_reached_by_name_and_port(server: Server, proxied: str, name: str) -> None:
    answer = await server.json("GET", f"{proxied}/{name}/proxy/debug/config?kind=VirtualService&wait=1")
    assert (answer["method"], answer["path"]) == ("GET", "/debug/config?kind=VirtualService&wait=1")


async def test_a_pod_is_reached_by_its_port(server: Server, proxied: str, backend: Backend) -> None:
    for name in ("web-0", f"web-0:{backend.port}", "web-0:http"):
        answer = await server.json("GET", f"{proxied}/pods/{name}/proxy/x")
        assert answer["path"] == "/x"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_and_its_body_get_through(server: Server, proxied: str, method: str) -> None:
    data = b"\x00body\xff" if method not in ("GET", "OPTIONS") else None
    url = f"{server.url}{proxied}/services/web/proxy/submit"
    async with server.client.request(method, url, data=data, headers={"X-Own": "1"}) as response:
        answer = await response.json()
    assert answer["method"] == method
    assert answer["body"] == (data or b"").decode("latin-1")
    assert answer["headers"]["X-Own"] == "1"
    assert response.headers["X-Backend"] == "yes"


async def test_the_path_arrives_as_it_was_written(server: Server, proxied: str) -> None:
    url = URL(f"{server.url}{proxied}/services/web/proxy/a%2Fb//c%20d/?q=%2B", encoded=True)
    async with server.client.get(url) as response:
        assert (await response.json())["path"] == "/a%2Fb//c%20d/?q=%2B"


async def test_large_bodies_are_streamed(server: Server, proxied: str) -> None:
    body = io.BytesIO(b"x" * 2**23)
    async with server.client.post(f"{server.url}{proxied}/services/web/proxy/", data=body) as response:
        assert (await response.json())["body"] == 2**23


async def test_an_answer_is_passed_on_as_it_comes(server: Server, proxied: str, backend: Backend) -> None:
    async with server.client.get(f"{server.url}{proxied}/services/web/proxy/slow") as response:
        assert await response.content.readany() == b"first"
        backend.go.set()
        assert await response.content.read() == b" second"


async def test_a_caller_that_hangs_up_is_not_waited_for_behind_the_proxy(
    server: Server, proxied: str, backend: Backend
) -> None:
    async with server.client.get(f"{server.url}{proxied}/services/web/proxy/slow") as response:
        assert await response.content.readany() == b"first"
        response.close()
        async with asyncio.timeout(5):
            await backend.left.wait()


async def test_the_callers_credentials_stay_behind(server: Server, proxied: str) -> None:
    headers = {"Impersonate-User": "system:serviceaccount:default:x"}
    answer = await server.json("GET", f"{proxied}/services/web/proxy/", headers=headers)
    assert not {"Authorization", "Impersonate-User"} & set(answer["headers"])
    assert answer["headers"]["X-Forwarded-Proto"] == "https"


async def test_the_answers_status_is_passed_on(server: Server, proxied: str) -> None:
    await server.json("GET", f"{proxied}/services/web/proxy/teapot", code=418)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("services/none", 404, 'services "none" not found'),
        ("services/web:81", 400, 'service "web" has no port "81"'),
        ("pods/none", 404, 'pods "none" not found'),
        ("pods/web-0:nope", 400, 'has no port "nope"'),
        ("pods/web-0:1", 503, "error trying to reach service"),
        ("services/ftp:web:80", 400, "invalid proxy request"),
    ],
)
async def test_what_cannot_be_reached_is_said(server: Server, proxied: str, name: str, code: int, words: str) -> None:
    answer = await server.json("GET", f"{proxied}/{name}/proxy/", code=code)
    assert words in answer["message"]


async def test_a_service_without_ready_endpoints_is_unavailable(server: Server, proxied: str) -> None:
    def unready(obj: dict[str, Any]) -> dict[str, Any]:
        return {**obj, "endpoints": obj["endpoints"][1:]}

    await server.registry.modify(ENDPOINTSLICES, "web-1", "default", unready)
    answer = await server.json("GET", f"{proxied}/services/web/proxy/", code=503)
    assert answer["message"] == 'no endpoints available for service "web"'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web", ("http", "web", None)),
        ("web:80", ("http", "web", "80")),
        ("https:web:443", ("https", "web", "443")),
        ("https:web:", ("https", "web", None)),
        (":web:80", ("http", "web", "80")),
    ],
)
def test_names_may_say_scheme_and_port(text: str, parts: tuple[str, str, str | None]) -> None:
    assert split_name(text) == parts


def test_a_name_with_too_many_parts_is_refused() -> None:
    with pytest.raises(ApiError):
        split_name("http:web:80:x")


async def test_a_node_tells_what_its_pods_use_in_a_kubelet_s_words(server: Server) -> None:
    await server.registry.create(NODES, {"metadata": {"name": "lab"}})
    server.node.used = [PodUsage("shop", "cart-0", "u1", {"istio-proxy": ContainerUsage(1_500_000_000, 4096)})]
    told = await server.json("GET", "/api/v1/nodes/lab/proxy/stats/summary")
    assert told["pods"][0]["podRef"] == {"name": "cart-0", "namespace": "shop", "uid": "u1"}
    (container,) = told["pods"][0]["containers"]
    assert container["name"] == "istio-proxy"
    assert container["cpu"]["usageCoreNanoSeconds"] == 1_500_000_000
    assert container["memory"]["rssBytes"] == 4096
    async with server.client.get(f"{server.url}/api/v1/nodes/lab/proxy/metrics") as response:
        assert response.status == 501
    async with server.client.get(f"{server.url}/api/v1/nodes/other/proxy/stats/summary") as response:
        assert response.status == 404

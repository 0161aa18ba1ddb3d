"""The health endpoints say which part is in trouble, in the format of a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mesh_lab.kube.api import health
from mesh_lab.kube.api.context import INFO, ClusterInfo

Client = TestClient[web.Request, web.Application]
NO_MATCH = 'warn: some health checks cannot be excluded: no matches for "etcd"'


@pytest.fixture
def trouble() -> dict[str, str]:
    """What is wrong with the parts."""
    return {"store": "", "node": ""}


@pytest.fixture
async def client(trouble: dict[str, str]) -> AsyncIterator[Client]:
    app = web.Application()
    app[INFO] = ClusterInfo(alive={"store": lambda: trouble["store"]}, ready={"node": lambda: trouble["node"]})
    health.add_routes(app)
    async with TestClient(TestServer(app)) as client:
        yield client


async def asked(client: Client, path: str) -> tuple[int, str]:
    async with client.get(path) as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/readyz", "ok"),
        ("/livez", "ok"),
        ("/healthz", "ok"),
        ("/readyz/node", "ok"),
        ("/readyz?verbose", "[+]ping ok\n[+]store ok\n[+]node ok\nreadyz check passed\n"),
        ("/livez?verbose", "[+]ping ok\n[+]store ok\nlivez check passed\n"),
        ("/livez?verbose&exclude=store", "[+]ping ok\n[+]store excluded: ok\nlivez check passed\n"),
        ("/livez?verbose&exclude=etcd", f"[+]ping ok\n[+]store ok\n{NO_MATCH}\nlivez check passed\n"),
    ],
)
async def test_all_checks_pass(client: Client, path: str, text: str) -> None:
    assert await asked(client, path) == (200, text)


async def test_a_part_that_is_not_ready_is_named_with_its_reason(client: Client, trouble: dict[str, str]) -> None:
    trouble["node"] = "the container runtime is not up"
    text = "[+]ping ok\n[+]store ok\n[-]node failed: the container runtime is not up\nreadyz check failed\n"
    assert await asked(client, "/readyz") == (500, text)
    assert (await asked(client, "/readyz/node"))[0] == 500
    assert await asked(client, "/readyz?exclude=node") == (200, "ok")
    assert await asked(client, "/livez") == (200, "ok"), "it is alive, though not ready"


async def test_a_server_that_is_not_alive_is_not_ready(client: Client, trouble: dict[str, str]) -> None:
    trouble["store"] = "a write has been under way for 9 s"
    assert (await asked(client, "/livez"))[0] == (await asked(client, "/readyz"))[0] == 500


async def test_an_unknown_check_is_a_404(client: Client) -> None:
    assert (await asked(client, "/livez/node"))[0] == 404

"""The debug interface is for those who show an identity; readiness and metrics are for everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mesh_lab.controlplane.debug.access import NAMESPACE, guard
from mesh_lab.controlplane.delivery.identity import Authenticator
from mesh_lab.controlplane.kube.client import Unreachable
from mesh_lab.controlplane.kube.kinds import Kind
from mesh_lab.debugidentity import HEADER

ACCOUNTS = {"own": "istio-system:istiod", "other": "default:reviews"}


class Reviews:
    """Knows two tokens."""

    async def create(self, _: Kind, obj: dict[str, Any], namespace: str = "") -> dict[str, Any]:
        token = obj["spec"]["token"]
        if token == "unreachable":
            raise Unreachable("away")
        if token not in ACCOUNTS:
            return {"status": {"authenticated": False}}
        user = {"username": f"system:serviceaccount:{ACCOUNTS[token]}"}
        return {"status": {"authenticated": True, "audiences": ["istio-ca"], "user": user}}


@asynccontextmanager
async def interface(*, local: bool) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"namespace={request.get(NAMESPACE)}")

    application = web.Application(
        middlewares=[guard(Authenticator(Reviews()), "istio-system", None if local else lambda _: False)]
    )
    for path in ("/ready", "/metrics", "/debug/proxies", "/debug/syncz", "/debug/config_dump"):
        application.router.add_get(path, answer)
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ready", {}, 200),
        ("/metrics", {}, 200),
        ("/debug/proxies", {}, 401),
        ("/debug/nothing", {}, 401),
        ("/debug/proxies", {"X-Forwarded-For": "127.0.0.1"}, 401),
        ("/debug/proxies", {"Authorization": "Bearer stolen"}, 401),
        ("/debug/proxies", {"Authorization": "Bearer own"}, 200),
        ("/debug/proxies", {HEADER: "Bearer own"}, 200),
        ("/debug/proxies", {"Authorization": "Bearer other"}, 403),
        ("/debug/syncz", {"Authorization": "Bearer other"}, 403),
        ("/debug/config_dump", {"Authorization": "Bearer other"}, 200),
        ("/debug/proxies", {"Authorization": "Bearer unreachable"}, 503),
    ],
)
async def test_who_is_answered(path: str, headers: dict[str, str], status: int) -> None:
    async with interface(local=False) as client:
        assert (await client.get(path, headers=headers)).status == status


async def test_a_token_of_another_namespace_is_for_the_proxies_of_that_namespace() -> None:
    async with interface(local=False) as client:
        for token, namespace in (("own", "None"), ("other", "default")):
            answer = await client.get("/debug/config_dump", headers={"Authorization": f"Bearer {token}"})
            assert await answer.text() == f"namespace={namespace}"


async def test_its_own_loopback_is_answered_as_it_is_behind_a_port_forward() -> None:
    async with interface(local=True) as client:
        assert (await client.get("/debug/proxies")).status == 200

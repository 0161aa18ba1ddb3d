"""The control plane as a whole, with real Envoys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.controlplane.mesh import Mesh, endpoints, envoy, meshed, service, virtual_service


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with meshed(tmp_path) as mesh:
        yield mesh


async def test_a_proxy_with_its_pods_token_becomes_ready_and_serves_what_is_stored(plane: Mesh) -> None:
    token = await plane.add_pod("a")
    async with envoy(plane, "a", token) as proxy:
        await proxy.until_ready()
        async with plane.session.get(f"http://{await proxy.listener('main')}/") as response:
            assert response.status == 404
        await plane.api.put("services", service("web"))
        await plane.api.put("endpointslices", endpoints("web", [int(proxy.admin.rpartition(":")[2])]))
        await plane.api.put("virtualservices", virtual_service("vs", "web", prefix="/ready"))
        answer = await plane.live("VirtualService", "vs")
        assert answer["live"], answer
        assert answer["proxies"] == [{"proxy": "a.default", "state": "acknowledged", "error": ""}]
        async with plane.session.get(f"http://{await proxy.listener('main')}/ready") as response:
            assert (response.status, await response.text()) == (200, "LIVE\n")

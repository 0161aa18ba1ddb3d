"""The node registers itself, even if a webhook denies it at first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from mesh_lab.kube.config import KubeConfig, SecondFamily
from mesh_lab.kube.errors import forbidden
from mesh_lab.kube.node import registration
from mesh_lab.kube.node.images import Images
from mesh_lab.kube.registry import AdmissionRequest, Object, Open, Registry
from mesh_lab.kube.resources import NODES
from mesh_lab.kube.store import Store


class Closed(Open):
    """A webhook that refuses everything, and counts."""

    asked = 0

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        self.asked += 1
        raise forbidden("admission webhook denied the request")


async def test_a_registration_that_a_webhook_denies_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "REGISTER_AGAIN_SECONDS", 0)
    registry = Registry(Store())
    await registry.bootstrap()
    registry.admission = closed = Closed()
    config = KubeConfig(
        name="lab", state_dir=str(tmp_path), api_fd=0, control_fd=0, lifeline_fd=0, api_port=0, rootless=False
    )
    registering = asyncio.create_task(registration.register(registry, config, Images({})))
    async with asyncio.timeout(10):
        while closed.asked < 3:  # noqa: ASYNC110 - what counts has no event
            await asyncio.sleep(0)
        assert not registering.done()
        registry.admission = Open()
        await registering
    conditions = registry.get(NODES, "lab")["status"]["conditions"]
    assert ("Ready", "True") in {(each["type"], each["status"]) for each in conditions}
    # Already there, it is only brought up to date: no webhook for new nodes is asked.
    registry.admission = Open()
    await registration.register(registry, config, Images({}))
    assert registry.get(NODES, "lab")["spec"]["podCIDRs"] == ["10.244.0.0/16"]
    await registration.register(registry, msgspec.structs.replace(config, ipv6=SecondFamily()), Images({}))
    node = registry.get(NODES, "lab")
    assert node["spec"]["podCIDRs"] == ["10.244.0.0/16", "fd00:10:244::/64"]
    internal = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
    assert internal == ["10.244.0.1", "fd00:10:244::1"]

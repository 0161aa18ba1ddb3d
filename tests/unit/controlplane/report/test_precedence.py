"""What is said of objects comes after what proxies are sent: both are made in one loop, a proxy at a time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mesh_lab.controlplane.deployment.gateways import Gateways
from mesh_lab.controlplane.kube.signals import Signal
from mesh_lab.controlplane.report.gatewaystatuses import GatewayStatuses

Made = asyncio.Queue[str]


class Statuses(GatewayStatuses):
    """Notes when it would write."""

    made: Made

    async def _write_all(self) -> bool:
        self.made.put_nowait("statuses")
        return True


class Deployed(Gateways):
    """Notes when it would deploy."""

    made: Made

    async def _keep(self) -> bool:
        self.made.put_nowait("gateways")
        return True


@pytest.mark.parametrize("kind", [Statuses, Deployed])
async def test_a_push_is_not_interrupted(kind: type[Statuses | Deployed]) -> None:
    state = SimpleNamespace(snapshotted=Signal(), progress=Signal(), hook=lambda *_: None)
    nothing = cast(Any, None)
    part = kind(nothing, cast(Any, state), nothing, nothing)
    part.made = asyncio.Queue()
    task = asyncio.create_task(part.run())
    await part.made.get()
    state.snapshotted.fire()
    for _ in range(20):
        # A push gives way to others after each proxy, and what proxies answer is progress.
        state.progress.fire()
        await asyncio.sleep(0)
        assert part.made.empty()
    await asyncio.wait_for(part.made.get(), 5)
    task.cancel()
    await asyncio.wait({task})

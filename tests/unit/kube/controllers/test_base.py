"""What a controller says of objects that it cannot make right yet."""

from __future__ import annotations

import logging

import pytest

from mesh_lab.kube.controllers.base import LASTING_SECONDS, Loop
from mesh_lab.kube.errors import internal
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.store import Store


class _Failing(Loop[str]):
    name = "failing-controller"
    synced = True

    async def reconcile(self, key: str) -> float | None:
        raise internal(f"{key} waits for a webhook")

    async def observe(self) -> None:
        """There is nothing to observe."""


async def test_only_a_failure_that_lasts_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "mesh_lab.kube.controllers.base")
    loop = _Failing(Registry(Store()))
    waited = 0.0
    while not any(record.levelno >= logging.WARNING for record in caplog.records):
        assert waited < 60
        await loop._process("x")
        waited += 0.005 * 2 ** (len(caplog.records) - 1)
    assert waited > LASTING_SECONDS
    loop.queue.close()

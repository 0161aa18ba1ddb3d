"""A registry in memory with its system namespaces, and manifests that it takes."""

from __future__ import annotations

import pytest

from mesh_lab.kube.registry import Registry
from mesh_lab.kube.store import Store


@pytest.fixture
async def registry() -> Registry:
    made = Registry(Store())
    await made.bootstrap()
    return made

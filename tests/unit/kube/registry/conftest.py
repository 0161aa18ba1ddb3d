"""A registry in memory with its system namespaces, and manifests that it takes."""

from __future__ import annotations

import pytest

from lab.kube.registry import Registry
from lab.kube.store import Store


@pytest.fixture
async def registry() -> Registry:
    made = Registry(Store())
    await made.bootstrap()
    return made

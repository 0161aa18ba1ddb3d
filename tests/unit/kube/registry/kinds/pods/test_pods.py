"""Pods that are refused."""

from __future__ import annotations

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Patch, PatchKind, Registry
from tests.unit.kube.registry.manifests import pod


async def test_ephemeral_containers_are_refused(registry: Registry) -> None:
    await registry.create(kinds.PODS, {**pod("debugged"), "metadata": {"name": "debugged", "namespace": "default"}})
    debugger = {"name": "debugger", "image": "busybox", "targetContainerName": "main"}
    patch = Patch(PatchKind.STRATEGIC, {"spec": {"ephemeralContainers": [debugger]}})
    with pytest.raises(ApiError) as caught:
        await registry.patch(kinds.PODS, "debugged", "default", patch, subresource="ephemeralcontainers")
    assert caught.value.causes[0].field == "spec.ephemeralContainers"
    assert "kubectl exec" in caught.value.message

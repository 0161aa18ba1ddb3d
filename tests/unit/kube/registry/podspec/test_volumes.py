"""Volumes that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from tests.unit.kube.registry.manifests import deployment, set_at
from tests.unit.kube.registry.refusals import TEMPLATE, Case, refused

CASES: list[Case] = [
    (
        f"{TEMPLATE}.volumes",
        [{"name": "scratch", "emptyDir": {}}, {"name": "scratch", "emptyDir": {}}],
        f"{TEMPLATE}.volumes[1].name",
        'Duplicate value: "scratch"',
    ),
    (
        f"{TEMPLATE}.volumes.0.hostPath",
        {"path": "/"},
        f"{TEMPLATE}.volumes[0].hostPath",
        "Forbidden: may not specify more than 1 volume type",
    ),
    (
        f"{TEMPLATE}.volumes.0",
        {"name": "scratch", "secret": {"secretName": "s", "defaultMode": 1000}},
        f"{TEMPLATE}.volumes[0].secret.defaultMode",
        "Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive",
    ),
    (
        f"{TEMPLATE}.volumes.0",
        {"name": "scratch", "secret": {}},
        f"{TEMPLATE}.volumes[0].secret.secretName",
        "Required value",
    ),
    (
        f"{TEMPLATE}.volumes.0",
        {"name": "scratch", "projected": {"sources": [{"serviceAccountToken": {"path": "/t"}}]}},
        f"{TEMPLATE}.volumes[0].projected.sources[0].serviceAccountToken.path",
        'Invalid value: "/t": must be a relative path',
    ),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), CASES, ids=lambda one: str(one)[:40])
async def test_an_invalid_volume_is_refused(registry: Registry, path: str, value: Any, field: str, words: str) -> None:
    obj = deployment()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.DEPLOYMENTS, obj)
    assert causes[field].startswith(words)

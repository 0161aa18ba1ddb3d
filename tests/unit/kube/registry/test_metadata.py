"""Metadata that is refused, in a Deployment as in any kind."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from tests.unit.kube.registry.manifests import deployment, set_at
from tests.unit.kube.registry.refusals import Case, refused

CASES: list[Case] = [
    ("metadata.name", "Web_1", "metadata.name", 'Invalid value: "Web_1": a lowercase RFC 1123 subdomain must consist'),
    ("metadata.name", ..., "metadata.name", "Required value: name or generateName is required"),
    ("metadata.labels", {"a b": "c"}, "metadata.labels", 'Invalid value: "a b": name part must consist of'),
    ("metadata.labels", {"a": "c d"}, "metadata.labels", 'Invalid value: "c d": a valid label must be an empty string'),
    (
        "metadata.annotations",
        {"a": "x" * 300_000},
        "metadata.annotations",
        "Too long: may not be more than 262144 bytes",
    ),
    (
        "metadata.finalizers",
        ["bare"],
        "metadata.finalizers[0]",
        'Invalid value: "bare": name is neither a standard finalizer name nor is it fully qualified',
    ),
    (
        "metadata.ownerReferences",
        [{"apiVersion": "v1", "kind": "Pod", "name": "x"}],
        "metadata.ownerReferences[0].uid",
        "Required value: must not be empty",
    ),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), CASES, ids=lambda one: str(one)[:40])
async def test_invalid_metadata_is_refused(registry: Registry, path: str, value: Any, field: str, words: str) -> None:
    obj = deployment()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.DEPLOYMENTS, obj)
    assert causes[field].startswith(words)

"""What may not change once it is stored, and in which words a change is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.resources import Resource
from tests.unit.kube.registry.manifests import config_map, crd, deployment, pod, service, set_at

Case = tuple[str, Any, str, str]

_IMMUTABLE: list[tuple[Resource, Callable[[], dict[str, Any]], Case]] = [
    (
        kinds.DEPLOYMENTS,
        deployment,
        (
            "spec.selector.matchLabels",
            {"app": "db"},
            "spec.selector",
            'Invalid value: {"matchLabels":{"app":"db"}}: field is immutable',
        ),
    ),
    (
        kinds.SERVICES,
        service,
        (
            "spec",
            {"clusterIP": "10.96.200.1", "clusterIPs": ["10.96.200.1"], "ports": [{"port": 1}]},
            "spec.clusterIPs[0]",
            'Invalid value: ["10.96.200.1"]: may not change once set',
        ),
    ),
    (
        kinds.PODS,
        pod,
        ("spec.restartPolicy", "Never", "spec", "Forbidden: pod updates may not change fields other than"),
    ),
    (kinds.PODS, pod, ("spec.containers.0.name", "other", "spec", "Forbidden: pod updates may not change")),
    (kinds.PODS, pod, ("spec.tolerations", [], "spec.tolerations", "Forbidden: existing toleration can not be")),
    (kinds.CRDS, crd, ("spec.scope", "Cluster", "spec.scope", 'Invalid value: "Cluster": field is immutable')),
]


@pytest.mark.parametrize(("resource", "make", "case"), _IMMUTABLE, ids=lambda one: one[0] if type(one) is tuple else "")
async def test_a_change_of_an_immutable_field_is_refused(
    registry: Registry, resource: Resource, make: Callable[[], dict[str, Any]], case: Case
) -> None:
    path, value, field, words = case
    obj = make()
    stored = await registry.create(resource, obj)

    def change(present: dict[str, Any]) -> dict[str, Any]:
        set_at(present, path, value)
        return present

    name, namespace = stored["metadata"]["name"], stored["metadata"].get("namespace", "")
    with pytest.raises(ApiError) as caught:
        await registry.modify(resource, name, namespace, change)
    assert {c.field: c.message for c in caught.value.causes}[field].startswith(words)
    assert registry.get(resource, name, namespace) is stored


async def test_a_pods_image_and_its_binding_may_change(registry: Registry) -> None:
    await registry.create(kinds.PODS, pod())

    def bind(present: dict[str, Any]) -> dict[str, Any]:
        present["spec"]["nodeName"] = "lab"
        present["spec"]["containers"][0]["image"] = "busybox:2"
        return present

    bound = await registry.modify(kinds.PODS, "one", "default", bind)
    assert bound is not None
    assert bound["spec"]["nodeName"] == "lab"

    def move(present: dict[str, Any]) -> dict[str, Any]:
        present["spec"]["nodeName"] = "elsewhere"
        return present

    with pytest.raises(ApiError, match="pod updates may not change"):
        await registry.modify(kinds.PODS, "one", "default", move)


async def test_an_immutable_config_map_stays(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, {**config_map(a="1"), "immutable": True})
    with pytest.raises(ApiError, match="field is immutable when `immutable` is set"):
        await registry.update(kinds.CONFIGMAPS, {**config_map(a="2"), "immutable": True})

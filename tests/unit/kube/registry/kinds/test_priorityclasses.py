"""PriorityClasses, and the priority that they give to pods."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.api import tables
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.kinds.priorityclasses import PRIORITY_CLASSES
from tests.unit.kube.registry.manifests import pod


def priority_class(name: str = "urgent", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": 1000, **fields}


async def spec_of(registry: Registry, **spec: Any) -> dict[str, Any]:
    obj = pod()
    obj["spec"] |= spec
    stored: dict[str, Any] = (await registry.create(kinds.PODS, obj))["spec"]
    return stored


def test_every_cluster_has_two_system_classes(registry: Registry) -> None:
    found = {one["metadata"]["name"]: one["value"] for one in registry.list(PRIORITY_CLASSES)}
    assert found == {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


async def test_what_is_left_out_has_defaults(registry: Registry) -> None:
    made = await registry.create(PRIORITY_CLASSES, {"metadata": {"name": "low"}})
    assert (made["value"], made["preemptionPolicy"], made["metadata"]["generation"]) == (0, "PreemptLowerPriority", 1)


async def test_a_priority_class_is_created_and_deleted(registry: Registry) -> None:
    await registry.create(PRIORITY_CLASSES, priority_class())
    await registry.delete(PRIORITY_CLASSES, "urgent")
    assert registry.find(PRIORITY_CLASSES, "urgent") is None


async def test_kubectl_shows_the_columns_of_a_real_server(registry: Registry) -> None:
    made = await registry.create(PRIORITY_CLASSES, priority_class(globalDefault=True))
    shown = tables.table(tables.printer_for(PRIORITY_CLASSES), [made], {}, now=datetime.now(UTC))
    names = [column["name"].upper() for column in shown["columnDefinitions"]]
    assert names == ["NAME", "VALUE", "GLOBAL-DEFAULT", "AGE", "PREEMPTIONPOLICY"]
    cells = shown["rows"][0]["cells"]
    assert (*cells[:3], cells[4]) == ("urgent", 1000, True, "PreemptLowerPriority")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"value": 1_000_000_001}, "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
        ({"name": "system-mine"}, "prefix are reserved for system use only. error: system-mine is not a known system"),
        ({"preemptionPolicy": "Maybe"}, 'preemptionPolicy: Unsupported value: "Maybe"'),
        ({"name": "Urgent"}, "metadata.name: Invalid value"),
    ],
)
async def test_an_invalid_priority_class_is_refused(registry: Registry, fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ApiError, match=why) as caught:
        await registry.create(PRIORITY_CLASSES, priority_class(**fields))
    assert caught.value.code == 422


async def test_the_highest_value_of_users_is_taken(registry: Registry) -> None:
    assert (await registry.create(PRIORITY_CLASSES, priority_class(value=1_000_000_000)))["value"] == 1_000_000_000


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"value": 7}, "value: Forbidden: may not be changed in an update."),
        ({"preemptionPolicy": "Never"}, "preemptionPolicy: Invalid value: .*: field is immutable"),
    ],
)
async def test_value_and_policy_are_immutable(registry: Registry, change: dict[str, Any], why: str) -> None:
    await registry.create(PRIORITY_CLASSES, priority_class())
    with pytest.raises(ApiError, match=why):
        await registry.modify(PRIORITY_CLASSES, "urgent", "", lambda old: old | change)


async def test_the_description_may_change(registry: Registry) -> None:
    await registry.create(PRIORITY_CLASSES, priority_class())
    made = await registry.modify(PRIORITY_CLASSES, "urgent", "", lambda old: old | {"description": "soon"})
    assert made is not None
    assert (made["description"], made["metadata"]["generation"]) == ("soon", 1)


async def test_only_one_can_be_the_default(registry: Registry) -> None:
    await registry.create(PRIORITY_CLASSES, priority_class(globalDefault=True))
    await registry.modify(PRIORITY_CLASSES, "urgent", "", lambda old: old | {"description": "still the default"})
    words = 'priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass urgent is already marked as default'
    with pytest.raises(ApiError, match=words) as caught:
        await registry.create(PRIORITY_CLASSES, priority_class("other", globalDefault=True))
    assert caught.value.code == 403
    await registry.create(PRIORITY_CLASSES, priority_class("other"))
    with pytest.raises(ApiError, match="Only one default can exist"):
        await registry.modify(PRIORITY_CLASSES, "other", "", lambda old: old | {"globalDefault": True})


async def test_a_pod_has_the_priority_of_its_class(registry: Registry) -> None:
    await registry.create(PRIORITY_CLASSES, priority_class(preemptionPolicy="Never"))
    spec = await spec_of(registry, priorityClassName="urgent")
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")


async def test_a_pod_without_a_class_has_the_default_one(registry: Registry) -> None:
    await registry.create(PRIORITY_CLASSES, priority_class(globalDefault=True))
    spec = await spec_of(registry)
    assert (spec["priority"], spec["priorityClassName"]) == (1000, "urgent")


async def test_a_pod_may_not_say_what_its_class_says_otherwise(registry: Registry) -> None:
    words = r"string value of PreemptionPolicy \(Never\) must not be provided .* computed PreemptLowerPriority"
    with pytest.raises(ApiError, match=words) as caught:
        await spec_of(registry, preemptionPolicy="Never")
    assert caught.value.code == 403

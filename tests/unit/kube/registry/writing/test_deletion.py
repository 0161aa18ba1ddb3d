"""Deletion: at once or step by step, with finalizers, propagation, grace and preconditions."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import DELETED, MODIFIED, DeleteOptions, Patch, PatchKind, Propagation, Registry
from mesh_lab.kube.registry.options import SYSTEM
from tests.unit.kube.registry.manifests import config_map, deployment, pod


def held(*finalizers: str) -> Object:
    obj = config_map()
    obj["metadata"]["finalizers"] = list(finalizers)
    return obj


async def release(registry: Registry, finalizers: list[str]) -> None:
    patch = Patch(PatchKind.MERGE, {"metadata": {"finalizers": finalizers}})
    await registry.patch(kinds.CONFIGMAPS, "config", "default", patch)


async def test_an_object_without_finalizers_is_deleted_at_once(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, config_map())
    last = await registry.delete(kinds.CONFIGMAPS, "config", "default")
    assert last["metadata"]["name"] == "config"
    assert registry.find(kinds.CONFIGMAPS, "config", "default") is None
    with pytest.raises(ApiError, match='configmaps "config" not found'):
        await registry.delete(kinds.CONFIGMAPS, "config", "default")


async def test_finalizers_hold_an_object_until_the_last_is_gone(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, held("a.example/x", "b.example/y"))
    waiting = await registry.delete(kinds.CONFIGMAPS, "config", "default")
    assert waiting["metadata"]["deletionTimestamp"]
    assert waiting["metadata"]["deletionGracePeriodSeconds"] == 0
    # Asking again changes nothing.
    assert await registry.delete(kinds.CONFIGMAPS, "config", "default") is waiting
    await release(registry, ["b.example/y"])
    assert registry.find(kinds.CONFIGMAPS, "config", "default") is not None
    with registry.watch(kinds.CONFIGMAPS, since=registry.revision) as watch:
        await release(registry, [])
        event = await anext(watch)
        assert (event.type, watch.poll()) == (DELETED, None)
        assert "finalizers" not in event.object["metadata"]
    assert registry.find(kinds.CONFIGMAPS, "config", "default") is None


async def test_an_object_that_is_being_deleted_takes_no_new_finalizers(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, held("a.example/x"))
    await registry.delete(kinds.CONFIGMAPS, "config", "default")
    with pytest.raises(ApiError, match="no new finalizers can be added if the object is being deleted"):
        await release(registry, ["a.example/x", "c.example/z"])


async def test_an_update_keeps_the_deletion_timestamp(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, held("a.example/x"))
    waiting = await registry.delete(kinds.CONFIGMAPS, "config", "default")
    obj = held("a.example/x")
    obj["data"] = {"a": "1"}
    updated = await registry.update(kinds.CONFIGMAPS, obj)
    assert updated["metadata"]["deletionTimestamp"] == waiting["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize(
    ("propagation", "finalizers"),
    [(Propagation.FOREGROUND, ["foregroundDeletion"]), (Propagation.ORPHAN, ["orphan"])],
)
async def test_an_owner_waits_for_its_dependents_by_finalizer(
    registry: Registry, propagation: Propagation, finalizers: list[str]
) -> None:
    await registry.create(kinds.DEPLOYMENTS, deployment())
    options = DeleteOptions(propagation=propagation)
    waiting = await registry.delete(kinds.DEPLOYMENTS, "web", "default", options=options)
    assert waiting["metadata"]["finalizers"] == finalizers
    assert waiting["metadata"]["generation"] == 2
    options = DeleteOptions(propagation=Propagation.BACKGROUND)
    await registry.delete(kinds.DEPLOYMENTS, "web", "default", options=options)
    assert registry.find(kinds.DEPLOYMENTS, "web", "default") is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (DeleteOptions(uid="other"), "Precondition failed: UID in precondition: other"),
        (DeleteOptions(resource_version="1"), "Precondition failed: ResourceVersion in precondition: 1"),
    ],
)
async def test_preconditions_are_held_to(registry: Registry, options: DeleteOptions, words: str) -> None:
    await registry.create(kinds.CONFIGMAPS, config_map())
    with pytest.raises(ApiError, match=words) as caught:
        await registry.delete(kinds.CONFIGMAPS, "config", "default", options=options)
    assert caught.value.code == 409


async def test_a_dry_run_deletes_nothing(registry: Registry) -> None:
    stored = await registry.create(kinds.CONFIGMAPS, config_map())
    await registry.delete(kinds.CONFIGMAPS, "config", "default", options=DeleteOptions(dry_run=True))
    assert registry.get(kinds.CONFIGMAPS, "config", "default") is stored


async def bound(registry: Registry, **spec: Any) -> None:
    obj = pod()
    obj["spec"] |= {"nodeName": "lab", **spec}
    await registry.create(kinds.PODS, obj)


async def test_a_pod_that_runs_nowhere_goes_at_once(registry: Registry) -> None:
    await registry.create(kinds.PODS, pod())
    await registry.delete(kinds.PODS, "one", "default")
    assert registry.find(kinds.PODS, "one", "default") is None


async def test_a_running_pod_is_deleted_by_its_node_after_its_grace(registry: Registry) -> None:
    await bound(registry, terminationGracePeriodSeconds=7)
    with registry.watch(kinds.PODS, since=registry.revision) as watch:
        waiting = await registry.delete(kinds.PODS, "one", "default")
        assert waiting["metadata"]["deletionGracePeriodSeconds"] == 7
        # A longer grace comes too late, a shorter one counts.
        await registry.delete(kinds.PODS, "one", "default", options=DeleteOptions(grace_period=60))
        shorter = await registry.delete(kinds.PODS, "one", "default", options=DeleteOptions(grace_period=1))
        assert shorter["metadata"]["deletionGracePeriodSeconds"] == 1
        await registry.delete(kinds.PODS, "one", "default", options=DeleteOptions(grace_period=0))
        events = [await anext(watch) for _ in range(3)]
        assert [event.type for event in events] == [MODIFIED, MODIFIED, DELETED]
    assert registry.find(kinds.PODS, "one", "default") is None


async def test_a_pod_that_has_ended_goes_at_once(registry: Registry) -> None:
    await bound(registry)
    patch = Patch(PatchKind.MERGE, {"status": {"phase": "Succeeded"}})
    await registry.patch(kinds.PODS, "one", "default", patch, subresource="status")
    await registry.delete(kinds.PODS, "one", "default")
    assert registry.find(kinds.PODS, "one", "default") is None


async def test_a_namespace_goes_when_it_is_finalized(registry: Registry) -> None:
    await registry.create(kinds.NAMESPACES, {"metadata": {"name": "shop"}})
    waiting = await registry.delete(kinds.NAMESPACES, "shop")
    assert waiting["status"]["phase"] == "Terminating"
    with pytest.raises(ApiError, match="because it is being terminated") as caught:
        await registry.create(kinds.CONFIGMAPS, {"metadata": {"name": "late"}}, namespace="shop")
    assert caught.value.code == 403
    # An ordinary write does not finalize it.
    obj = {"metadata": {"name": "shop"}, "spec": {"finalizers": []}}
    await registry.update(kinds.NAMESPACES, obj)
    assert registry.get(kinds.NAMESPACES, "shop")["spec"] == {"finalizers": ["kubernetes"]}
    await registry.update(kinds.NAMESPACES, obj, subresource="finalize")
    assert registry.find(kinds.NAMESPACES, "shop") is None


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_system_namespaces_cannot_be_deleted(registry: Registry, name: str) -> None:
    with pytest.raises(ApiError, match="this namespace may not be deleted") as caught:
        await registry.delete(kinds.NAMESPACES, name)
    assert caught.value.code == 403


def test_the_options_of_a_request_are_read() -> None:
    body = {
        "gracePeriodSeconds": 5,
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u", "resourceVersion": "9"},
        "dryRun": ["All"],
    }
    assert DeleteOptions.parse(body, SYSTEM) == DeleteOptions(SYSTEM, True, 5, Propagation.FOREGROUND, "u", "9")
    assert DeleteOptions.parse({"gracePeriodSeconds": -1}, SYSTEM).grace_period == 1
    assert DeleteOptions.parse({"orphanDependents": True}, SYSTEM).propagation is Propagation.ORPHAN
    assert DeleteOptions.parse({}, SYSTEM) == DeleteOptions()


@pytest.mark.parametrize("body", [{"propagationPolicy": "Sideways"}, {"dryRun": ["Some"]}])
def test_invalid_delete_options_are_refused(body: Object) -> None:
    with pytest.raises(ApiError) as caught:
        DeleteOptions.parse(body, SYSTEM)
    assert caught.value.code == 422

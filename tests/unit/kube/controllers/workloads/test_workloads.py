"""Deployments and replica sets on a real registry, as kubectl drives them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.options import AdmissionRequest, DeleteOptions, Open, Propagation
from mesh_lab.kube.resources import DEPLOYMENTS, EVENTS, PODS, REPLICASETS
from tests.unit.kube.controllers.running import Cluster, deployment, running_cluster, set_image

Object = dict[str, Any]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as running:
        yield running


def reasons(cluster: Cluster) -> set[str]:
    return {each["reason"] for each in cluster.registry.list(EVENTS)}


async def test_a_deployment_comes_up(cluster: Cluster) -> None:
    await cluster.registry.create(DEPLOYMENTS, deployment(3))
    await cluster.until("three pods", lambda: cluster.complete(3))
    assert cluster.condition("Available") == ("True", "MinimumReplicasAvailable")
    assert cluster.condition("Progressing") == ("True", "NewReplicaSetAvailable")
    (replica_set,) = cluster.registry.list(REPLICASETS, "default")
    digest = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{digest}"
    assert {pod["metadata"]["labels"]["pod-template-hash"] for pod in cluster.pods()} == {digest}
    assert cluster.get(DEPLOYMENTS, "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    await cluster.until("events", lambda: reasons(cluster) >= {"ScalingReplicaSet", "SuccessfulCreate"})


async def test_a_settled_cluster_writes_nothing(cluster: Cluster) -> None:
    await cluster.registry.create(DEPLOYMENTS, deployment(3))
    await cluster.until("three pods", lambda: cluster.complete(3))
    await cluster.settle()
    revision = cluster.registry.revision
    await cluster.settle()
    assert cluster.registry.revision == revision


async def test_a_new_image_rolls_out_and_undo_brings_the_old_one_back(cluster: Cluster) -> None:
    await cluster.registry.create(DEPLOYMENTS, deployment(4, "one"))
    await cluster.until("the first image", lambda: cluster.complete(4))
    await cluster.change(DEPLOYMENTS, "web", set_image("two"))
    await cluster.until("the second image", lambda: cluster.complete(4) and cluster.sets() == {"one": 0, "two": 4})
    await cluster.change(DEPLOYMENTS, "web", set_image("one"))
    await cluster.until("the first again", lambda: cluster.complete(4) and cluster.sets() == {"one": 4, "two": 0})
    annotations = cluster.get(DEPLOYMENTS, "web")["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    (first,) = (each for each in cluster.registry.list(REPLICASETS) if each["spec"]["replicas"])
    assert first["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


async def test_a_rollout_without_ready_pods_stops_at_its_bounds_and_misses_its_deadline(cluster: Cluster) -> None:
    await cluster.registry.create(DEPLOYMENTS, deployment(4, "one", progressDeadlineSeconds=1, minReadySeconds=0))
    await cluster.until("the first image", lambda: cluster.complete(4))
    cluster.automatic = False
    await cluster.change(DEPLOYMENTS, "web", set_image("two"))
    await cluster.until("a stop", lambda: cluster.condition("Progressing") == ("False", "ProgressDeadlineExceeded"))
    assert cluster.sets() == {"one": 3, "two": 2}
    assert cluster.status()["unavailableReplicas"] == 2


async def test_recreate_removes_all_old_pods_first(cluster: Cluster) -> None:
    await cluster.registry.create(DEPLOYMENTS, deployment(3, "one", strategy={"type": "Recreate"}))
    await cluster.until("the first image", lambda: cluster.complete(3))
    with cluster.registry.watch(PODS, "default") as watch:
        await cluster.change(DEPLOYMENTS, "web", set_image("two"))
        await cluster.until("the second image", lambda: cluster.complete(3) and cluster.sets()["two"] == 3)
        images: list[set[str]] = []
        present: dict[str, str] = {}
        async for event in watch:
            if event.type == "BOOKMARK":
                continue
            name, image = event.object["metadata"]["name"], event.object["spec"]["containers"][0]["image"]
            if event.type == "DELETED":
                present.pop(name)
            else:
                present[name] = image
            images.append(set(present.values()))
            if len(present) == 3 and images[-1] == {"two"}:
                break
    assert {"one", "two"} not in images


async def test_scaling_and_pausing(cluster: Cluster) -> None:
    await cluster.registry.create(DEPLOYMENTS, deployment(2))
    await cluster.until("two pods", lambda: cluster.complete(2))
    await cluster.change(DEPLOYMENTS, "web", lambda found: found["spec"].update(paused=True, replicas=5))
    await cluster.until("five pods", lambda: cluster.complete(5))
    assert cluster.condition("Progressing") == ("Unknown", "DeploymentPaused")
    await cluster.change(DEPLOYMENTS, "web", set_image("two"))
    await cluster.settle()
    assert cluster.sets() == {"one": 5}
    await cluster.change(DEPLOYMENTS, "web", lambda found: found["spec"].update(paused=False))
    await cluster.until("the second image", lambda: cluster.complete(5) and cluster.sets() == {"one": 0, "two": 5})
    await cluster.change(DEPLOYMENTS, "web", lambda found: found["spec"].update(replicas=0))
    await cluster.until("no pods", lambda: not cluster.pods() and cluster.complete(0))


async def test_old_revisions_are_forgotten_beyond_the_limit(cluster: Cluster) -> None:
    await cluster.registry.create(DEPLOYMENTS, deployment(1, "one", revisionHistoryLimit=1))
    await cluster.until("image one", lambda: cluster.complete(1))
    for image in ("two", "three", "four"):
        await cluster.change(DEPLOYMENTS, "web", set_image(image))
        await cluster.until(f"image {image}", lambda image=image: cluster.complete(1) and cluster.sets()[image] == 1)
    await cluster.until("two revisions", lambda: cluster.sets() == {"three": 0, "four": 1})


async def test_a_deleted_pod_is_replaced_and_a_relabelled_one_is_released(cluster: Cluster) -> None:
    await cluster.registry.create(DEPLOYMENTS, deployment(2))
    await cluster.until("two pods", lambda: cluster.complete(2))
    first, second = cluster.pods()
    await cluster.registry.delete(PODS, first["metadata"]["name"], "default")
    name = second["metadata"]["name"]
    await cluster.change(PODS, name, lambda found: found["metadata"]["labels"].pop("pod-template-hash"))
    await cluster.until("two others", lambda: cluster.complete(2) and len(cluster.pods()) == 3)
    await cluster.until("a free pod", lambda: not cluster.get(PODS, name)["metadata"].get("ownerReferences"))


async def test_deleting_in_the_foreground_background_and_with_orphans(cluster: Cluster) -> None:
    for propagation in (Propagation.FOREGROUND, Propagation.BACKGROUND):
        await cluster.registry.create(DEPLOYMENTS, deployment(2))
        await cluster.until("two pods", lambda: cluster.complete(2))
        await cluster.registry.delete(DEPLOYMENTS, "web", "default", options=DeleteOptions(propagation=propagation))
        await cluster.until(
            f"nothing left ({propagation})",
            lambda: not any(cluster.registry.list(each, "default") for each in (DEPLOYMENTS, REPLICASETS, PODS)),
        )
    await cluster.registry.create(DEPLOYMENTS, deployment(2))
    await cluster.until("two pods", lambda: cluster.complete(2))
    await cluster.registry.delete(DEPLOYMENTS, "web", "default", options=DeleteOptions(propagation=Propagation.ORPHAN))
    await cluster.until("no deployment", lambda: cluster.registry.find(DEPLOYMENTS, "web", "default") is None)
    await cluster.settle()
    (orphan,) = cluster.registry.list(REPLICASETS, "default")
    assert not orphan["metadata"].get("ownerReferences")
    assert len(cluster.pods()) == 2
    await cluster.registry.create(DEPLOYMENTS, deployment(2))
    await cluster.until("adoption", lambda: cluster.complete(2))
    assert [each["metadata"]["uid"] for each in cluster.registry.list(REPLICASETS)] == [orphan["metadata"]["uid"]]


class Refusing(Open):
    """A webhook that is down."""

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        if request.resource.key == PODS.key and request.operation == "CREATE":
            raise ApiError(500, "InternalError", "failed calling webhook: connection refused")
        return request.obj


async def test_pods_that_cannot_be_created_are_reported_and_come_once_they_can(cluster: Cluster) -> None:
    cluster.registry.admission = Refusing()
    await cluster.registry.create(DEPLOYMENTS, deployment(3))
    await cluster.until("a report", lambda: cluster.condition("ReplicaFailure") == ("True", "FailedCreate"))
    await cluster.until("an event", lambda: "FailedCreate" in reasons(cluster))
    assert not cluster.pods()
    cluster.registry.admission = Open()
    await cluster.until("three pods", lambda: cluster.complete(3))
    await cluster.until("no complaint", lambda: cluster.condition("ReplicaFailure") == ("", ""))


async def test_another_template_with_the_same_hash_gets_another_name(cluster: Cluster) -> None:
    await cluster.registry.create(DEPLOYMENTS, deployment(1))
    await cluster.until("one pod", lambda: cluster.complete(1))
    (taken,) = cluster.registry.list(REPLICASETS, "default")
    await cluster.registry.delete(DEPLOYMENTS, "web", "default")
    await cluster.until("nothing left", lambda: not cluster.registry.list(REPLICASETS, "default"))
    stranger = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": taken["metadata"]["name"], "namespace": "default"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "other"}},
            "template": {
                "metadata": {"labels": {"app": "other"}},
                "spec": {"containers": [{"name": "c", "image": "other"}]},
            },
        },
    }
    await cluster.registry.create(REPLICASETS, stranger)
    await cluster.registry.create(DEPLOYMENTS, deployment(1))
    await cluster.until("one pod", lambda: cluster.complete(1))
    assert cluster.status()["collisionCount"] == 1

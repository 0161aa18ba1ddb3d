"""Stateful sets: names, order, scale, updates, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.resources import PODS, STATEFULSETS
from tests.unit.kube.controllers.running import Cluster, running_cluster

Object = dict[str, Any]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as made:
        yield made


def stateful_set(replicas: int = 3, image: str = "one", **spec: Any) -> Object:
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }
    wanted = {
        "replicas": replicas,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template,
        "updateStrategy": {"type": "RollingUpdate"},
    }
    metadata = {"name": "db", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": wanted | spec}


def names(cluster: Cluster) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in cluster.pods())


def images(cluster: Cluster) -> list[str]:
    pods = sorted(cluster.pods(), key=lambda pod: str(pod["metadata"]["name"]))
    return [pod["spec"]["containers"][0]["image"] for pod in pods]


def ready(cluster: Cluster, number: int) -> bool:
    status = cluster.get(STATEFULSETS, "db").get("status") or {}
    return status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == number == status["replicas"]


async def change(cluster: Cluster, **spec: Any) -> None:
    stored = cluster.get(STATEFULSETS, "db")
    await cluster.registry.update(STATEFULSETS, {**stored, "spec": {**stored["spec"], **spec}})


async def test_pods_come_one_after_the_other_with_names_that_dns_knows(cluster: Cluster) -> None:
    cluster.automatic = False
    await cluster.registry.create(STATEFULSETS, stateful_set())
    await cluster.until("the first pod", lambda: names(cluster) == ["db-0"])
    await cluster.settle()
    assert names(cluster) == ["db-0"], "the second waits until the first is ready"
    spec = cluster.get(PODS, "db-0")["spec"]
    assert (spec["hostname"], spec["subdomain"]) == ("db-0", "db")
    assert cluster.get(PODS, "db-0")["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"
    await cluster.set_ready(cluster.get(PODS, "db-0"))
    await cluster.until("the second pod", lambda: names(cluster) == ["db-0", "db-1"])


async def test_scaling_takes_the_highest_number_first_and_a_deleted_pod_comes_back_under_its_name(
    cluster: Cluster,
) -> None:
    await cluster.registry.create(STATEFULSETS, stateful_set())
    await cluster.until("three pods", lambda: ready(cluster, 3))
    before = cluster.get(PODS, "db-1")["metadata"]["uid"]
    await cluster.registry.delete(PODS, "db-1", "default")

    def replaced() -> bool:
        found = cluster.registry.find(PODS, "db-1", "default")
        return found is not None and found["metadata"]["uid"] != before and ready(cluster, 3)

    await cluster.until("another", replaced)
    await change(cluster, replicas=1)
    await cluster.until("one pod", lambda: names(cluster) == ["db-0"] and ready(cluster, 1))


async def test_a_new_template_replaces_pods_from_the_highest_down_to_the_partition(cluster: Cluster) -> None:
    await cluster.registry.create(STATEFULSETS, stateful_set())
    await cluster.until("three pods", lambda: ready(cluster, 3))
    new = stateful_set(image="two")["spec"]["template"]
    await change(cluster, template=new, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    await cluster.until("the last is new", lambda: images(cluster) == ["one", "one", "two"])
    await cluster.settle()
    assert images(cluster) == ["one", "one", "two"]
    status = cluster.get(STATEFULSETS, "db")["status"]
    assert (status["currentReplicas"], status["updatedReplicas"]) == (2, 1)
    await change(cluster, updateStrategy={"type": "RollingUpdate"})
    await cluster.until("all are new", lambda: images(cluster) == ["two"] * 3 and ready(cluster, 3))


async def test_on_delete_waits_for_whoever_deletes(cluster: Cluster) -> None:
    await cluster.registry.create(STATEFULSETS, stateful_set(2, updateStrategy={"type": "OnDelete"}))
    await cluster.until("two pods", lambda: ready(cluster, 2))
    await change(cluster, template=stateful_set(image="two")["spec"]["template"])
    await cluster.settle()
    assert images(cluster) == ["one", "one"]
    await cluster.registry.delete(PODS, "db-0", "default")
    await cluster.until("the deleted one is new", lambda: images(cluster) == ["two", "one"])


async def test_parallel_waits_for_nobody(cluster: Cluster) -> None:
    cluster.automatic = False
    await cluster.registry.create(STATEFULSETS, stateful_set(podManagementPolicy="Parallel"))
    await cluster.until("all at once", lambda: names(cluster) == ["db-0", "db-1", "db-2"])


async def test_a_pod_of_an_older_template_that_never_gets_ready_is_replaced(cluster: Cluster) -> None:
    cluster.automatic = False
    await cluster.registry.create(STATEFULSETS, stateful_set(1))
    await cluster.until("a pod", lambda: names(cluster) == ["db-0"])
    await change(cluster, template=stateful_set(image="two")["spec"]["template"])
    await cluster.until("the new one", lambda: images(cluster) == ["two"])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}, "the lab has no persistent volumes"),
        ({"podManagementPolicy": "Random"}, 'spec.podManagementPolicy: Unsupported value: "Random"'),
        ({"updateStrategy": {"type": "Recreate"}}, 'spec.updateStrategy.type: Unsupported value: "Recreate"'),
    ],
)
async def test_what_cannot_be_had_is_refused(cluster: Cluster, spec: Object, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        await cluster.registry.create(STATEFULSETS, stateful_set(**spec))
    assert words in refused.value.message

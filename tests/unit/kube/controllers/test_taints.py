"""Pods leave nodes with taints that they do not tolerate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh_lab.kube.controllers.taints import seconds_left
from mesh_lab.kube.objects.nodes import Taint
from mesh_lab.kube.objects.pods import read_pod
from mesh_lab.kube.resources import EVENTS, NODES, PODS
from tests.unit.kube.controllers.running import Cluster, running_cluster

TAINT = Taint(key="a", value="b", effect="NoExecute")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as made:
        yield made


@pytest.mark.parametrize(
    ("tolerations", "taints", "left"),
    [
        ([], [], None),
        ([], [TAINT], 0.0),
        ([{"key": "a", "operator": "Exists"}], [TAINT], None),
        ([{"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 30}], [TAINT], 30.0),
        ([{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": -1}], [TAINT], 0.0),
        ([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}], [TAINT], 0.0),
        ([{"operator": "Exists"}], [TAINT, Taint(key="c", effect="NoExecute")], None),
        ([{"key": "a", "operator": "Exists"}], [TAINT, Taint(key="c", effect="NoExecute")], 0.0),
    ],
)
def test_how_long_a_pod_may_stay(tolerations: list[dict[str, Any]], taints: list[Taint], left: float | None) -> None:
    pod = read_pod({"metadata": {"name": "p"}, "spec": {"tolerations": tolerations}})
    assert seconds_left(pod, taints) == left


async def test_a_taint_evicts_pods_without_a_toleration_and_later_those_with_tolerationseconds(
    cluster: Cluster,
) -> None:
    await cluster.registry.create(NODES, {"metadata": {"name": "far"}})
    for name, tolerations in (
        ("goes", []),
        ("stays", [{"key": "a", "operator": "Exists"}]),
        ("lingers", [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]),
    ):
        spec = {"nodeName": "far", "containers": [{"name": "c", "image": "x"}], "tolerations": tolerations}
        await cluster.registry.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})

    def present() -> set[str]:
        return {pod["metadata"]["name"] for pod in cluster.pods()}

    taint = {"key": "a", "value": "b", "effect": "NoExecute"}
    await cluster.registry.modify(NODES, "far", "", lambda obj: {**obj, "spec": {"taints": [taint]}})
    await cluster.until("the first leaves", lambda: "goes" not in present())
    assert present() == {"stays", "lingers"}
    await cluster.until("the second leaves", lambda: present() == {"stays"})
    reasons = lambda: {event["reason"] for event in cluster.registry.list(EVENTS, "default")}  # noqa: E731
    await cluster.until("an event", lambda: "TaintManagerEviction" in reasons())

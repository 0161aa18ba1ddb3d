"""A pod's wishes about its node."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mesh_lab.kube.node import scheduling
from mesh_lab.kube.node.scheduling import Room, in_order, objection, unschedulable
from mesh_lab.kube.objects.nodes import Node, read_node
from mesh_lab.kube.objects.pods import Pod, read_pod
from tests.unit.kube.node.pods import container, typed_pod

LABELS = {"kubernetes.io/os": "linux", "cores": "4"}
NONE_OF_1 = "0/1 nodes are available: "


def node(**spec: Any) -> Node:
    return read_node({"metadata": {"name": "lab", "labels": LABELS}, "spec": spec})


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "suits"),
    [
        ({}, True),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}}, True),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, False),
        ({"affinity": affinity(expression("cores", "Gt", "3"))}, True),
        ({"affinity": affinity(expression("cores", "Lt", "3"))}, False),
        ({"affinity": affinity(expression("gpu", "Gt", "0"))}, False),
        ({"affinity": affinity(expression("gpu", "Exists"), expression("cores", "In", "4"))}, True),
        ({"affinity": affinity({})}, False),
        (
            {"affinity": affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["lab"]}]})},
            True,
        ),
    ],
)
def test_selectors_and_required_affinity(spec: dict[str, Any], suits: bool) -> None:
    assert (objection(typed_pod(**spec), node()) == "") is suits


BATCH = {"key": "dedicated", "value": "batch", "effect": "NoSchedule"}
TAINTED = "1 node(s) had untolerated taint {dedicated: batch}."


@pytest.mark.parametrize(
    ("spec", "tolerations", "why"),
    [
        ({"unschedulable": True}, [], "1 node(s) were unschedulable."),
        ({"unschedulable": True}, [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}], ""),
        ({"unschedulable": True}, [{"operator": "Exists"}], ""),
        ({"taints": [BATCH]}, [], TAINTED),
        ({"taints": [{**BATCH, "effect": "NoExecute"}]}, [], TAINTED),
        ({"taints": [{**BATCH, "effect": "PreferNoSchedule"}]}, [], ""),
        ({"taints": [BATCH]}, [{"key": "dedicated", "value": "batch"}], ""),
        ({"taints": [BATCH]}, [{"key": "dedicated", "value": "web"}], TAINTED),
        ({"taints": [BATCH]}, [{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}], TAINTED),
        ({"taints": [BATCH, {**BATCH, "key": "gpu"}]}, [{"key": "gpu", "operator": "Exists"}], TAINTED),
    ],
)
def test_cordon_and_taints(spec: dict[str, Any], tolerations: list[dict[str, Any]], why: str) -> None:
    assert objection(typed_pod(tolerations=tolerations), node(**spec)) == (NONE_OF_1 + why if why else "")


def test_lacking_resources_are_the_last_objection() -> None:
    assert objection(typed_pod(), node(), ["cpu", "memory", "pods"]) == (
        NONE_OF_1 + "1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods."
    )
    assert "unschedulable" in objection(typed_pod(), node(unschedulable=True), ["cpu"])


def asking(name: str, cpu: str, **fields: Any) -> dict[str, Any]:
    return container(name, resources={"requests": {"cpu": cpu}}, **fields)


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [asking("a", "100m"), asking("b", "1")]}, "1.1"),
        ({"containers": [asking("a", "100m")], "initContainers": [asking("i", "2"), asking("j", "1")]}, "2"),
        (
            {
                "containers": [asking("a", "1")],
                "initContainers": [asking("s", "500m", restartPolicy="Always"), asking("i", "200m")],
            },
            "1.5",
        ),
        (
            {
                "containers": [asking("a", "100m")],
                "initContainers": [asking("s", "500m", restartPolicy="Always"), asking("i", "1")],
            },
            "1.5",
        ),
        ({"containers": [asking("a", "1")], "overhead": {"cpu": "250m"}}, "1.25"),
        ({"containers": [asking("a", "1")], "resources": {"requests": {"cpu": "3"}}}, "3"),
    ],
)
def test_the_effective_requests_of_a_pod(spec: dict[str, Any], cpu: str) -> None:
    found = scheduling.requests(typed_pod(**spec))
    assert (found["cpu"], found["pods"]) == (Decimal(cpu), 1)


def test_room_counts_requests_and_reports_their_release() -> None:
    freed: list[str] = []
    here = Room(lambda: freed.append("freed"))
    allocatable = {"cpu": Decimal(2), "pods": Decimal(3)}

    def ask(uid: str, cpu: str) -> Pod:
        return read_pod({"metadata": {"name": uid, "uid": uid}, "spec": {"containers": [asking("c", cpu)]}})

    first, second = ask("1", "1500m"), ask("2", "1")
    assert here.lacking(first, allocatable) == []
    here.take(first)
    assert here.lacking(first, allocatable) == [], "what it has taken itself is not in its way"
    assert here.lacking(second, allocatable) == ["cpu"]
    assert here.lacking(ask("3", "500m"), {**allocatable, "pods": Decimal(1)}) == ["pods"]
    here.give_back(second)
    assert freed == []
    here.give_back(first)
    assert (freed, here.lacking(second, allocatable)) == (["freed"], [])
    assert here.lacking(ask("4", "3"), allocatable) == ["cpu"]


def test_an_unschedulable_pod_has_the_reason_and_its_other_conditions() -> None:
    status = unschedulable({"conditions": [{"type": "Custom", "status": "True"}]}, "no place")
    assert [c["type"] for c in status["conditions"]] == ["Custom", "PodScheduled"]
    assert status["conditions"][1]["message"] == "no place"


def test_critical_pods_come_first_and_then_the_oldest() -> None:
    def found(name: str, created: str, **spec: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:00:{created}Z"}, "spec": spec}

    pods = [found("young", "30", priority=0), found("old", "10"), found("critical", "40", priority=2_000_000_000)]
    assert [pod["metadata"]["name"] for pod in in_order(pods)] == ["critical", "old", "young"]

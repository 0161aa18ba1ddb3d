"""A pod's wishes about its node."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kube.node.scheduling import in_order, objection, unschedulable
from tests.unit.kube.node.pods import typed_pod

LABELS = {"kubernetes.io/os": "linux", "cores": "4"}


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
    assert (objection(typed_pod(**spec), "lab", LABELS) == "") is suits


def test_an_unschedulable_pod_says_why_and_keeps_its_other_conditions() -> None:
    status = unschedulable({"conditions": [{"type": "Custom", "status": "True"}]}, "no place", "now")
    assert [c["type"] for c in status["conditions"]] == ["Custom", "PodScheduled"]
    assert status["conditions"][1]["message"] == "no place"


def test_critical_pods_come_first_and_then_the_oldest() -> None:
    def found(name: str, created: str, **spec: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:00:{created}Z"}, "spec": spec}

    pods = [found("young", "30", priority=0), found("old", "10"), found("critical", "40", priority=2_000_000_000)]
    assert [pod["metadata"]["name"] for pod in in_order(pods)] == ["critical", "old", "young"]

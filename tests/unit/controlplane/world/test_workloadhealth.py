"""Which WorkloadEntries are well enough to get requests."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.model import WorkloadEntry
from mesh_lab.controlplane.world.workloadhealth import ANNOTATION, is_healthy
from mesh_lab.controlplane.xds.entries import endpoint_table
from tests.unit.controlplane.cluster import Cluster, config, service


def entry(status: Any = None, checked: str = "true") -> dict[str, Any]:
    made = config("WorkloadEntry", "vm", {"address": "172.31.0.7", "labels": {"app": "web"}})
    made["metadata"]["annotations"] = {ANNOTATION: checked}
    return {**made, "status": status}


def condition(value: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Other", "status": "True"}, {"type": "Healthy", "status": value}]}


@pytest.mark.parametrize(
    ("status", "checked", "healthy"),
    [
        (condition("True"), "true", True),
        (condition("False"), "true", False),
        (condition("False"), "false", True),
        (condition("False"), "perhaps", True),
        (None, "true", False),
        ({"conditions": [{"type": "Other", "status": "True"}]}, "1", False),
        ({"conditions": "none"}, "true", False),
        ({"conditions": ["none"]}, "true", False),
        ("none", "true", False),
    ],
)
def test_a_machine_whose_health_is_checked_is_healthy_once_it_has_said_so(
    status: Any, checked: str, healthy: bool
) -> None:
    assert is_healthy(entry(status, checked)) is healthy
    assert is_healthy(config("WorkloadEntry", "vm", {"address": "172.31.0.7"}))


def test_one_that_is_not_healthy_is_no_endpoint() -> None:
    hosts = {"hosts": ["web.example"], "ports": [{"number": 80, "name": "http"}], "resolution": "STATIC"}
    selecting = config("ServiceEntry", "web", {**hosts, "workloadSelector": {"labels": {"app": "web"}}})
    cluster = Cluster().add("Service", service("web", ("http", 80))).istio(selecting, entry(condition("True")))

    def endpoints() -> list[int]:
        table = endpoint_table(cluster.snapshot())
        keys = (("default", "web"), ("default", "web/web.example"))
        return [len(table[key].endpoints) if key in table else 0 for key in keys]

    assert endpoints() == [1, 1]
    assert cluster.world.apply("WorkloadEntry", "MODIFIED", entry(condition("False")))
    assert endpoints() == [0, 0]
    assert cluster.snapshot().of(WorkloadEntry)["default", "vm"].healthy is False
    assert cluster.world.apply("WorkloadEntry", "MODIFIED", entry(condition("True")))
    assert endpoints() == [1, 1]

"""What machines report of their health, and what is written of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import pytest
from envoy.config.core.v3.base_pb2 import Node

from mesh_lab.controlplane.delivery.health import HealthReports
from mesh_lab.controlplane.delivery.identity import Caller, Unauthenticated
from mesh_lab.controlplane.delivery.registration import Api
from mesh_lab.controlplane.kube.client import ApiError, Object
from mesh_lab.controlplane.kube.kinds import Kind
from mesh_lab.controlplane.world.workloadhealth import ANNOTATION

CALLER = Caller("vm", "account", "", "")
NAME = "ratings-172.31.0.7"


def node(**metadata: str) -> Node:
    made = Node(id="sidecar~172.31.0.7~vm-1.vm~vm.svc.cluster.local")
    made.metadata.update(metadata)
    return made


class Entries:
    """Holds one entry, and another writer that is quicker now and then."""

    def __init__(self, **annotations: str) -> None:
        self.entry: Object | None = {
            "metadata": {"name": NAME, "resourceVersion": "1", "annotations": annotations},
            "spec": {"serviceAccount": "account"},
            "status": {"conditions": [{"type": "HasFindings", "status": "True"}]},
        }
        self.writes = 0
        self.conflicts = 0

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        assert namespace == "vm"
        return copy.deepcopy(self.entry) if name == NAME else None

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        assert self.entry is not None
        assert subresource == "status"
        assert patch["metadata"]["resourceVersion"] == self.entry["metadata"]["resourceVersion"]
        self.writes += 1
        if self.conflicts:
            self.conflicts -= 1
            raise ApiError(409, "Conflict", "another version")
        self.entry["status"] = patch["status"]
        return self.entry

    def conditions(self) -> dict[str, tuple[str, str]]:
        assert self.entry is not None
        return {each["type"]: (each["status"], each.get("message", "")) for each in self.entry["status"]["conditions"]}


async def report(entries: Entries, problem: str = "", said: Node | None = None) -> None:
    given = said if said is not None else node(AUTO_REGISTER_GROUP="ratings")
    await HealthReports(cast("Api", entries)).take(CALLER, given, problem)


async def test_a_report_becomes_the_condition_beside_the_others() -> None:
    entries = Entries(**{ANNOTATION: "true"})
    await report(entries)
    assert entries.conditions() == {"HasFindings": ("True", ""), "Healthy": ("True", "")}
    await report(entries, "connection refused")
    assert entries.conditions()["Healthy"] == ("False", "connection refused")


async def test_what_is_written_already_is_not_written_again() -> None:
    entries = Entries(**{ANNOTATION: "true"})
    for _ in range(3):
        await report(entries)
    assert entries.writes == 1


async def test_the_entry_is_the_one_that_the_node_names_or_its_groups() -> None:
    entries = Entries(**{ANNOTATION: "true"})
    await report(entries, said=node(WORKLOAD_ENTRY=NAME))
    assert "Healthy" in entries.conditions()
    with pytest.raises(Unauthenticated, match="neither its WorkloadGroup nor its WorkloadEntry"):
        await report(entries, said=node())


async def test_only_an_entry_whose_health_is_checked_gets_it() -> None:
    entries = Entries()
    await report(entries)
    assert entries.writes == 0
    entries.entry = None
    await report(entries)


async def test_another_writer_is_waited_for_but_not_for_ever() -> None:
    entries = Entries(**{ANNOTATION: "true"})
    entries.conflicts = 2
    await report(entries)
    assert entries.writes == 3
    entries.conflicts = 9
    with pytest.raises(ApiError, match="another version"):
        await report(entries, "down")


async def test_the_entry_of_another_account_is_not_touched() -> None:
    entries = Entries(**{ANNOTATION: "true"})
    assert entries.entry is not None
    entries.entry["spec"]["serviceAccount"] = "other"
    with pytest.raises(Unauthenticated, match="is of service account other"):
        await report(entries)
    assert entries.writes == 0

"""Machines that register by themselves: the entry that is made of a group, and what becomes of it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from mesh_lab import rfc3339
from mesh_lab.controlplane.delivery import registration
from mesh_lab.controlplane.delivery.identity import Unauthenticated
from mesh_lab.controlplane.delivery.machines import Claim, Machine
from mesh_lab.controlplane.delivery.push import Connection
from mesh_lab.controlplane.delivery.registration import Registrar, Unregistered, entry_name, entry_of_group, is_left
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.client import ApiError, Object, Unreachable
from mesh_lab.controlplane.kube.kinds import FOLLOWED, Kind
from mesh_lab.controlplane.model import WorkloadGroup
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.world.workloadhealth import ANNOTATION
from tests.unit.controlplane.cluster import Cluster, config, pod

CLAIM = Claim("vm", "vm-1", "172.31.0.7", "account", {"app": "said"}, "ratings", group="ratings")
NAME = "ratings-172.31.0.7"
SPEC: dict[str, Any] = {
    "metadata": {"labels": {"app": "group", "tier": "back"}, "annotations": {"note": "x"}},
    "template": {
        "labels": {"tier": "template", "own": "template"},
        "ports": {"http": 9080},
        "serviceAccount": "account",
        "network": "n",
        "locality": "r/z",
        "weight": 3,
    },
}


def group_object(**template: Any) -> Object:
    made = config("WorkloadGroup", "ratings", {**SPEC, "template": {**SPEC["template"], **template}}, namespace="vm")
    made["metadata"]["uid"] = "u1"
    return made


def group() -> Config[WorkloadGroup]:
    return Cluster().istio(group_object()).snapshot().of(WorkloadGroup)["vm", "ratings"]


def test_names_are_those_of_istio() -> None:
    assert entry_name(CLAIM) == NAME
    assert entry_name(replace(CLAIM, address="fd00::7", network="n1")) == "ratings-fd00--7-n1"
    assert entry_name(replace(CLAIM, group="g" * 300)) == f"{'g' * 242}-172.31.0.7"


def test_an_entry_is_made_of_its_group_and_of_what_the_node_says() -> None:
    made = entry_of_group(CLAIM, group(), "u1")
    labels = {"app": "said", "tier": "back", "own": "template"}
    assert made["metadata"] == {
        "name": NAME,
        "namespace": "vm",
        "labels": labels,
        "annotations": {"istio.io/autoRegistrationGroup": "ratings", "note": "x"},
        "ownerReferences": [
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "WorkloadGroup",
                "name": "ratings",
                "uid": "u1",
                "controller": True,
            }
        ],
    }
    assert made["spec"] == {
        "address": "172.31.0.7",
        "labels": labels,
        "ports": {"http": 9080},
        "network": "n",
        "locality": "r/z",
        "weight": 3,
        "serviceAccount": "account",
    }
    elsewhere = replace(CLAIM, labels={"istio-locality": "a.b.c"}, network="m")
    other = entry_of_group(elsewhere, group(), "u1")["spec"]
    assert (other["locality"], other["network"]) == ("a/b/c", "m")
    assert "istio-locality" not in other["labels"]


def test_an_entry_is_left_once_its_machine_has_been_away_for_the_grace_period() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def entry(**annotations: str) -> Object:
        return {"metadata": {"annotations": {f"istio.io/{name}": value for name, value in annotations.items()}}}

    before, just = (rfc3339.micro_timestamp(now - timedelta(seconds=seconds)) for seconds in (10, 9))
    assert is_left(entry(autoRegistrationGroup="g", disconnectedAt=before), now)
    assert not is_left(entry(autoRegistrationGroup="g", disconnectedAt=just), now)
    assert not is_left(entry(autoRegistrationGroup="g", disconnectedAt=before, connectedAt=before), now)
    assert not is_left(entry(disconnectedAt=before), now), "it was written by hand"
    assert not is_left(entry(autoRegistrationGroup="g", disconnectedAt="once"), now)
    assert not is_left({"metadata": {}}, now)


class Api:
    """Keeps entries, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.entries: dict[str, Object] = {}
        self.failures: list[Exception] = []
        self.version = 0

    def _store(self, entry: Object) -> Object:
        self.version += 1
        entry["metadata"]["resourceVersion"] = str(self.version)
        self.entries[entry["metadata"]["name"]] = entry
        return copy.deepcopy(entry)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        self._fail()
        return copy.deepcopy(self.entries.get(name))

    async def list_all(self, kind: Kind, namespace: str = "") -> tuple[list[Object], str]:
        self._fail()
        return copy.deepcopy([*self.entries.values()]), ""

    async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
        self._fail()
        return self._store(copy.deepcopy(obj))

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        self._fail()
        known = self.entries[name]
        if patch["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "another version")
        known |= {"status": patch["status"]} if "status" in patch else {}
        annotations = known["metadata"]["annotations"] | patch["metadata"].get("annotations", {})
        known["metadata"]["annotations"] = {name: value for name, value in annotations.items() if value is not None}
        return self._store(known)

    async def delete(self, kind: Kind, name: str, namespace: str, resource_version: str) -> None:
        self._fail()
        assert self.entries[name]["metadata"]["resourceVersion"] == resource_version
        del self.entries[name]

    def said(self, name: str = NAME) -> dict[str, str]:
        """What is written on an entry, by the last part of each annotation's name."""
        annotations: dict[str, str] = self.entries[name]["metadata"]["annotations"]
        return {key.rpartition("/")[2]: value for key, value in annotations.items()}


class Plane:
    """A registrar, with the connections that a test says there are."""

    def __init__(self) -> None:
        self.api, self.state = Api(), ClusterState()
        self.connections: list[Connection] = []
        self.registrar = Registrar(self.api, self.state, lambda: self.connections, "istiod-1")
        self.state.complete = True

    def put(self, kind: str, obj: Object, event: str = "ADDED") -> None:
        self.state.apply(FOLLOWED[kind], event, obj)
        self.state.snapshot()

    async def come(self, claim: Claim = CLAIM) -> Connection:
        """A machine registers, and is connected."""
        name = await self.registrar.register(claim)
        machine = Machine(replace(claim, entry=name))
        snapshot = self.state.latest
        made = Connection(claim.proxy, machine.view(snapshot), cast("Any", None), machine)
        self.connections.append(made)
        return made

    def go(self, connection: Connection) -> None:
        self.connections.remove(connection)
        self.registrar.left(connection)


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Plane:
    monkeypatch.setattr(registration, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(registration, "_SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(registration, "_RETRY_SECONDS", 0.01)
    made = Plane()
    made.put("WorkloadGroup", group_object())
    return made


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)


async def test_a_machine_that_comes_has_an_entry_until_it_stays_away(plane: Plane) -> None:
    connection = await plane.come()
    said = plane.api.said()
    assert said.keys() == {"autoRegistrationGroup", "workloadController", "connectedAt", "note"}
    assert said["workloadController"] == "istiod-1"
    assert plane.api.entries[NAME]["metadata"]["ownerReferences"][0]["uid"] == "u1"
    plane.go(connection)
    await until(lambda: "disconnectedAt" in plane.api.said())
    assert "connectedAt" not in plane.api.said()
    await until(lambda: not plane.api.entries)


async def test_a_machine_that_comes_again_keeps_its_entry(plane: Plane) -> None:
    plane.go(await plane.come())
    await until(lambda: "disconnectedAt" in plane.api.said())
    await plane.come()
    assert "disconnectedAt" not in plane.api.said()
    await asyncio.sleep(0.2)  # longer than the grace period, in which it would have gone
    assert "connectedAt" in plane.api.said()


async def test_another_stream_of_the_machine_keeps_it_connected(plane: Plane) -> None:
    first = await plane.come()
    await plane.come()
    plane.go(first)
    await asyncio.sleep(0.1)
    assert "disconnectedAt" not in plane.api.said()


async def test_an_entry_of_another_istiod_is_left_to_it(plane: Plane) -> None:
    connection = await plane.come()
    plane.api.entries[NAME]["metadata"]["annotations"]["istio.io/workloadController"] = "istiod-2"
    plane.go(connection)
    await asyncio.sleep(0.2)
    assert "connectedAt" in plane.api.said()


async def test_what_cannot_be_written_now_is_written_later(plane: Plane) -> None:
    connection = await plane.come()
    plane.api.failures = [Unreachable("away"), ApiError(500, "", "no"), ApiError(409, "Conflict", "quicker")]
    plane.go(connection)
    await until(lambda: not plane.api.entries)


async def test_a_machine_without_a_group_or_of_another_account_is_refused(plane: Plane) -> None:
    with pytest.raises(Unregistered, match=r"vm-1.vm failed: cannot find WorkloadGroup vm/nothing"):
        await plane.registrar.register(replace(CLAIM, group="nothing"))
    other = replace(CLAIM, service_account="other")
    with pytest.raises(
        Unauthenticated, match=r"WorkloadGroup vm/ratings is of service account account, .* that of other"
    ):
        await plane.registrar.register(other)
    assert not plane.api.entries
    await plane.come()
    with pytest.raises(Unauthenticated, match=f"WorkloadEntry vm/{NAME} is of service account account"):
        await plane.registrar.register(other)


async def test_an_entry_that_the_api_server_refuses_is_told(plane: Plane) -> None:
    plane.api.failures = [ApiError(422, "Invalid", "spec.labels: bad")]
    with pytest.raises(ApiError):
        await plane.registrar.register(CLAIM)  # its reading, which is no refusal

    class Refusing(Api):
        async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
            raise ApiError(422, "Invalid", "spec.labels: bad")

    plane.registrar._api = Refusing()
    with pytest.raises(Unregistered, match=r"error creating WorkloadEntry: .*spec.labels: bad"):
        await plane.registrar.register(CLAIM)


async def test_entries_that_a_dead_istiod_has_left_behind_are_removed(plane: Plane) -> None:
    connection = await plane.come()
    hand = {"metadata": {"name": "by-hand", "namespace": "vm", "annotations": {"istio.io/connectedAt": "2020-01-01"}}}
    plane.api._store(hand)
    plane.connections.clear()
    del connection
    plane.api.entries[NAME]["metadata"]["annotations"]["istio.io/workloadController"] = "istiod-0"
    plane.put("Pod", pod("istiod-0", "10.244.0.5", namespace="istio-system", meshed=False))
    running = asyncio.create_task(plane.registrar.run())
    await asyncio.sleep(0.3)
    assert plane.api.entries.keys() == {NAME, "by-hand"}, "that istiod is there"
    plane.put("Pod", pod("istiod-0", "10.244.0.5", namespace="istio-system", meshed=False), "DELETED")
    await until(lambda: plane.api.entries.keys() == {"by-hand"})
    running.cancel()


async def test_what_a_machine_that_was_written_by_hand_said_of_its_health_goes_with_it(plane: Plane) -> None:
    claim = replace(CLAIM, group="", entry="by-hand")
    status = {"conditions": [{"type": "Healthy", "status": "True"}, {"type": "HasFindings", "status": "True"}]}
    hand = {"metadata": {"name": "by-hand", "namespace": "vm", "annotations": {}}, "status": status}
    plane.api._store(copy.deepcopy(hand))
    plane.put("WorkloadEntry", config("WorkloadEntry", "by-hand", {"address": "172.31.0.7"}, namespace="vm"))
    plane.go(await plane.come(claim))
    await asyncio.sleep(0.2)
    assert plane.api.entries["by-hand"]["status"] == status, "its health is not checked"
    assert plane.api.said("by-hand") == {}
    hand["metadata"]["annotations"] = {ANNOTATION: "true"}
    plane.api._store(copy.deepcopy(hand))
    connection = await plane.come(claim)
    assert plane.api.said("by-hand").keys() == {"health-checks-enabled", "workloadController", "connectedAt"}
    plane.go(connection)
    await until(
        lambda: [each["type"] for each in plane.api.entries["by-hand"]["status"]["conditions"]] == ["HasFindings"]
    )
    assert "disconnectedAt" in plane.api.said("by-hand")


async def test_machines_register_with_a_group_that_comes_after_them(plane: Plane) -> None:
    await plane.come()
    plane.api.entries.clear()
    plane.put("WorkloadGroup", group_object(), "DELETED")
    assert not plane.api.entries
    plane.put("WorkloadGroup", group_object())
    await until(lambda: NAME in plane.api.entries)


async def test_a_machine_that_registered_late_and_leaves_is_removed_after_the_grace_period(plane: Plane) -> None:
    connection = await plane.come()
    plane.api.entries.clear()
    plane.put("WorkloadGroup", group_object(), "DELETED")
    plane.put("WorkloadGroup", group_object())
    await until(lambda: NAME in plane.api.entries)
    assert plane.api.said()["connectedAt"] == rfc3339.micro_timestamp(connection.connected_at)
    plane.go(connection)
    await until(lambda: NAME not in plane.api.entries)


async def test_a_machine_that_leaves_while_it_registers_late_is_said_to_have_left(plane: Plane) -> None:
    connection = await plane.come()
    plane.api.entries.clear()
    plane.put("WorkloadGroup", group_object(), "DELETED")
    plane.put("WorkloadGroup", group_object())
    plane.connections.remove(connection)
    await until(lambda: NAME in plane.api.entries)
    await until(lambda: NAME not in plane.api.entries)


async def test_an_entry_that_cannot_be_written_keeps_no_other_from_its_turn(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {"istio.io/workloadController": "istiod-0", "istio.io/connectedAt": "2020-01-01T00:00:00Z"}
    for name in ("refused", "second"):
        labelled = {"istio.io/autoRegistrationGroup": "g", **gone}
        plane.api._store({"metadata": {"name": name, "namespace": "vm", "annotations": labelled}})
    merge = plane.api.merge

    async def refusing(kind: Kind, name: str, *more: Any) -> Object:
        if name == "refused":
            raise ApiError(422, "Invalid", "no")
        return await merge(kind, name, *more)

    monkeypatch.setattr(plane.api, "merge", refusing)
    running = asyncio.create_task(plane.registrar.run())
    await until(lambda: plane.api.entries.keys() == {"refused"})
    running.cancel()

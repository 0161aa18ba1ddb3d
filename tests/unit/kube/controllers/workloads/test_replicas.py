"""Which pods count, which are available, and which a replica set gives up first."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from mesh_lab.kube.controllers.workloads.replicas import count, counts_as_replica, until_available, victims
from mesh_lab.kube.objects.pods import Pod
from tests.unit.kube.controllers.making import START, pod, replica_set


def names(pods: list[Pod]) -> list[str]:
    return [each.metadata.name for each in pods]


def test_victims_are_chosen_in_kubernetes_order() -> None:
    assigned = pod("unassigned", ready=True)
    unassigned = msgspec.structs.replace(assigned, spec=msgspec.structs.replace(assigned.spec, node_name=""))
    pending = pod("pending", phase="Pending")
    broken = pod("broken")
    young, old = pod("young", ready=True, age=9), pod("old", ready=True, age=1)
    late = pod("late", ready=True, since=50)
    restarted = pod("restarted", ready=True, age=1, containerStatuses=[{"name": "c", "restartCount": 2}])
    order = [unassigned, pending, broken, late, restarted, young, old]
    assert names(victims(reversed(order), len(order))) == names(order)
    assert names(victims(order, 2)) == ["unassigned", "pending"]


def test_a_pod_of_lower_deletion_cost_goes_first() -> None:
    def costing(name: str, cost: str) -> Pod:
        made = pod(name, ready=True)
        annotations = {"controller.kubernetes.io/pod-deletion-cost": cost}
        return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, annotations=annotations))

    assert names(victims([costing("dear", "10"), costing("odd", "much"), costing("cheap", "-5")], 3)) == [
        "cheap",
        "odd",
        "dear",
    ]


def test_pods_that_ended_or_are_being_deleted_are_no_replicas() -> None:
    leaving = pod("leaving", ready=True)
    metadata = msgspec.structs.replace(leaving.metadata, deletion_timestamp=START)
    assert counts_as_replica(pod("well"))
    assert not counts_as_replica(msgspec.structs.replace(leaving, metadata=metadata))
    assert not counts_as_replica(pod("done", phase="Succeeded"))


def test_a_pod_is_available_once_it_was_ready_for_long_enough() -> None:
    moment = START + timedelta(seconds=10)
    assert until_available(pod("p"), 0, moment) is None
    assert until_available(pod("p", ready=True, since=10), 0, moment) == 0
    assert until_available(pod("p", ready=True, since=4), 30, moment) == 24
    assert until_available(pod("p", ready=True, since=0), 10, moment) == 0


def test_the_status_has_counts_and_the_time_of_the_next_check() -> None:
    owner = replica_set("web", 3)
    owner = msgspec.structs.replace(owner, spec=msgspec.structs.replace(owner.spec, min_ready_seconds=30))
    pods = [pod("a", ready=True, since=0), pod("b", ready=True, since=20), pod("c", ready=True, since=10), pod("d")]
    status, again = count(owner, pods, START + timedelta(seconds=30))
    assert (status.replicas, status.ready_replicas, status.available_replicas) == (4, 3, 1)
    assert again == 10

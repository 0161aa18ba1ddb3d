"""A pod's phase, conditions and container statuses follow from what its containers do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mesh_lab.kube.node.pod.facts import ContainerFacts, PodFacts, Running, State, Terminated, Waiting, initial_facts
from mesh_lab.kube.node.pod.status import build, pod_phase, qos_class
from tests.unit.kube.node.pods import container, typed_pod

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2030, 1, 2, 3, 5, 5, tzinfo=UTC)
CREATING = Waiting("ContainerCreating")
CRASHED = Waiting("CrashLoopBackOff", "back-off")
UP = Running(NOW)
DONE = Terminated(0, "Completed", NOW)
DEAD = Terminated(1, "Error", NOW)


def facts(*states: State, init: tuple[State, ...] = (), initialized: bool = True) -> PodFacts:
    def named(prefix: str, all_states: tuple[State, ...]) -> dict[str, ContainerFacts]:
        made = {f"{prefix}{n}": ContainerFacts(f"{prefix}{n}", "busybox", s) for n, s in enumerate(all_states)}
        for one in made.values():
            if one.state is CRASHED:
                one.last = DEAD
        return made

    return PodFacts(init=named("i", init), main=named("c", states), initialized=initialized, start_time=NOW)


@pytest.mark.parametrize(
    ("policy", "state", "phase"),
    [
        ("Always", facts(CREATING), "Pending"),
        ("Always", facts(UP), "Running"),
        ("Always", facts(UP, CREATING), "Pending"),
        ("Always", facts(UP, CRASHED), "Running"),
        ("Always", facts(DONE), "Running"),
        ("OnFailure", facts(DEAD), "Running"),
        ("OnFailure", facts(DONE, DONE), "Succeeded"),
        ("Never", facts(DONE, DONE), "Succeeded"),
        ("Never", facts(DONE, DEAD), "Failed"),
        ("Never", facts(DONE, UP), "Running"),
        ("Always", facts(CREATING, init=(UP,), initialized=False), "Pending"),
        ("Always", facts(CREATING, init=(DEAD,), initialized=False), "Pending"),
        ("Never", facts(CREATING, init=(DEAD,), initialized=False), "Failed"),
    ],
)
def test_phase(policy: str, state: PodFacts, phase: str) -> None:
    assert pod_phase(typed_pod(restartPolicy=policy), state) == phase


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status["conditions"]}


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    state = facts(UP, UP)
    state.main["c0"].ready = True
    status = build(typed_pod(), state, {}, NOW)
    assert conditions(status)["Ready"] == "False"
    (ready,) = (c for c in status["conditions"] if c["type"] == "Ready")
    assert ready["message"] == "containers with unready status: [c1]"
    state.main["c1"].ready = True
    assert conditions(build(typed_pod(), state, status, LATER))["Ready"] == "True"


def test_conditions_keep_their_transition_times_and_those_of_other_owners_stay() -> None:
    state = facts(UP)
    old = build(typed_pod(), state, {"conditions": [{"type": "example.com/gate", "status": "True"}]}, NOW)
    state.main["c0"].ready = True
    new = build(typed_pod(), state, old, LATER)
    times = {c["type"]: c.get("lastTransitionTime") for c in new["conditions"]}
    assert times["PodScheduled"] == "2030-01-02T03:04:05Z"
    assert times["Ready"] == "2030-01-02T03:05:05Z"
    assert "example.com/gate" in times


def test_a_finished_pod_is_not_ready_with_the_reason_podcompleted() -> None:
    status = build(typed_pod(restartPolicy="Never"), facts(DONE), {}, NOW)
    (ready,) = (c for c in status["conditions"] if c["type"] == "Ready")
    assert (status["phase"], ready["status"], ready["reason"]) == ("Succeeded", "False", "PodCompleted")


def test_container_states_in_kubernetes_words() -> None:
    state = facts(CRASHED, Terminated(137, "Error", NOW, started=NOW, signal=9, message="bye"))
    first, second = build(typed_pod(), state, {}, NOW)["containerStatuses"]
    assert first["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    assert first["lastState"]["terminated"]["exitCode"] == 1
    assert second["state"]["terminated"] == {
        "exitCode": 137,
        "signal": 9,
        "reason": "Error",
        "message": "bye",
        "startedAt": "2030-01-02T03:04:05Z",
        "finishedAt": "2030-01-02T03:04:05Z",
    }


@pytest.mark.parametrize(
    ("resources", "name"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"memory": "1024Mi", "cpu": "1000m"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"memory": "1Mi"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: dict[str, Any], name: str) -> None:
    assert qos_class(typed_pod(container("a", resources=resources))) == name


def test_after_a_restart_of_the_node_running_containers_are_lost_and_ended_ones_kept() -> None:
    status = {
        "startTime": "2030-01-01T00:00:00Z",
        "containerStatuses": [
            {"name": "up", "restartCount": 2, "state": {"running": {"startedAt": "2030-01-01T00:00:00Z"}}},
            {"name": "done", "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            {
                "name": "crashing",
                "restartCount": 5,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
            },
        ],
    }
    pod = typed_pod(*(container(name) for name in ("up", "done", "crashing", "new")), status=status)
    main = initial_facts(pod, NOW).main
    lost = main["up"].state
    assert isinstance(lost, Terminated)
    assert (lost.code, lost.reason, main["up"].restarts) == (255, "Unknown", 2)
    done = main["done"].state
    assert isinstance(done, Terminated)
    assert done.code == 0
    assert isinstance(main["crashing"].state, Waiting)
    assert main["crashing"].last is not None
    assert main["crashing"].last.code == 3
    assert not main["new"].ever_ended

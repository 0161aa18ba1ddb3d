"""When a Deployment counts as ready, and what is reported of one that does not become so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client.api import Api
from mesh_lab.client.pods import has_proxy
from mesh_lab.client.rollout import is_rolled_out
from mesh_lab.errors import LabError
from mesh_lab.install import readiness
from mesh_lab.install.readiness import Workload, await_deployments, await_pods, describe, ready_containers
from tests.unit.client.serving import serve


def deployment(name: str, *, available: int = 1, replicas: int = 1, **status: int) -> dict[str, Any]:
    counts = {
        "observedGeneration": 2,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": available,
    }
    return {
        "metadata": {"namespace": "default", "name": name, "generation": 2},
        "spec": {"replicas": replicas},
        "status": counts | status,
    }


@pytest.mark.parametrize(
    ("candidate", "ready"),
    [
        (deployment("a"), True),
        (deployment("a", replicas=0, available=0), True),
        (deployment("a", available=0), False),
        (deployment("a", observedGeneration=1), False),
        (deployment("a", updatedReplicas=0), False),
        (deployment("a", replicas=2, available=1), False),
        (deployment("a") | {"status": {}}, False),
    ],
)
def test_ready_is_what_rollout_status_waits_for(candidate: dict[str, Any], ready: bool) -> None:
    assert is_rolled_out(candidate) is ready


def test_an_old_pod_that_is_still_there_means_not_ready() -> None:
    assert not is_rolled_out(deployment("a") | {"status": deployment("a")["status"] | {"replicas": 2}})


def test_it_returns_as_soon_as_the_last_one_is_ready(tmp_path: Path) -> None:
    def answer(path: str) -> Any:
        if "watch" in path:
            return events()
        return {"metadata": {"resourceVersion": "5"}, "items": [deployment("a"), deployment("b", available=0)]}

    def events() -> Iterator[tuple[str, Any]]:
        yield "MODIFIED", deployment("other", available=0)
        yield "MODIFIED", deployment("b")

    reported: list[str] = []
    with serve(tmp_path, answer) as (server, kubeconfig), Api(kubeconfig) as api:
        wanted = {Workload("default", "a"), Workload("default", "b")}
        await_deployments(api, wanted, time.monotonic() + 10, reported.append)
    assert reported == ["default/a is ready", "default/b is ready"]
    assert server.paths[1].endswith("?watch=true&resourceVersion=5")


def test_a_watch_that_breaks_off_is_begun_anew(tmp_path: Path) -> None:
    lists = 0

    def answer(path: str) -> Any:
        nonlocal lists
        if "watch" in path:
            return (410, "too old")
        lists += 1
        return {"metadata": {"resourceVersion": "5"}, "items": [deployment("a", available=int(lists > 2))]}

    with serve(tmp_path, answer) as (_, kubeconfig), Api(kubeconfig) as api:
        await_deployments(api, {Workload("default", "a")}, time.monotonic() + 10, lambda _: None)
    assert lists == 3


PODS = [
    {
        "metadata": {"namespace": "default", "name": "reviews-v1-abc"},
        "spec": {"containers": [{"name": "reviews"}, {"name": "istio-proxy"}]},
        "status": {
            "phase": "Pending",
            "containerStatuses": [
                {
                    "name": "reviews",
                    "ready": False,
                    "state": {"waiting": {"reason": "ErrImagePull", "message": "no program is known as reviews:9"}},
                },
                {"name": "istio-proxy", "ready": True, "state": {"running": {}}},
            ],
            "conditions": [
                {"type": "Ready", "status": "False", "message": "containers with unready status: [reviews]"}
            ],
        },
    },
    {
        "metadata": {"namespace": "default", "name": "ratings-v1-abc"},
        "spec": {"containers": []},
        "status": {},
    },
]
EVENTS = [
    {
        "involvedObject": {"name": "reviews-v1-abc"},
        "type": "Warning",
        "reason": "Failed",
        "message": "Failed to pull image",
    },
    {"involvedObject": {"name": "reviews-v1-abc"}, "type": "Normal", "reason": "Scheduled", "message": "fine"},
    {"involvedObject": {"name": "ratings-v1-abc"}, "type": "Warning", "reason": "Unhealthy", "message": "elsewhere"},
    {"involvedObject": {"name": "details-v1-5d"}, "type": "Warning", "reason": "FailedCreate", "message": "webhook"},
]


def stalled(path: str) -> Any:
    if "watch" in path:
        return iter(())
    if path.endswith("/pods"):
        return {"items": PODS}
    if path.endswith("/events"):
        return {"items": EVENTS}
    names = ("reviews-v1", "details-v1")
    return {"metadata": {"resourceVersion": "5"}, "items": [deployment(name, available=0) for name in names]}


def test_a_stall_shows_containers_conditions_and_events(tmp_path: Path) -> None:
    wanted = {Workload("default", "reviews-v1"), Workload("default", "details-v1")}
    reported: list[str] = []
    with serve(tmp_path, stalled) as (_, kubeconfig), Api(kubeconfig) as api, pytest.raises(LabError) as failure:
        await_deployments(api, wanted, time.monotonic() + 0.2, reported.append)
    assert failure.value.message.splitlines() == [
        "not all became ready in time:",
        "default/details-v1: no pod yet",
        "  details-v1-5d: FailedCreate: webhook",
        "default/reviews-v1-abc: Pending, 1/2 ready",
        "  container reviews is waiting, ErrImagePull: no program is known as reviews:9",
        "  Ready is False: containers with unready status: [reviews]",
        "  reviews-v1-abc: Failed: Failed to pull image",
    ]
    # The same news is reported once.
    assert [line.splitlines()[0] for line in reported] == ["still waiting:"]


def test_an_api_that_goes_away_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_SILENCE_SECONDS", 0.1)
    with serve(tmp_path, lambda _: {}) as (_, kubeconfig):
        pass
    with Api(kubeconfig) as api, pytest.raises(LabError, match=r"the cluster's API: .* does not answer"):
        await_deployments(api, {Workload("default", "a")}, time.monotonic() + 10, lambda _: None)


def test_a_native_sidecar_counts_as_a_container_and_as_a_proxy() -> None:
    pod = {
        "spec": {
            "containers": [{"name": "details"}],
            "initContainers": [{"name": "istio-init"}, {"name": "istio-proxy", "restartPolicy": "Always"}],
        },
        "status": {
            "containerStatuses": [{"name": "details", "ready": False}],
            "initContainerStatuses": [{"name": "istio-init", "ready": True}, {"name": "istio-proxy", "ready": True}],
        },
    }
    assert ready_containers(pod) == (1, 2)
    assert has_proxy(pod)
    assert not has_proxy({"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "istio-proxy"}]}})


START = datetime(2026, 1, 1, 10, 0, 0, tzinfo=UTC)


def seen(started: str, *, ready: bool = True, node: str = "n1") -> dict[str, Any]:
    state = {"running": {"startedAt": started}}
    return {
        "metadata": {"namespace": "default", "name": "reviews-1"},
        "spec": {"nodeName": node, "containers": [{"name": "a"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "a", "ready": ready, "state": state}]},
    }


def test_a_pod_counts_only_once_its_kubelet_has_seen_it_again() -> None:
    """After a node's stop its pods are ready by a status of before, until its kubelet has looked at them."""
    states = [seen("2026-01-01T09:00:00Z"), seen("2026-01-01T10:00:02Z", ready=False), seen("2026-01-01T10:00:02Z")]
    reported: list[str] = []
    await_pods(lambda: [states.pop(0)], {"n1": START}, time.monotonic() + 20, reported.append)
    assert states == []
    assert reported == [
        "waiting for pods:\n  default/reviews-1: not seen again since its node was started",
        "waiting for pods:\n  default/reviews-1: Running, 0/1 ready",
    ]


def test_a_start_says_nothing_of_single_pods_for_a_while() -> None:
    states = [seen("2026-01-01T09:00:00Z"), seen("2026-01-01T10:00:02Z")]
    reported: list[str] = []
    await_pods(lambda: [states.pop(0)], {"n1": START}, time.monotonic() + 20, reported.append, quiet=60.0)
    assert (states, reported) == ([], [])


def test_of_a_node_whose_start_is_not_known_the_status_is_believed() -> None:
    await_pods(lambda: [seen("2026-01-01T09:00:00Z", node="n2")], {"n1": START}, time.monotonic() + 20, print)


def test_pods_that_do_not_come_back_are_reported_at_the_deadline() -> None:
    with pytest.raises(LabError, match="not seen again since its node was started"):
        await_pods(lambda: [seen("2026-01-01T09:00:00Z")], {"n1": START}, time.monotonic() - 1, lambda _: None)


def test_a_deployment_whose_pods_are_ready_is_not_said_to_have_none(tmp_path: Path) -> None:
    def answer(path: str) -> Any:
        if path.endswith("/pods"):
            return {"items": [seen("2026-01-01T10:00:02Z")]}
        return {"items": []} if path.endswith("/events") else deployment("reviews", available=0)

    with serve(tmp_path, answer) as (_, kubeconfig), Api(kubeconfig) as api:
        (line,) = describe(api, [Workload("default", "reviews")])
    assert line == (
        "default/reviews: its pods are ready; of 1 wanted, its status counts 1 of the newest template, 1 in all, "
        "0 available"
    )


def test_the_last_words_of_a_container_that_crashed_are_reported() -> None:
    ended = {"exitCode": 134, "reason": "Error", "message": "starting\nassert failure: watch_fd >= 0"}
    container = {
        "name": "istio-proxy",
        "ready": False,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": ended},
    }
    assert readiness._troubles({"status": {"containerStatuses": [container]}}) == [
        "container istio-proxy is waiting, CrashLoopBackOff: back-off 10s",
        "container istio-proxy ended before with exit code 134, Error:",
        "  starting",
        "  assert failure: watch_fd >= 0",
    ]
    recovered = {**container, "ready": True, "state": {"running": {}}}
    assert readiness._troubles({"status": {"containerStatuses": [recovered]}}) == []
    silent = {**container, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    assert "see kubectl logs --previous" in readiness._troubles({"status": {"containerStatuses": [silent]}})[1]

"""The node: registration, which pods it takes, and its return after it was off."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from mesh_lab.kube import VERSION
from tests.unit.kube.node.conftest import Node, until
from tests.unit.kube.node.pods import IDLE, Object, container, finished, once, pod_object, ready, restarted, status_of


def unschedulable(words: str) -> Callable[[Object], bool]:
    def says(pod: Object) -> bool:
        found = next((c for c in pod["status"].get("conditions", ()) if c["type"] == "PodScheduled"), {})
        return found.get("reason") == "Unschedulable" and words in found["message"]

    return says


def test_the_node_is_registered_and_alive(node: Node) -> None:
    until(lambda: node.get(kind="Node", name="testlab") is not None)
    status = node.get(kind="Node", name="testlab")["status"]
    assert status["nodeInfo"]["kubeletVersion"] == VERSION, "kubectl and helm compare it with the server's"
    assert {"type": "InternalIP", "address": "10.244.0.1"} in status["addresses"]
    assert {"type": "ExternalIP", "address": "127.0.0.1"} in status["addresses"], "there its node ports answer"
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
    assert re.fullmatch(r"\d+Ki", status["capacity"]["memory"])


def test_a_pod_waits_until_the_node_matches_its_selector(node: Node, pod: Callable[..., Object]) -> None:
    obj = once("picky", "true", spec={"nodeSelector": {"disk": "fast"}})
    pod(obj, lambda p: p["status"].get("conditions"))
    assert (
        "didn't match Pod's node affinity/selector"
        in node.get(kind="Pod", name="picky")["status"]["conditions"][0]["message"]
    )
    node.change(kind="Node", name="testlab", fields={"metadata": {"labels": {"disk": "fast"}}})
    assert node.wait("picky", finished)["spec"]["nodeName"] == "testlab"


@pytest.mark.parametrize(
    ("spec", "back", "words"),
    [
        ({"unschedulable": True}, {"unschedulable": False}, "1 node(s) were unschedulable."),
        (
            {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]},
            {"taints": []},
            "1 node(s) had untolerated taint {a: b}.",
        ),
    ],
)
def test_a_pod_waits_until_the_node_takes_pods_again(node: Node, spec: Object, back: Object, words: str) -> None:
    name = f"waits-{next(iter(spec)).lower()}"
    node.change(kind="Node", name="testlab", fields={"spec": spec})
    try:
        node.run(pod_object(name, container("main", "sh", "-c", IDLE)), unschedulable(words))
        reported = ("FailedScheduling", "default-scheduler")
        until(lambda: reported in {(e["reason"], e["source"]["component"]) for e in node.events(name=name)})
    finally:
        node.change(kind="Node", name="testlab", fields={"spec": back})
    node.wait(name, ready)
    node.delete(name=name, grace=0)


def test_a_pod_waits_for_resources_until_another_ends(node: Node) -> None:
    cpus = node.get(kind="Node", name="testlab")["status"]["allocatable"]["cpu"]
    most = {"requests": {"cpu": f"{int(cpus) * 1000 - 1}m"}}
    little = {"requests": {"cpu": "2m"}}
    node.run(pod_object("large", container("main", "sh", "-c", IDLE, resources=most)), ready)
    small = pod_object("small", container("main", "sh", "-c", IDLE, resources=little))
    node.run(small, unschedulable("0/1 nodes are available: 1 Insufficient cpu."))
    node.delete(name="large", grace=0)
    node.wait("small", ready)
    node.delete(name="small", grace=0)


def test_a_binding_and_a_deletion_that_a_webhook_denies_are_retried(node: Node) -> None:
    node.refuse(times=1)
    node.run(pod_object("held", container("main", "sh", "-c", IDLE)), ready)
    events = {each["reason"]: each["message"] for each in node.events(name="held")}
    assert events["FailedScheduling"] == "Binding rejected: admission webhook denied the request: not now"
    node.refuse(times=1)
    assert status_of(node.delete(name="held", grace=5))["state"]["terminated"]["exitCode"] == 0


@pytest.mark.parametrize("what", ["restart_agent", "kill_runtime"])
def test_pods_come_back_after_the_node_was_off(node: Node, pod: Callable[..., Object], what: str) -> None:
    name = what.replace("_", "-")
    pod(pod_object(name, container("main", "sh", "-c", IDLE)))
    done = pod(once(f"{name}-done", "true"), finished)
    getattr(node, what)()
    again = node.wait(name, lambda p: restarted(1)(p) and ready(p))
    assert status_of(again)["restartCount"] == 1
    assert status_of(again)["lastState"]["terminated"]["exitCode"] in (137, 255)
    assert node.sh(name, "echo back") == (0, "back\n", "")
    assert node.get(kind="Pod", name=f"{name}-done")["status"] == done["status"] | {
        "conditions": node.get(kind="Pod", name=f"{name}-done")["status"]["conditions"]
    }


def test_after_a_restart_of_the_node_earlier_failures_cause_no_back_off(node: Node, pod: Callable[..., Object]) -> None:
    """Its own pause before a third start is not the node's: all pods would be said to run that long, and none would."""
    script = f"test -e /work/failed || {{ touch /work/failed; exit 1; }}; {IDLE}"
    fields = {
        "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 3600},
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
    volumes = [{"name": "work", "emptyDir": {}}]
    main = container("main", "sh", "-c", script, **fields)
    pod(pod_object("failed", main, volumes=volumes), lambda p: restarted(1)(p) and ready(p))
    states: list[Object] = []
    node.kill_runtime()
    node.wait("failed", lambda p: states.append(status_of(p)["state"]) or (restarted(2)(p) and ready(p)))
    assert "CrashLoopBackOff" not in str(states)


def test_the_containers_of_a_dead_runtime_are_reaped(node: Node, pod: Callable[..., Object]) -> None:
    pod(pod_object("orphan", container("main", "sh", "-c", IDLE)))
    node.kill_runtime()
    node.wait("orphan", lambda p: restarted(1)(p) and ready(p))
    until(lambda: "State:\tZ" not in node.shell(command="cat /proc/[0-9]*/status"))
    assert node.ended(command="exit 3") == 3  # who waits for a child of its own still learns how it ended


def test_a_node_without_a_runtime_is_not_ready(node: Node) -> None:
    until(lambda: node.trouble() == "")
    node.kill_runtime()
    until(lambda: node.trouble() == "the container runtime is not up")
    until(lambda: node.trouble() == "")

"""The life of a pod that runs for real: init containers, sidecars, restarts, probes, hooks and its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.kube.node.conftest import Node, until
from tests.unit.kube.node.pods import (
    IDLE,
    Object,
    container,
    finished,
    once,
    pod_object,
    ready,
    restarted,
    status_of,
    waits_for,
)


def test_the_exit_code_and_output_of_a_container_are_kept(node: Node, pod: Callable[..., Object]) -> None:
    done = pod(once("ends", "echo out; echo err >&2; exit 3"), finished)
    assert done["status"]["phase"] == "Failed"
    assert status_of(done)["state"]["terminated"]["exitCode"] == 3
    assert sorted(node.output("ends").split()) == ["err", "out"]
    assert done["status"]["podIP"].startswith("10.244.")


def test_a_crashing_container_restarts_at_once_and_then_backs_off(node: Node, pod: Callable[..., Object]) -> None:
    crashed = pod(pod_object("crash", container("main", "sh", "-c", "echo run; exit 1")), waits_for("CrashLoopBackOff"))
    status = status_of(crashed)
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert "back-off 10s restarting failed container=main" in status["state"]["waiting"]["message"]
    assert node.output("crash") == "run\n"
    assert status["lastState"]["terminated"]["message"] == "run"
    reported = "; it ended with exit code 1: run"
    until(lambda: any(e["message"].endswith(reported) for e in node.events(name="crash") if e["reason"] == "BackOff"))


@pytest.mark.parametrize("command", [["sh", "-c", "exit 1"], ["no-such-program"]])
def test_a_raised_restart_count_comes_with_the_last_state(node: Node, command: list[str]) -> None:
    obj = pod_object(f"ended-{len(command)}", container("main", *command))
    name, created = obj["metadata"]["name"], node.create(obj=obj)
    node.wait(name, waits_for("CrashLoopBackOff"))
    statuses = [status_of(v) for v in node.versions(name=name, since=created["metadata"]["resourceVersion"])]
    reported = [status for status in statuses if status.get("restartCount")]
    assert reported
    assert [status["state"] for status in reported if not status["lastState"]] == []
    node.delete(name=name, grace=0)


def test_the_log_of_the_previous_start_can_be_read(node: Node, pod: Callable[..., Object]) -> None:
    script = f"cat /v/count; if [ -e /v/count ]; then {IDLE}; fi; echo first; echo second > /v/count; exit 1"
    obj = pod_object("twice", container("main", "sh", "-c", script, volumeMounts=[{"name": "v", "mountPath": "/v"}]))
    obj["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    pod(obj, lambda p: restarted(1)(p) and ready(p))
    until(lambda: node.output("twice") == "second\n")
    assert "first" in node.output("twice", previous=True)
    assert status_of(node.get(kind="Pod", name="twice"))["lastState"]["terminated"]["exitCode"] == 1


def test_following_a_log_ends_with_the_container(node: Node, pod: Callable[..., Object]) -> None:
    pod(
        once("counting", "for i in 1 2 3; do echo $i; sleep 0.05; done"),
        lambda p: "running" in status_of(p).get("state", {}),
    )
    assert node.output("counting", follow=True) == "1\n2\n3\n"


def test_a_failing_liveness_probe_restarts_the_container(node: Node, pod: Callable[..., Object]) -> None:
    probe = {"exec": {"command": ["sh", "-c", "echo unwell; exit 1"]}, "periodSeconds": 1, "failureThreshold": 1}
    pod(pod_object("sick", container("main", "sh", "-c", IDLE, livenessProbe=probe)), restarted(1))
    messages = {e["reason"]: e["message"] for e in node.events(name="sick")}
    assert messages["Unhealthy"] == "Liveness probe failed: unwell"
    assert messages["Killing"] == "Container main failed liveness probe, will be restarted"


def test_readiness_follows_its_probe_once_the_startup_probe_allows_it(node: Node, pod: Callable[..., Object]) -> None:
    def test(path: str) -> Object:
        return {"exec": {"command": ["test", "-e", path]}, "periodSeconds": 1, "failureThreshold": 1000}

    probes = {"startupProbe": test("/tmp/started"), "readinessProbe": {**test("/tmp/ready"), "failureThreshold": 1}}
    seen = pod(
        pod_object("slow", container("main", "sh", "-c", f"touch /tmp/ready; {IDLE}", **probes)),
        lambda p: "running" in status_of(p).get("state", {}),
    )
    assert (status_of(seen)["started"], status_of(seen)["ready"]) == (False, False)
    node.sh("slow", "touch /tmp/started")
    node.wait("slow", ready)
    node.sh("slow", "rm /tmp/ready")
    node.wait("slow", lambda p: not ready(p))


def test_init_containers_run_in_order_before_the_others(node: Node, pod: Callable[..., Object]) -> None:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    inits = [container(n, "sh", "-c", f"echo {n} >> /v/order", **mount) for n in ("one", "two")]
    obj = once("ordered", "cat /v/order", **mount)
    obj["spec"] |= {"initContainers": inits, "volumes": [{"name": "v", "emptyDir": {}}]}
    pod(obj, finished)
    assert node.output("ordered") == "one\ntwo\n"


def test_a_failed_init_container_fails_a_pod_that_never_restarts(pod: Callable[..., Object]) -> None:
    obj = once("stuck", "true")
    obj["spec"]["initContainers"] = [container("init", "false")]
    failed = pod(obj, finished)
    assert failed["status"]["phase"] == "Failed"
    assert "waiting" in status_of(failed)["state"]


def test_a_sidecar_runs_beside_the_others_and_ends_after_them(node: Node, pod: Callable[..., Object]) -> None:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    script = f"echo sidecar >> /v/log; touch /v/up; {IDLE}"
    probe = {"exec": {"command": ["test", "-e", "/v/up"]}}
    sidecar = container("side", "sh", "-c", script, restartPolicy="Always", startupProbe=probe, **mount)
    obj = once("pair", "echo main >> /v/log; cat /v/log", **mount)
    obj["spec"] |= {"initContainers": [sidecar], "volumes": [{"name": "v", "emptyDir": {}}]}
    done = pod(obj, finished)
    assert done["status"]["phase"] == "Succeeded"
    assert node.output("pair") == "sidecar\nmain\n"
    assert status_of(done, "side")["state"]["terminated"]["exitCode"] == 0


def test_termination_runs_the_hook_then_sends_sigterm_then_sigkill(node: Node) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /dev/termination-log"]}}}
    script = "trap 'echo term >> /dev/termination-log; exit 5' TERM; while :; do sleep 0.02; done"
    node.run(pod_object("polite", container("main", "sh", "-c", script, lifecycle=hook)), ready)
    ended = status_of(node.delete(name="polite", grace=15))["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (5, "hook\nterm\n")
    node.run(pod_object("deaf", container("main", "sh", "-c", "trap '' TERM; while :; do sleep 0.02; done")), ready)
    assert status_of(node.delete(name="deaf", grace=1))["state"]["terminated"]["exitCode"] == 137


def test_a_sidecars_hook_runs_at_once_and_its_sigterm_waits_for_the_others(node: Node) -> None:
    """Istio's native sidecar drains in its hook, while the application is still there to serve what comes."""
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    leave = "until [ -e /v/hook ]; do sleep 0.02; done; sleep 0.2; touch /v/main; exit 0"
    main = container("main", "sh", "-c", f"trap '{leave}' TERM; while :; do sleep 0.02; done", **mount)
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo >> /v/hook"]}}}
    last = "wc -l < /v/hook > /dev/termination-log; [ -e /v/main ]; exit $?"
    script = f"trap '{last}' TERM; while :; do sleep 0.02; done"
    side = container("side", "sh", "-c", script, restartPolicy="Always", lifecycle=hook, **mount)
    obj = pod_object("served", main)
    obj["spec"] |= {"initContainers": [side], "volumes": [{"name": "v", "emptyDir": {}}]}
    node.run(obj, ready)
    deleted = node.delete(name="served", grace=15)
    assert status_of(deleted, "main")["state"]["terminated"]["exitCode"] == 0
    ended = status_of(deleted, "side")["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (0, "1\n"), "after the application, and the hook ran once"


def test_a_post_start_hook_runs_in_the_container(node: Node, pod: Callable[..., Object]) -> None:
    hook = {"postStart": {"exec": {"command": ["touch", "/tmp/hooked"]}}}
    pod(pod_object("hooked", container("main", "sh", "-c", IDLE, lifecycle=hook)))
    assert node.sh("hooked", "ls /tmp/hooked")[1] == "/tmp/hooked\n"


def test_an_unknown_image_is_named_with_the_known_ones(node: Node, pod: Callable[..., Object]) -> None:
    waiting = pod(pod_object("stranger", {"name": "main", "image": "no-such/image:1.27"}), waits_for("ErrImagePull"))
    message = status_of(waiting)["state"]["waiting"]["message"]
    assert '"no-such/image:1.27"' in message
    assert "busybox" in message


def test_a_missing_program_is_a_start_error(node: Node, pod: Callable[..., Object]) -> None:
    failed = pod(once("missing", "true", spec={"containers": [container("main", "no-such-program")]}), finished)
    ended = status_of(failed)["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert '"no-such-program": executable file not found in $PATH' in ended["message"]


def test_a_pod_past_its_deadline_fails(pod: Callable[..., Object]) -> None:
    late = pod(once("late-pod", IDLE, spec={"activeDeadlineSeconds": 1}), finished)
    assert (late["status"]["phase"], late["status"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_program_that_only_the_host_sees_is_told_how_to_be_shown(
    node: Node, pod: Callable[..., Object], tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    spec = {"restartPolicy": "Never"}
    failed = pod(pod_object("unseen", container("main", str(program)), **spec), finished)
    message = status_of(failed)["state"]["terminated"]["message"]
    assert message.endswith('containers of this image do not see it: [images."busybox"] path in lab.toml')
    failed = pod(pod_object("missing", container("main", f"{program}-none"), **spec), finished)
    assert status_of(failed)["state"]["terminated"]["message"].endswith("no such file or directory")


def test_a_new_image_restarts_the_container(node: Node, pod: Callable[..., Object]) -> None:
    running = pod(pod_object("renewed", container("main", "sh", "-c", IDLE)))
    containers = [{**running["spec"]["containers"][0], "image": "debian:12"}]
    node.change(kind="Pod", name="renewed", fields={"spec": {"containers": containers}})
    status = status_of(node.wait("renewed", lambda p: restarted(1)(p) and ready(p)))
    assert (status["image"], status["restartCount"]) == ("debian:12", 1)


def test_a_deleted_pod_with_a_finalizer_is_stopped_and_its_object_stays(node: Node) -> None:
    obj = pod_object("kept", container("main", "sh", "-c", IDLE))
    obj["metadata"]["finalizers"] = ["example.com/keep"]
    address = node.run(obj, ready)["status"]["podIP"]
    node.begin_to_delete(name="kept", grace=5)
    stopped = node.wait("kept", lambda p: p["metadata"].get("deletionGracePeriodSeconds") == 0)
    assert "terminated" in status_of(stopped)["state"]
    assert f"{address} " not in node.shell(command="ip route")
    node.change(kind="Pod", name="kept", fields={"metadata": {"finalizers": []}})
    assert node.get(kind="Pod", name="kept") is None


def test_a_container_that_hangs_at_its_start_does_not_delay_others(node: Node) -> None:
    before, code, error = node.start_stuck(seconds=0.5)
    assert (before, code) == ("second", "0")  # the other one ended while the first still hung
    assert error == "not started within 0.5 s"

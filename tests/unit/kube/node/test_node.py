"""Pods run for real: processes in namespaces of their own, as root or as an ordinary user."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from mesh_lab.kube import VERSION
from tests.unit.kube.node.conftest import LIMIT, ROOT, Node, NodeError
from tests.unit.kube.node.pods import container, pod_object

Object = dict[str, Any]


def ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def finished(pod: Object) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def status_of(pod: Object, name: str = "main") -> Object:
    status = pod["status"]
    every = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return next((s for s in every if s["name"] == name), {})


def waits_for(reason: str) -> Callable[[Object], bool]:
    return lambda pod: status_of(pod).get("state", {}).get("waiting", {}).get("reason") == reason


def restarted(times: int) -> Callable[[Object], bool]:
    return lambda pod: status_of(pod).get("restartCount", 0) >= times and "running" in status_of(pod)["state"]


def once(name: str, script: str, **fields: Any) -> Object:
    """A pod that runs a script and is over."""
    spec = {"restartPolicy": "Never", **fields.pop("spec", {})}
    return pod_object(name, container("main", "sh", "-c", script, **fields), **spec)


SERVE = [sys.executable, "-m", "http.server", "8000", "--directory", "/srv"]
GET = b"GET / HTTP/1.0\r\n\r\n"
IDLE = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


@pytest.fixture
def output(node: Node) -> Callable[..., str]:
    """What a script prints in a container, by the name of its pod."""

    def run(name: str, script: str, **fields: Any) -> str:
        pod = node.run(once(name, script, **fields), finished)
        assert pod["status"]["phase"] == "Succeeded", (status_of(pod), node.output(name))
        text = node.output(name)
        node.delete(name=name, grace=0)
        return text

    return run


@pytest.fixture
def pod(node: Node, request: pytest.FixtureRequest) -> Callable[..., Object]:
    """Runs a pod until it is ready (or whatever else is asked for) and removes it after the test."""

    def run(obj: Object, until: Callable[[Object], Any] = ready) -> Object:
        name = obj["metadata"]["name"]
        request.addfinalizer(lambda: node.get(kind="Pod", name=name) and node.delete(name=name, grace=0))
        return node.run(obj, until)

    return run


def test_a_script_runs_to_its_end(node: Node, pod: Callable[..., Object]) -> None:
    done = pod(once("ends", "echo out; echo err >&2; exit 3"), finished)
    assert done["status"]["phase"] == "Failed"
    assert status_of(done)["state"]["terminated"]["exitCode"] == 3
    assert sorted(node.output("ends").split()) == ["err", "out"]
    assert done["status"]["podIP"].startswith("10.244.")


def test_a_container_has_its_own_files_and_names(output: Callable[..., str]) -> None:
    text = output("own", "hostname; cat /etc/hosts /etc/resolv.conf; ls /; echo $$$$; id -u; echo > /tmp/writable")
    lines = text.splitlines()
    assert lines[0] == "own"
    assert "nameserver 10.96.0.10" in lines
    assert {"usr", "proc", "tmp", "etc"} <= set(lines)
    assert lines[-2:] == ["1", "0"]  # process 1 of its namespace, root of its image


def test_the_service_accounts_files(output: Callable[..., str]) -> None:
    script = "cd /var/run/secrets/kubernetes.io/serviceaccount; cat namespace; echo; cat ca.crt; echo; wc -c < token"
    namespace, authority, size = output("account", script).split()
    assert (namespace, authority) == ("default", "AUTHORITY")
    assert int(size) > 200


def test_a_pod_has_one_volume_for_its_token(node: Node) -> None:
    pod = node.run(pod_object("onetoken", container("main", "sh", "-c", IDLE)), ready)
    assert node.volumes(name="onetoken") == [volume["name"] for volume in pod["spec"]["volumes"]]


def test_what_a_container_writes_never_reaches_the_hosts_files(output: Callable[..., str], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    python = quote(f"{sys.prefix}/mesh-lab-was-here")
    targets = ["/usr/here", "/bin/here", "/usr/lib/here", python, "/etc/ssl/certs/here", "/proc/sys/kernel/here"]
    script = f"""
        for f in {" ".join(targets)}; do echo x > "$f" && echo "wrote $f"; done
        mount -o remount,rw,bind /usr && echo "remounted"
        for f in /etc/passwd /tmp/mesh-lab-was-here {tmp_path}/here /dev/shm/mesh-lab-was-here; do
            mkdir -p $(dirname $f); echo x >> $f || echo "could not write $f"; done
        chmod 777 /etc/hosts; ls {tmp_path}
    """
    passwd = Path("/etc/passwd").read_bytes()
    for number, context in enumerate(({}, {"privileged": True}, {"capabilities": {"add": ["ALL"]}})):
        text = output(f"guest-{number}", f"({script}) 2>/dev/null", securityContext=context)
        assert text.split() == ["here"]  # its own copy of the directory, with the one file that it made
    assert Path("/etc/passwd").read_bytes() == passwd
    assert list(tmp_path.iterdir()) == []
    written = [*targets, "/tmp/mesh-lab-was-here", "/dev/shm/mesh-lab-was-here"]
    assert [path for path in written if Path(path).exists()] == []


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def test_variables_and_volumes(node: Node, output: Callable[..., str]) -> None:
    node.create(obj=config_map("settings", a="1"))
    volumes = [{"name": "settings", "configMap": {"name": "settings"}}, {"name": "scratch", "emptyDir": {}}]
    fields = {
        "env": [
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "BOTH", "value": "$(KEY)-$(POD)"},
        ],
        "volumeMounts": [
            {"name": "settings", "mountPath": "/etc/settings"},
            {"name": "scratch", "mountPath": "/var/scratch"},
            {"name": "settings", "mountPath": "/opt/one-file", "subPath": "a"},
        ],
        "spec": {"volumes": volumes},
    }
    script = """
        echo $KEY $BOTH; cat /etc/settings/a; echo; cat /opt/one-file; echo
        echo x > /var/scratch/file; echo y > /etc/settings/a; ls /var/scratch
    """
    assert output("vars", f"({script}) 2>/dev/null", **fields).split() == ["1", "1-vars", "1", "1", "file"]


def test_a_planted_link_does_not_lead_a_sub_path_to_the_host(pod: Callable[..., Object], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    volume = {"name": "v", "mountPath": "/v"}
    plant = container("plant", "ln", "-s", str(tmp_path), "/v/link", volumeMounts=[volume])
    obj = once("planted", "echo x > /v/file", volumeMounts=[{**volume, "subPath": "link"}])
    obj["spec"] |= {"initContainers": [plant], "volumes": [{"name": "v", "emptyDir": {}}]}
    assert status_of(pod(obj, finished))["state"]["terminated"]["reason"] == "StartError"
    assert list(tmp_path.iterdir()) == []


def test_a_volume_above_the_labs_own_files_does_not_hide_them(output: Callable[..., str]) -> None:
    """A lab may be installed below /tmp, where Bookinfo's manifests mount an emptyDir."""
    if ROOT.parent == Path("/"):
        pytest.skip("this checkout has no directory above it that a volume could be mounted at")
    mount = {"name": "v", "mountPath": str(ROOT.parent)}
    fields = {"volumeMounts": [mount], "spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    root, python = quote(str(ROOT)), quote(sys.executable)
    script = f"touch {root}/../own && cd {root} && {python} -c 'import mesh_lab; print(mesh_lab.__name__)'"
    assert output("above", script, **fields) == "mesh_lab\n"


def test_changes_of_a_config_map_reach_a_running_container(node: Node, pod: Callable[..., Object]) -> None:
    node.create(obj=config_map("live", a="old"))
    # The script ends by itself as soon as it sees the new value.
    obj = once(
        "watching",
        "until grep -q new /m/a; do sleep 0.02; done; cat /m/a",
        volumeMounts=[{"name": "m", "mountPath": "/m"}],
    )
    obj["spec"]["volumes"] = [{"name": "m", "configMap": {"name": "live"}}]
    pod(obj, ready)
    node.change(kind="ConfigMap", name="live", fields={"data": {"a": "new"}})
    assert node.wait("watching", finished)["status"]["phase"] == "Succeeded"


def test_a_pod_waits_for_a_missing_volume_and_says_so(node: Node, pod: Callable[..., Object]) -> None:
    obj = once("patient", "cat /m/a", volumeMounts=[{"name": "m", "mountPath": "/m"}])
    obj["spec"]["volumes"] = [{"name": "m", "configMap": {"name": "late"}}]
    pod(obj, lambda p: p["status"].get("startTime"))
    _until(
        lambda: any(
            e["reason"] == "FailedMount" and '"late" not found' in e["message"] for e in node.events(name="patient")
        )
    )
    node.create(obj=config_map("late", a="here"))
    node.wait("patient", finished)
    assert node.output("patient") == "here\n"


def test_pods_reach_each_other_and_the_node_reaches_them(
    node: Node, pod: Callable[..., Object], output: Callable[..., str]
) -> None:
    obj = pod_object("server", container("main", *SERVE, readinessProbe={"httpGet": {"port": 8000}}))
    address = pod(obj)["status"]["podIP"]
    fetch = f"import urllib.request as r; print(r.urlopen('http://{address}:8000/').status)"
    assert output("client", f'{quote(sys.executable)} -c "{fetch}"') == "200\n"
    assert node.request("server", 8000, GET).startswith(b"HTTP/1.0 200")
    with pytest.raises(NodeError, match="connection refused"):
        node.request("server", 8001, GET)


def test_a_removed_pod_leaves_no_interface_and_no_route(node: Node) -> None:
    address = node.run(pod_object("brief", container("main", "sh", "-c", IDLE)), ready)["status"]["podIP"]
    (device,) = re.findall(rf"^{address} dev (\S+)", node.shell(command="ip route"), re.MULTILINE)
    assert f" {device}@" in node.shell(command="ip link")
    node.delete(name="brief", grace=5)
    assert f"{address} " not in node.shell(command="ip route")
    _until(lambda: f" {device}@" not in node.shell(command="ip link"))


def test_commands_in_a_running_container(node: Node, pod: Callable[..., Object]) -> None:
    pod(
        pod_object(
            "shell", container("main", "sh", "-c", f"echo mine > /tmp/file; {IDLE}", env=[{"name": "A", "value": "1"}])
        )
    )
    assert node.sh("shell", "cat /tmp/file; echo $A; echo err >&2; exit 7") == (7, "mine\n1\n", "err\n")
    assert node.sh("shell", "cat", stdin="typed\n") == (0, "typed\n", "")
    assert node.sh("shell", "kill -9 $$")[0] == 137
    with pytest.raises(NodeError, match="executable file not found"):
        node.exec(name="shell", command=["no-such-program"], stdin=None, size=None)
    with pytest.raises(NodeError, match='"/usr/local/bin/no-such-program": no such file'):
        node.exec(name="shell", command=["/usr/local/bin/no-such-program"], stdin=None, size=None)
    code, out, _ = node.exec(name="shell", command=["/no/such/pilot-agent", "--help"], stdin=None, size=None)
    assert (code, out.split()[:2]) == (0, ["usage:", "pilot-agent"]), "a path of the published image"


def test_a_client_that_disconnects_ends_what_the_command_started(node: Node, pod: Callable[..., Object]) -> None:
    pod(pod_object("left", container("main", "sh", "-c", IDLE)))
    node.leave(name="left", command=["sh", "-c", "sleep 1234 & echo begun; wait"], until="begun")
    _until(lambda: "1234" not in node.sh("left", "cat /proc/[0-9]*/cmdline")[1])


def test_a_terminal_has_a_size_and_takes_input(node: Node, pod: Callable[..., Object]) -> None:
    pod(pod_object("terminal", container("main", "sh", "-c", IDLE)))
    code, text, _ = node.sh("terminal", "read line; tty; stty size; echo got $line", stdin="hello\n", size=[100, 30])
    assert code == 0
    assert text.replace("\r", "").splitlines()[-3:] == ["/dev/pts/0", "30 100", "got hello"]


def test_background_processes_do_not_hold_up_a_command(node: Node, pod: Callable[..., Object]) -> None:
    pod(pod_object("forking", container("main", "sh", "-c", IDLE)))
    assert node.sh("forking", "sleep 1000 & echo started") == (0, "started\n", "")


def test_a_crashing_container_restarts_at_once_and_then_backs_off(node: Node, pod: Callable[..., Object]) -> None:
    crashed = pod(pod_object("crash", container("main", "sh", "-c", "echo run; exit 1")), waits_for("CrashLoopBackOff"))
    status = status_of(crashed)
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert "back-off 10s restarting failed container=main" in status["state"]["waiting"]["message"]
    assert node.output("crash") == "run\n"
    assert status["lastState"]["terminated"]["message"] == "run"
    reported = "; it ended with exit code 1: run"
    _until(lambda: any(e["message"].endswith(reported) for e in node.events(name="crash") if e["reason"] == "BackOff"))


@pytest.mark.parametrize("command", [["sh", "-c", "exit 1"], ["no-such-program"]])
def test_a_restart_and_what_went_before_it_are_told_together(node: Node, command: list[str]) -> None:
    obj = pod_object(f"ended-{len(command)}", container("main", *command))
    name, created = obj["metadata"]["name"], node.create(obj=obj)
    node.wait(name, waits_for("CrashLoopBackOff"))
    statuses = [status_of(v) for v in node.versions(name=name, since=created["metadata"]["resourceVersion"])]
    reported = [status for status in statuses if status.get("restartCount")]
    assert reported
    assert [status["state"] for status in reported if not status["lastState"]] == []
    node.delete(name=name, grace=0)


def test_logs_of_the_start_before(node: Node, pod: Callable[..., Object]) -> None:
    script = f"cat /v/count; if [ -e /v/count ]; then {IDLE}; fi; echo first; echo second > /v/count; exit 1"
    obj = pod_object("twice", container("main", "sh", "-c", script, volumeMounts=[{"name": "v", "mountPath": "/v"}]))
    obj["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    pod(obj, lambda p: restarted(1)(p) and ready(p))
    _until(lambda: node.output("twice") == "second\n")
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


def test_termination_runs_the_hook_then_asks_then_kills(node: Node) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /dev/termination-log"]}}}
    script = "trap 'echo term >> /dev/termination-log; exit 5' TERM; while :; do sleep 0.02; done"
    node.run(pod_object("polite", container("main", "sh", "-c", script, lifecycle=hook)), ready)
    ended = status_of(node.delete(name="polite", grace=15))["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (5, "hook\nterm\n")
    node.run(pod_object("deaf", container("main", "sh", "-c", "trap '' TERM; while :; do sleep 0.02; done")), ready)
    assert status_of(node.delete(name="deaf", grace=1))["state"]["terminated"]["exitCode"] == 137


def test_a_sidecars_hook_runs_at_once_and_its_signal_waits_for_the_others(node: Node) -> None:
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


def test_a_pod_that_a_webhook_holds_up_goes_on_when_it_may(node: Node) -> None:
    node.refuse(times=1)
    node.run(pod_object("held", container("main", "sh", "-c", IDLE)), ready)
    events = {each["reason"]: each["message"] for each in node.events(name="held")}
    assert events["FailedScheduling"] == "Binding rejected: admission webhook denied the request: not now"
    node.refuse(times=1)
    assert status_of(node.delete(name="held", grace=5))["state"]["terminated"]["exitCode"] == 0


def test_a_post_start_hook_runs_in_the_container(node: Node, pod: Callable[..., Object]) -> None:
    hook = {"postStart": {"exec": {"command": ["touch", "/tmp/hooked"]}}}
    pod(pod_object("hooked", container("main", "sh", "-c", IDLE, lifecycle=hook)))
    assert node.sh("hooked", "ls /tmp/hooked")[1] == "/tmp/hooked\n"


def test_an_unknown_image_is_named_with_those_that_exist(node: Node, pod: Callable[..., Object]) -> None:
    waiting = pod(pod_object("stranger", {"name": "main", "image": "mongo:7"}), waits_for("ErrImagePull"))
    message = status_of(waiting)["state"]["waiting"]["message"]
    assert '"mongo:7"' in message
    assert "busybox" in message


def test_a_program_that_does_not_exist(node: Node, pod: Callable[..., Object]) -> None:
    failed = pod(once("missing", "true", spec={"containers": [container("main", "no-such-program")]}), finished)
    ended = status_of(failed)["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert '"no-such-program": executable file not found in $PATH' in ended["message"]


def test_a_pod_that_no_node_suits_waits_until_one_does(node: Node, pod: Callable[..., Object]) -> None:
    obj = once("picky", "true", spec={"nodeSelector": {"disk": "fast"}})
    pod(obj, lambda p: p["status"].get("conditions"))
    assert (
        "didn't match Pod's node affinity/selector"
        in node.get(kind="Pod", name="picky")["status"]["conditions"][0]["message"]
    )
    node.change(kind="Node", name="testlab", fields={"metadata": {"labels": {"disk": "fast"}}})
    assert node.wait("picky", finished)["spec"]["nodeName"] == "testlab"


def test_users_groups_and_capabilities(output: Callable[..., str]) -> None:
    spec = {"securityContext": {"runAsUser": 1337, "runAsGroup": 1337, "fsGroup": 77}}
    assert output("user", "id -u; id -G; echo ok > /dev/stdout", spec=spec).split() == ["1337", "1337", "77", "ok"]
    script = "ip link add d0 type veth peer name d1 2>&1 && echo added || true"
    assert "added" not in output("plain", script)
    assert "added" in output("admin", script, securityContext={"capabilities": {"add": ["NET_ADMIN"]}})


def test_a_read_only_root_and_a_limited_one(output: Callable[..., str]) -> None:
    script = "touch /file 2>/dev/null || echo refused"
    assert output("sealed", script, securityContext={"readOnlyRootFilesystem": True}) == "refused\n"
    script = "dd if=/dev/zero of=/tmp/big bs=1M count=8 2>&1 | grep -o 'No space left' || true"
    assert output("small", script, resources={"limits": {"ephemeral-storage": "4Mi"}}) == "No space left\n"


def test_containers_of_a_pod_share_its_network_and_nothing_else(node: Node, pod: Callable[..., Object]) -> None:
    look = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/').status)"
    probe = {"exec": {"command": [sys.executable, "-c", look]}}
    other = container("other", "sh", "-c", IDLE, readinessProbe=probe)
    pod(pod_object("two", container("main", *SERVE), other))
    obj = node.get(kind="Pod", name="two")
    assert [s["ready"] for s in obj["status"]["containerStatuses"]] == [True, True]


def test_a_pod_has_a_deadline(pod: Callable[..., Object]) -> None:
    late = pod(once("late-pod", IDLE, spec={"activeDeadlineSeconds": 1}), finished)
    assert (late["status"]["phase"], late["status"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_new_image_restarts_the_container(node: Node, pod: Callable[..., Object]) -> None:
    running = pod(pod_object("renewed", container("main", "sh", "-c", IDLE)))
    containers = [{**running["spec"]["containers"][0], "image": "debian:12"}]
    node.change(kind="Pod", name="renewed", fields={"spec": {"containers": containers}})
    status = status_of(node.wait("renewed", lambda p: restarted(1)(p) and ready(p)))
    assert (status["image"], status["restartCount"]) == ("debian:12", 1)


def test_a_pod_that_a_finalizer_keeps_is_stopped_and_stays(node: Node) -> None:
    obj = pod_object("kept", container("main", "sh", "-c", IDLE))
    obj["metadata"]["finalizers"] = ["example.com/keep"]
    address = node.run(obj, ready)["status"]["podIP"]
    node.begin_to_delete(name="kept", grace=5)
    stopped = node.wait("kept", lambda p: p["metadata"].get("deletionGracePeriodSeconds") == 0)
    assert "terminated" in status_of(stopped)["state"]
    assert f"{address} " not in node.shell(command="ip route")
    node.change(kind="Pod", name="kept", fields={"metadata": {"finalizers": []}})
    assert node.get(kind="Pod", name="kept") is None


def test_a_container_that_hangs_while_it_is_made_holds_up_no_other(node: Node) -> None:
    before, code, error = node.start_stuck(seconds=0.5)
    assert (before, code) == ("second", "0")  # the other one ended while the first still hung
    assert error == "not started within 0.5 s"


def test_a_pod_in_the_nodes_network(output: Callable[..., str]) -> None:
    spec = {"hostNetwork": True}
    assert " 10.244.0.1/32 " in output("hostnet", "ip -4 address show dev lo", spec=spec)


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


def test_a_container_that_had_failed_before_does_not_hold_up_the_nodes_return(
    node: Node, pod: Callable[..., Object]
) -> None:
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


@pytest.mark.parametrize("medium", ["", "Memory"])
def test_an_empty_dir_holds_no_more_than_its_size_limit(node: Node, pod: Callable[..., Object], medium: str) -> None:
    name = f"limited{medium.lower()}"
    volumes = [{"name": "v", "emptyDir": {"medium": medium, "sizeLimit": "1Mi"}}]
    main = container("main", "sh", "-c", IDLE, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    pod(pod_object(name, main, volumes=volumes))
    assert node.sh(name, "head -c 500000 /dev/zero > /v/a && stat -c %a /v") == (0, "777\n", "")
    code, _, reported = node.sh(name, "head -c 1000000 /dev/zero > /v/b")
    assert (code, "No space left on device" in reported) == (1, True)
    node.kill_runtime()
    node.wait(name, lambda p: restarted(1)(p) and ready(p))
    assert node.sh(name, "wc -c < /v/a") == (0, "500000\n", "")
    node.delete(name=name, grace=0)
    _until(lambda: "size=1024k" not in node.shell(command="cat /proc/mounts"))


def test_a_read_only_volume_above_the_lab_itself_is_reported(node: Node, pod: Callable[..., Object]) -> None:
    """There is no place in it to show the lab's programs at; an emptyDir has one."""
    above = f"/{ROOT.relative_to('/').parts[0]}"
    volumes = [{"name": "v", "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}}]
    main = container("main", "true", volumeMounts=[{"name": "v", "mountPath": above}])
    done = pod(pod_object("above", main, volumes=volumes, restartPolicy="Never"), finished)
    reported = status_of(done)["state"]["terminated"]["message"]
    assert re.fullmatch(
        rf"mountPath: a read-only volume is mounted above {above}/.+, where the lab itself .*", reported
    )


def test_a_dead_runtimes_containers_are_reaped(node: Node, pod: Callable[..., Object]) -> None:
    pod(pod_object("orphan", container("main", "sh", "-c", IDLE)))
    node.kill_runtime()
    node.wait("orphan", lambda p: restarted(1)(p) and ready(p))
    _until(lambda: "State:\tZ" not in node.shell(command="cat /proc/[0-9]*/status"))
    assert node.ended(command="exit 3") == 3  # who waits for a child of its own still learns how it ended


def test_a_node_without_a_runtime_is_in_trouble_until_it_has_another(node: Node) -> None:
    _until(lambda: node.trouble() == "")
    node.kill_runtime()
    _until(lambda: node.trouble() == "the container runtime is not up")
    _until(lambda: node.trouble() == "")


def test_the_node_is_registered_and_alive(node: Node) -> None:
    status = node.get(kind="Node", name="testlab")["status"]
    assert status["nodeInfo"]["kubeletVersion"] == VERSION, "kubectl and helm compare it with the server's"
    assert {"type": "InternalIP", "address": "10.244.0.1"} in status["addresses"]
    assert {"type": "ExternalIP", "address": "127.0.0.1"} in status["addresses"], "there its node ports answer"
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
    assert re.fullmatch(r"\d+Ki", status["capacity"]["memory"])


def unschedulable(words: str) -> Callable[[Object], bool]:
    def says(pod: Object) -> bool:
        found = next((c for c in pod["status"].get("conditions", ()) if c["type"] == "PodScheduled"), {})
        return found.get("reason") == "Unschedulable" and words in found["message"]

    return says


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
        _until(lambda: reported in {(e["reason"], e["source"]["component"]) for e in node.events(name=name)})
    finally:
        node.change(kind="Node", name="testlab", fields={"spec": back})
    node.wait(name, ready)
    node.delete(name=name, grace=0)


def test_a_pod_waits_for_room_and_gets_it_when_another_ends(node: Node) -> None:
    cpus = node.get(kind="Node", name="testlab")["status"]["allocatable"]["cpu"]
    most = {"requests": {"cpu": f"{int(cpus) * 1000 - 1}m"}}
    little = {"requests": {"cpu": "2m"}}
    node.run(pod_object("large", container("main", "sh", "-c", IDLE, resources=most)), ready)
    small = pod_object("small", container("main", "sh", "-c", IDLE, resources=little))
    node.run(small, unschedulable("0/1 nodes are available: 1 Insufficient cpu."))
    node.delete(name="large", grace=0)
    node.wait("small", ready)
    node.delete(name="small", grace=0)


def _until(holds: Callable[[], Any]) -> None:
    """Wait for what has no watch: events, which are written in the background, and the kernel's clean-up."""
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)

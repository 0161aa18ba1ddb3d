"""What a node does with pods: their life, their probes, their volumes, their place apart from the host."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from mesh_lab.client.objects import Items, Object
from mesh_lab.harness.commands import Running
from mesh_lab.harness.mesh import Mesh

from .pods import echo, pod, shell

pytestmark = pytest.mark.injection(False)

SECONDS = 30.0


def wait_pod(mesh: Mesh, name: str, condition: Callable[[Object], object], why: str) -> Object:
    path = mesh.api.path("v1", "Pod", mesh.namespace)
    pods = mesh.api.wait_until(
        path,
        lambda items: name in items and bool(condition(items[name])),
        timeout=SECONDS,
        why=why,
        describe=lambda items: f"  {items.get(name, {}).get('status')}",
    )
    return pods[name]


def main(obj: Object) -> Object:
    """The status of a pod's container `main`."""
    return next((s for s in obj.get("status", {}).get("containerStatuses", []) if s["name"] == "main"), {})


def phase(obj: Object) -> str:
    return str(obj.get("status", {}).get("phase", ""))


def ready(obj: Object) -> bool:
    return bool(main(obj).get("ready"))


def test_a_container_that_ends_is_restarted_and_its_log_kept(shared_mesh: Mesh) -> None:
    shared_mesh.apply(pod("restarts", shell("echo run $$ $(date +%s%N); sleep 0.3; exit 3")))
    found = wait_pod(shared_mesh, "restarts", lambda p: main(p).get("lastState"), "it is restarted")
    assert main(found)["restartCount"] >= 1
    last = main(found)["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    wait_pod(
        shared_mesh,
        "restarts",
        lambda p: main(p).get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff",
        "restarts take longer and longer",
    )
    # Only now, since a kubelet keeps one container that has ended: the next to end takes its place.
    previous = shared_mesh.api.kubectl("-n", shared_mesh.namespace, "logs", "--previous", "restarts")
    assert previous.startswith("run ")


@pytest.mark.parametrize(("code", "outcome"), [(0, "Succeeded"), (4, "Failed")])
def test_a_pod_that_is_never_restarted_ends_as_its_container_did(shared_mesh: Mesh, code: int, outcome: str) -> None:
    name = f"once-{code}"
    shared_mesh.apply(pod(name, shell(f"exit {code}"), restartPolicy="Never"))
    found = wait_pod(shared_mesh, name, lambda p: phase(p) == outcome, "it ends")
    assert main(found)["restartCount"] == 0
    assert main(found)["state"]["terminated"]["exitCode"] == code


def test_init_containers_run_first_and_in_order(shared_mesh: Mesh) -> None:
    mounts = [{"name": "work", "mountPath": "/work"}]
    first = shell("sleep 0.2; echo first >> /work/order", name="first", volumeMounts=mounts)
    second = shell("echo second >> /work/order", name="second", volumeMounts=mounts)
    last = shell("cat /work/order; sleep 600", volumeMounts=mounts)
    volumes = [{"name": "work", "emptyDir": {}}]
    shared_mesh.apply(pod("ordered", last, initContainers=[first, second], volumes=volumes))
    wait_pod(shared_mesh, "ordered", ready, "it runs")
    assert shared_mesh.logs("ordered") == "first\nsecond\n"


def test_a_failing_init_container_holds_the_pod_back(shared_mesh: Mesh) -> None:
    shared_mesh.apply(
        pod("held-back", shell("sleep 600"), initContainers=[shell("exit 1", name="first")], restartPolicy="Never")
    )
    found = wait_pod(shared_mesh, "held-back", lambda p: phase(p) == "Failed", "its init container fails")
    assert "running" not in main(found).get("state", {})


def test_a_liveness_probe_that_fails_restarts_the_container(shared_mesh: Mesh) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1}
    container = shell(
        "touch /tmp/alive; sleep 1.5; rm /tmp/alive; sleep 600", livenessProbe={**probe, "initialDelaySeconds": 1}
    )
    shared_mesh.apply(pod("dies", container))
    wait_pod(shared_mesh, "dies", lambda p: main(p).get("restartCount", 0) >= 1, "its liveness probe fails")
    reasons = {event["reason"] for event in shared_mesh.events("Pod", "dies")}
    assert {"Unhealthy", "Killing"} <= reasons


def test_a_readiness_probe_decides_who_gets_traffic(shared_mesh: Mesh) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    container = {**echo("main"), "readinessProbe": probe}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "choosy"},
        "spec": {"selector": {"app": "choosy"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    shared_mesh.apply([service, pod("choosy", container)])
    wait_pod(shared_mesh, "choosy", lambda p: "running" in main(p).get("state", {}), "it runs")
    assert not ready(shared_mesh.pod("choosy"))
    _endpoints(shared_mesh, "choosy", 0)
    shared_mesh.exec("choosy", "touch", "/tmp/ready")
    _endpoints(shared_mesh, "choosy", 1)
    shared_mesh.exec("choosy", "rm", "/tmp/ready")
    _endpoints(shared_mesh, "choosy", 0)


def _endpoints(mesh: Mesh, service: str, count: int) -> None:
    def ready_endpoints(slices: Items) -> int:
        own = [s for s in slices.values() if s["metadata"]["labels"].get("kubernetes.io/service-name") == service]
        return sum(bool(e["conditions"].get("ready")) for s in own for e in s.get("endpoints") or ())

    path = f"/apis/discovery.k8s.io/v1/namespaces/{mesh.namespace}/endpointslices"
    mesh.api.wait_until(
        path,
        lambda slices: ready_endpoints(slices) == count,
        timeout=SECONDS,
        why=f"{service} has {count} ready endpoints",
        describe=lambda slices: f"  {ready_endpoints(slices)}",
    )


def test_http_and_tcp_probes_reach_the_container(shared_mesh: Mesh) -> None:
    http = {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1}
    tcp = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    shared_mesh.apply(
        pod("probed", {**echo("main"), "startupProbe": tcp, "readinessProbe": http, "livenessProbe": tcp})
    )
    found = wait_pod(shared_mesh, "probed", ready, "its probes succeed")
    assert main(found)["started"] is True


def test_a_container_is_asked_to_end_and_has_its_grace(shared_mesh: Mesh) -> None:
    note = [{"name": "note", "mountPath": "/note"}]
    polite = shell(
        "trap 'echo told; sleep 0.2; echo done > /note/end; exit 0' TERM; echo up; while :; do sleep 0.1; done",
        volumeMounts=note,
    )
    witness = shell(
        "trap 'sleep 1; cat /note/end; exit 0' TERM; while :; do sleep 0.1; done", name="witness", volumeMounts=note
    )
    shared_mesh.apply(
        pod("polite", polite, witness, volumes=[{"name": "note", "emptyDir": {}}], terminationGracePeriodSeconds=10)
    )
    wait_pod(shared_mesh, "polite", ready, "it runs")
    following = shared_mesh.api.kubectl_command("-n", shared_mesh.namespace, "logs", "-f", "polite", "-c", "witness")
    running = Running(following)
    shared_mesh.api.kubectl("-n", shared_mesh.namespace, "delete", "pod", "polite", "--wait=true")
    assert "done" in running.finish(20).stdout


def test_volumes_bring_configuration_secrets_and_the_pods_own_facts(shared_mesh: Mesh) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "conf"},
        "data": {"a.txt": "from the map", "COLOUR": "red"},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sec"}, "stringData": {"key": "quiet"}}
    facts = {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}
    volumes = [
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "sec", "secret": {"secretName": "sec"}},
        {"name": "facts", "downwardAPI": facts},
    ]
    container = shell(
        "sleep 600",
        volumeMounts=[{"name": volume["name"], "mountPath": f"/v/{volume['name']}"} for volume in volumes],
        envFrom=[{"configMapRef": {"name": "conf"}, "prefix": "CONF_"}],
        env=[
            {"name": "QUIET", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "key"}}},
            {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "BOTH", "value": "$(WHO) is $(CONF_COLOUR)"},
        ],
    )
    shared_mesh.apply([config, secret, pod("reader", container, volumes=volumes)])
    wait_pod(shared_mesh, "reader", ready, "it runs")
    printed = shared_mesh.exec(
        "reader", "sh", "-c", 'cat /v/conf/a.txt /v/sec/key /v/facts/labels; echo; echo "$QUIET $BOTH"'
    )
    assert printed.split("\n")[0].startswith("from the mapquiet")
    assert 'app="reader"' in printed
    assert "quiet reader is red" in printed
    token = shared_mesh.exec("reader", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    assert token == shared_mesh.namespace


def test_what_a_container_writes_stays_in_it(shared_mesh: Mesh) -> None:
    mark = f"written-{uuid.uuid4()}"
    shared_mesh.apply([pod("writer", shell("sleep 600")), pod("other", shell("sleep 600"))])
    for name in ("writer", "other"):
        wait_pod(shared_mesh, name, ready, "it runs")
    for folder in ("/tmp", "/etc", "/var/tmp", "/root", "/usr/bin"):
        shared_mesh.exec("writer", "sh", "-c", f"mkdir -p {folder}; echo x > {folder}/{mark} 2>/dev/null || true")
        seen = shared_mesh.exec("other", "sh", "-c", f"ls {folder}/{mark} 2>/dev/null || echo none")
        assert seen == "none\n", folder
        assert not Path(folder, mark).exists(), f"{folder} of the machine that runs the tests"


def test_pods_have_networks_and_processes_of_their_own(shared_mesh: Mesh) -> None:
    shared_mesh.apply([pod("left", echo("main")), pod("right", echo("main"))])
    left, right = (wait_pod(shared_mesh, name, ready, "it runs") for name in ("left", "right"))
    assert left["status"]["podIP"] != right["status"]["podIP"]
    processes = shared_mesh.exec("left", "sh", "-c", "ls -d /proc/[0-9]* | wc -l")
    assert int(processes) < 10
    assert shared_mesh.exec("left", "hostname").strip() == "left"
    assert "left" in shared_mesh.exec("left", "cat", "/etc/hosts")


def test_an_unknown_image_is_reported_by_name(shared_mesh: Mesh) -> None:
    container = {"name": "main", "image": "registry.invalid/no/such-image:7"}
    shared_mesh.apply(pod("imageless", container))
    found = wait_pod(
        shared_mesh,
        "imageless",
        lambda p: main(p).get("state", {}).get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff"),
        "its image cannot be had",
    )
    assert not ready(found)
    messages = " ".join(event["message"] for event in shared_mesh.events("Pod", "imageless"))
    assert "registry.invalid/no/such-image:7" in messages


@pytest.mark.clusters("embedded")
def test_an_unknown_image_names_those_that_exist(shared_mesh: Mesh) -> None:
    shared_mesh.apply(pod("guessing", {"name": "main", "image": "mesh-lab/app"}))
    found = wait_pod(
        shared_mesh, "guessing", lambda p: "waiting" in main(p).get("state", {}), "its image cannot be had"
    )
    message = main(found)["state"]["waiting"].get("message", "")
    messages = message + " ".join(event["message"] for event in shared_mesh.events("Pod", "guessing"))
    assert "mesh-lab/apps" in messages

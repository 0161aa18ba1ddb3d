"""What a node does with pods: their life, their probes, their volumes, their place apart from the host."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh_lab.harness.commands import Running
from mesh_lab.testing import Items, Mesh, Object

from .pods import echo, pod, shell

pytestmark = pytest.mark.mesh_injection(False)

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


def test_a_container_that_ends_is_restarted_and_its_log_kept(mesh_shared: Mesh) -> None:
    mesh_shared.apply(pod("restarts", shell("echo run $$ $(date +%s%N); sleep 0.3; exit 3")))
    found = wait_pod(mesh_shared, "restarts", lambda p: main(p).get("lastState"), "it is restarted")
    assert main(found)["restartCount"] >= 1
    last = main(found)["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    wait_pod(
        mesh_shared,
        "restarts",
        lambda p: main(p).get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff",
        "restarts take longer and longer",
    )
    # Only now, since a kubelet keeps one container that has ended: the next to end takes its place.
    previous = mesh_shared.api.kubectl("-n", mesh_shared.namespace, "logs", "--previous", "restarts")
    assert previous.startswith("run ")


@pytest.mark.parametrize(("code", "outcome"), [(0, "Succeeded"), (4, "Failed")])
def test_a_pod_that_is_never_restarted_ends_as_its_container_did(mesh_shared: Mesh, code: int, outcome: str) -> None:
    name = f"once-{code}"
    mesh_shared.apply(pod(name, shell(f"exit {code}"), restartPolicy="Never"))
    found = wait_pod(mesh_shared, name, lambda p: phase(p) == outcome, "it ends")
    assert main(found)["restartCount"] == 0
    assert main(found)["state"]["terminated"]["exitCode"] == code


def test_init_containers_run_first_and_in_order(mesh_shared: Mesh) -> None:
    mounts = [{"name": "work", "mountPath": "/work"}]
    first = shell("sleep 0.2; echo first >> /work/order", name="first", volumeMounts=mounts)
    second = shell("echo second >> /work/order", name="second", volumeMounts=mounts)
    last = shell("cat /work/order; sleep 600", volumeMounts=mounts)
    volumes = [{"name": "work", "emptyDir": {}}]
    mesh_shared.apply(pod("ordered", last, initContainers=[first, second], volumes=volumes))
    wait_pod(mesh_shared, "ordered", ready, "it runs")
    assert mesh_shared.logs("ordered") == "first\nsecond\n"


def test_a_failing_init_container_holds_the_pod_back(mesh_shared: Mesh) -> None:
    mesh_shared.apply(
        pod("held-back", shell("sleep 600"), initContainers=[shell("exit 1", name="first")], restartPolicy="Never")
    )
    found = wait_pod(mesh_shared, "held-back", lambda p: phase(p) == "Failed", "its init container fails")
    assert "running" not in main(found).get("state", {})


def test_a_liveness_probe_that_fails_restarts_the_container(mesh_shared: Mesh) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1}
    container = shell(
        "touch /tmp/alive; sleep 1.5; rm /tmp/alive; sleep 600", livenessProbe={**probe, "initialDelaySeconds": 1}
    )
    mesh_shared.apply(pod("dies", container))
    wait_pod(mesh_shared, "dies", lambda p: main(p).get("restartCount", 0) >= 1, "its liveness probe fails")
    reasons = {event["reason"] for event in mesh_shared.events("Pod", "dies")}
    assert {"Unhealthy", "Killing"} <= reasons


def test_a_readiness_probe_decides_who_gets_traffic(mesh_shared: Mesh) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    container = {**echo("main"), "readinessProbe": probe}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "choosy"},
        "spec": {"selector": {"app": "choosy"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    mesh_shared.apply([service, pod("choosy", container)])
    wait_pod(mesh_shared, "choosy", lambda p: "running" in main(p).get("state", {}), "it runs")
    assert not ready(mesh_shared.pod("choosy"))
    _endpoints(mesh_shared, "choosy", 0)
    mesh_shared.exec("choosy", "touch", "/tmp/ready")
    _endpoints(mesh_shared, "choosy", 1)
    mesh_shared.exec("choosy", "rm", "/tmp/ready")
    _endpoints(mesh_shared, "choosy", 0)


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


def test_http_and_tcp_probes_reach_the_container(mesh_shared: Mesh) -> None:
    http = {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1}
    tcp = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    mesh_shared.apply(
        pod("probed", {**echo("main"), "startupProbe": tcp, "readinessProbe": http, "livenessProbe": tcp})
    )
    found = wait_pod(mesh_shared, "probed", ready, "its probes succeed")
    assert main(found)["started"] is True


def test_a_container_is_asked_to_end_and_has_its_grace(mesh_shared: Mesh) -> None:
    note = [{"name": "note", "mountPath": "/note"}]
    polite = shell(
        "trap 'echo told; sleep 0.2; echo done > /note/end; exit 0' TERM; echo up; while :; do sleep 0.1; done",
        volumeMounts=note,
    )
    witness = shell(
        "trap 'sleep 1; cat /note/end; exit 0' TERM; while :; do sleep 0.1; done", name="witness", volumeMounts=note
    )
    mesh_shared.apply(
        pod("polite", polite, witness, volumes=[{"name": "note", "emptyDir": {}}], terminationGracePeriodSeconds=10)
    )
    wait_pod(mesh_shared, "polite", ready, "it runs")
    following = mesh_shared.api.kubectl_command("-n", mesh_shared.namespace, "logs", "-f", "polite", "-c", "witness")
    running = Running(following)
    mesh_shared.api.kubectl("-n", mesh_shared.namespace, "delete", "pod", "polite", "--wait=true")
    assert "done" in running.finish(20).stdout


def test_volumes_bring_configuration_secrets_and_the_pods_own_facts(mesh_shared: Mesh) -> None:
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
    mesh_shared.apply([config, secret, pod("reader", container, volumes=volumes)])
    wait_pod(mesh_shared, "reader", ready, "it runs")
    printed = mesh_shared.exec(
        "reader", "sh", "-c", 'cat /v/conf/a.txt /v/sec/key /v/facts/labels; echo; echo "$QUIET $BOTH"'
    )
    assert printed.split("\n")[0].startswith("from the mapquiet")
    assert 'app="reader"' in printed
    assert "quiet reader is red" in printed
    token = mesh_shared.exec("reader", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    assert token == mesh_shared.namespace


def test_what_a_container_writes_stays_in_it(mesh_shared: Mesh) -> None:
    mark = f"written-{uuid.uuid4()}"
    mesh_shared.apply([pod("writer", shell("sleep 600")), pod("other", shell("sleep 600"))])
    for name in ("writer", "other"):
        wait_pod(mesh_shared, name, ready, "it runs")
    for folder in ("/tmp", "/etc", "/var/tmp", "/root", "/usr/bin"):
        mesh_shared.exec("writer", "sh", "-c", f"mkdir -p {folder}; echo x > {folder}/{mark} 2>/dev/null || true")
        seen = mesh_shared.exec("other", "sh", "-c", f"ls {folder}/{mark} 2>/dev/null || echo none")
        assert seen == "none\n", folder
        assert not Path(folder, mark).exists(), f"{folder} of the machine that runs the tests"


def test_pods_have_networks_and_processes_of_their_own(mesh_shared: Mesh) -> None:
    mesh_shared.apply([pod("left", echo("main")), pod("right", echo("main"))])
    left, right = (wait_pod(mesh_shared, name, ready, "it runs") for name in ("left", "right"))
    assert left["status"]["podIP"] != right["status"]["podIP"]
    processes = mesh_shared.exec("left", "sh", "-c", "ls -d /proc/[0-9]* | wc -l")
    assert int(processes) < 10
    assert mesh_shared.exec("left", "hostname").strip() == "left"
    assert "left" in mesh_shared.exec("left", "cat", "/etc/hosts")


def test_an_unknown_image_is_reported_by_name(mesh_shared: Mesh) -> None:
    container = {"name": "main", "image": "registry.invalid/no/such-image:7"}
    mesh_shared.apply(pod("imageless", container))
    found = wait_pod(
        mesh_shared,
        "imageless",
        lambda p: main(p).get("state", {}).get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff"),
        "its image cannot be had",
    )
    assert not ready(found)
    messages = " ".join(event["message"] for event in mesh_shared.events("Pod", "imageless"))
    assert "registry.invalid/no/such-image:7" in messages


@pytest.mark.mesh_clusters("embedded")
def test_an_unknown_image_names_those_that_exist(mesh_shared: Mesh) -> None:
    mesh_shared.apply(pod("guessing", {"name": "main", "image": "mesh-lab/app"}))
    found = wait_pod(
        mesh_shared,
        "guessing",
        lambda p: main(p).get("state", {}).get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff"),
        "its image cannot be had",
    )
    message = main(found)["state"]["waiting"].get("message", "")
    messages = message + " ".join(event["message"] for event in mesh_shared.events("Pod", "guessing"))
    assert "(is mesh-lab/apps" in messages, "first, since a long list of names is cut"

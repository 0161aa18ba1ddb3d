"""kubectl, unmodified: the verbs that people use."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh_lab.harness.commands import Running
from mesh_lab.harness.workloads import IMAGE
from mesh_lab.testing import Mesh

from .pods import deployment, echo, pod, shell

pytestmark = pytest.mark.mesh_injection(False)


class Kubectl:
    """kubectl in one namespace."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        return self.mesh.api.kubectl("-n", self.mesh.namespace, *arguments, stdin=stdin)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))

    def fails(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        done = self.mesh.api.try_kubectl("-n", self.mesh.namespace, *arguments, stdin=stdin)
        assert done.returncode == 1, done
        return done


@pytest.fixture(scope="module")
def web(mesh_shared: Mesh) -> Mesh:
    """A deployment `web` that no test changes."""
    mesh_shared.apply(
        [
            deployment("web", echo()),
            pod("talker", shell("echo one; echo two; sleep 600"), shell("echo side; sleep 600", name="side")),
        ]
    )
    mesh_shared.ready()
    mesh_shared.api.kubectl("-n", mesh_shared.namespace, "wait", "pod/talker", "--for=condition=Ready", "--timeout=20s")
    return mesh_shared


@pytest.fixture
def kubectl(web: Mesh) -> Kubectl:
    return Kubectl(web)


@pytest.fixture
def own(mesh: Mesh) -> Kubectl:
    """kubectl in a namespace of the test's own."""
    return Kubectl(mesh)


def columns(table: str) -> list[str]:
    return table.splitlines()[0].split()


def test_get_prints_the_usual_tables(kubectl: Kubectl) -> None:
    assert columns(kubectl("get", "pods")) == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert columns(kubectl("get", "deployments")) == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    wide = kubectl("get", "pods", "-o", "wide", "-l", "app=web")
    assert columns(wide)[5:7] == ["IP", "NODE"]
    assert wide.splitlines()[1].split()[1:3] == ["1/1", "Running"]


def test_get_knows_names_json_yaml_jsonpath_and_selectors(kubectl: Kubectl) -> None:
    assert "pod/talker" in kubectl("get", "po", "-o", "name")
    assert kubectl.json("get", "deploy", "web")["kind"] == "Deployment"
    assert yaml.safe_load(kubectl("get", "pod", "talker", "-o", "yaml"))["metadata"]["name"] == "talker"
    assert kubectl("get", "pods", "-o", "jsonpath={.items[*].status.phase}") == "Running Running"
    assert kubectl("get", "pods", "-l", "app in (web),app!=talker", "-o", "name").count("pod/web-") == 1
    assert kubectl("get", "pods", "--field-selector", "metadata.name=talker", "-o", "name") == "pod/talker\n"
    assert kubectl.mesh.namespace in kubectl("get", "pods", "-A")


def test_get_of_what_is_not_there_says_so(kubectl: Kubectl) -> None:
    assert 'pods "nobody" not found' in kubectl.fails("get", "pod", "nobody").stderr
    assert "the server doesn't have a resource type" in kubectl.fails("get", "gizmos").stderr


def test_get_watches(own: Kubectl) -> None:
    arguments = own.mesh.api.kubectl_command("-n", own.mesh.namespace, "get", "configmaps", "-w", "-o", "name")
    watching = Running(arguments)
    limit = threading.Timer(20, watching.kill)
    limit.start()
    try:
        own("create", "configmap", "first", "--from-literal=a=1")
        names = iter(watching.stdout.readline, "")
        assert "configmap/first\n" in names
    finally:
        limit.cancel()
        watching.kill()


def test_describe_tells_of_a_pod_and_its_events(kubectl: Kubectl) -> None:
    described = kubectl("describe", "pod", "talker")
    for expected in ("Name:             talker", "Status:           Running", IMAGE, "Scheduled", "Started"):
        assert expected in described
    assert "Replicas:" in kubectl("describe", "deployment", "web")


def test_apply_creates_changes_and_then_leaves_alone(own: Kubectl, tmp_path: Path) -> None:
    manifest = tmp_path / "config.yaml"
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {}\n"
    manifest.write_text(text.format("{a: one, b: two}"))
    assert own("apply", "-f", str(manifest)) == "configmap/settings created\n"
    assert own("apply", "-f", str(manifest)) == "configmap/settings unchanged\n"
    manifest.write_text(text.format("{a: other}"))
    assert own("apply", "-f", str(manifest)) == "configmap/settings configured\n"
    assert own.json("get", "configmap", "settings")["data"] == {"a": "other"}, "apply removes what the file left out"


def test_apply_on_the_servers_side_knows_who_owns_what(own: Kubectl, tmp_path: Path) -> None:
    manifest = tmp_path / "web.yaml"
    wanted = deployment("web", shell("sleep 600"), replicas=1)
    manifest.write_text(json.dumps(wanted))
    apply = ("apply", "--server-side", "-f", str(manifest))
    assert own(*apply) == "deployment.apps/web serverside-applied\n"
    own("scale", "deployment", "web", "--replicas=2")
    refused = own.fails(*apply).stderr
    assert "Apply failed with 1 conflict" in refused
    assert ".spec.replicas" in refused
    own(*apply, "--force-conflicts")
    assert own.json("get", "deployment", "web")["spec"]["replicas"] == 1
    wanted["metadata"]["labels"] = {"tier": "front"}
    manifest.write_text(json.dumps(wanted))
    own(*apply)
    del wanted["metadata"]["labels"]
    manifest.write_text(json.dumps(wanted))
    own(*apply)
    found = own.json("get", "deployment", "web", "--show-managed-fields")["metadata"]
    assert "labels" not in found, "what is no longer applied goes"
    assert ("kubectl", "Apply") in {(entry["manager"], entry["operation"]) for entry in found["managedFields"]}


def test_apply_takes_a_kustomization(own: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [pod.yaml]\nnamePrefix: pre-\nconfigMapGenerator:\n- {name: made, literals: [a=b]}\n"
        "generatorOptions: {disableNameSuffixHash: true}\n"
    )
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: written}\n")
    own("apply", "-k", str(tmp_path))
    assert set(own("get", "configmaps", "-o", "name").split()) >= {"configmap/pre-made", "configmap/pre-written"}


def test_create_makes_configmaps_secrets_and_namespaces(own: Kubectl) -> None:
    own("create", "configmap", "c", "--from-literal=k=v")
    own("create", "secret", "generic", "s", "--from-literal=password=hunter2")
    assert own.json("get", "secret", "s")["data"] == {"password": "aHVudGVyMg=="}
    assert own("get", "configmap", "c", "-o", "jsonpath={.data.k}") == "v"
    name = f"{own.mesh.namespace}-more"
    own("create", "namespace", name)
    assert own("get", "namespace", name, "-o", "jsonpath={.status.phase}") == "Active"
    own("delete", "namespace", name)
    assert "NotFound" in own.fails("get", "namespace", name).stderr


def test_create_refuses_what_exists(own: Kubectl) -> None:
    own("create", "configmap", "c")
    assert 'configmaps "c" already exists' in own.fails("create", "configmap", "c").stderr


def test_label_annotate_and_patch_change_an_object(own: Kubectl) -> None:
    own("create", "configmap", "c", "--from-literal=a=1")
    own("label", "configmap", "c", "tier=web")
    own("annotate", "configmap", "c", "note=hello")
    own("patch", "configmap", "c", "--type=merge", "-p", '{"data":{"b":"2"}}')
    own("patch", "configmap", "c", "--type=json", "-p", '[{"op":"remove","path":"/data/a"}]')
    found = own.json("get", "configmap", "c")
    assert (found["metadata"]["labels"], found["metadata"]["annotations"]) == ({"tier": "web"}, {"note": "hello"})
    assert found["data"] == {"b": "2"}
    own("label", "configmap", "c", "tier-")
    assert "labels" not in own.json("get", "configmap", "c")["metadata"]


def test_delete_waits_until_a_pod_is_gone(own: Kubectl) -> None:
    own("apply", "-f", "-", stdin=json.dumps(pod("short", shell("sleep 600"))))
    own("wait", "pod/short", "--for=condition=Ready", "--timeout=20s")
    assert own("delete", "pod", "short").startswith('pod "short" deleted')
    own.fails("get", "pod", "short")


def test_run_talks_to_what_it_runs(own: Kubectl) -> None:
    command = ("--image", IMAGE, "--image-pull-policy=IfNotPresent", "--restart=Never", "--command")
    told = own(
        "run", "talk", "-i", "--rm", *command, "--", "sh", "-c", "while read a; do echo got $a; done", stdin="1\n2\n"
    )
    assert told.startswith("got 1\ngot 2\n")
    own.fails("get", "pod", "talk")


def test_logs_are_those_of_the_container(kubectl: Kubectl) -> None:
    assert kubectl("logs", "talker", "-c", "main") == "one\ntwo\n"
    assert kubectl("logs", "talker", "-c", "side") == "side\n"
    assert kubectl("logs", "talker", "-c", "main", "--tail=1") == "two\n"
    assert "echo v1 listens on port 8080" in kubectl("logs", "deploy/web")
    assert kubectl("logs", "talker", "--all-containers", "--prefix").count("[pod/talker/") == 3


def test_logs_follow_until_the_container_ends(own: Kubectl) -> None:
    own(
        "apply",
        "-f",
        "-",
        stdin=json.dumps(pod("counter", shell("for i in 1 2 3; do echo $i; sleep 0.2; done"), restartPolicy="Never")),
    )
    own("wait", "pod/counter", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s")
    assert own("logs", "-f", "counter") == "1\n2\n3\n"


def test_exec_runs_a_command_with_input_output_and_exit_code(kubectl: Kubectl) -> None:
    assert kubectl("exec", "talker", "-c", "main", "--", "echo", "hello", "there") == "hello there\n"
    assert kubectl("exec", "-i", "talker", "-c", "main", "--", "cat", stdin="line\n" * 1000) == "line\n" * 1000
    done = kubectl.mesh.api.try_kubectl(
        "-n", kubectl.mesh.namespace, "exec", "talker", "-c", "main", "--", "sh", "-c", "echo bad >&2; exit 7"
    )
    assert done.returncode == 7
    assert "bad" in done.stderr


def test_exec_of_a_program_that_is_not_there_says_so(kubectl: Kubectl) -> None:
    done = kubectl.mesh.api.try_kubectl(
        "-n", kubectl.mesh.namespace, "exec", "talker", "-c", "main", "--", "no-such-program"
    )
    assert done.returncode != 0
    assert "no-such-program" in done.stderr


def test_a_rollout_replaces_pods_one_by_one(own: Kubectl) -> None:
    own("apply", "-f", "-", stdin=json.dumps(deployment("web", echo(), replicas=2)))
    assert "successfully rolled out" in own("rollout", "status", "deploy/web", "--timeout=40s")
    first = set(own("get", "pods", "-o", "name").split())
    own("rollout", "restart", "deploy/web")
    own("rollout", "status", "deploy/web", "--timeout=40s")
    own("wait", *first, "--for=delete", "--timeout=20s")
    second = set(own("get", "pods", "-o", "name").split())
    assert len(second) == 2
    assert not first & second
    own("scale", "deploy/web", "--replicas=3")
    own("wait", "deploy/web", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=30s")
    own("scale", "deploy/web", "--replicas=0")
    own("wait", "pods", "-l", "app=web", "--for=delete", "--timeout=20s")


def test_wait_gives_up_after_its_time(kubectl: Kubectl) -> None:
    assert "timed out waiting" in kubectl.fails("wait", "pod/talker", "--for=condition=Gone", "--timeout=1s").stderr


def test_the_cluster_tells_of_itself(kubectl: Kubectl) -> None:
    resources = kubectl("api-resources")
    for kind in (
        "Pod",
        "Deployment",
        "EndpointSlice",
        "VirtualService",
        "PeerAuthentication",
        "CustomResourceDefinition",
    ):
        assert kind in resources
    assert "Server Version: v1." in kubectl("version")
    assert "is running at https://" in kubectl("cluster-info")
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert kubectl("get", "nodes", "--no-headers").split()[1] == "Ready"
    assert "KIND:       Pod" in kubectl("explain", "pod.spec")


def test_a_pods_account_may_not_read_the_meshs_secrets_and_istiods_may(kubectl: Kubectl) -> None:
    default, istiod = (
        f"system:serviceaccount:{kubectl.mesh.namespace}:default",
        "system:serviceaccount:istio-system:istiod",
    )
    get = ("get", "secret", "istio-ca-secret", "-n", "istio-system")
    assert f'User "{default}" cannot get resource "secrets"' in kubectl.fails(*get, f"--as={default}").stderr
    assert "cannot list" in kubectl.fails("get", "secrets", "-A", f"--as={default}").stderr
    assert kubectl.fails("auth", "can-i", *get[:2], *get[3:], f"--as={default}").stdout.startswith("no")
    assert "istio-ca-secret" in kubectl(*get, f"--as={istiod}")

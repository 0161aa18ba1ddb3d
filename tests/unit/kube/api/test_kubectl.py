"""The real kubectl, unmodified, against the API server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jwt
import pytest
import yaml

from mesh_lab.kube.resources import CONFIGMAPS, CRDS, DEPLOYMENTS, EVENTS, PODS, SERVICEACCOUNTS
from tests.unit.kube.api.conftest import LIMIT_S, Server
from tests.unit.kube.api.test_discovery import crd

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: busybox, ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, name: http}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
"""


async def make_pod(server: Server, name: str = "p", **status: Any) -> None:
    """A pod on the node, in the state that its node would report."""
    pod = {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], "nodeName": "lab"},
    }
    await server.registry.create(PODS, pod, namespace="default")
    settled = {
        "phase": "Running",
        "podIP": "10.244.0.9",
        "podIPs": [{"ip": "10.244.0.9"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {"name": "c", "ready": True, "restartCount": 0, "image": "busybox", "imageID": "", "state": {"running": {}}}
        ],
        **status,
    }
    await server.registry.modify(PODS, name, "default", lambda obj: {**obj, "status": settled}, subresource="status")


async def test_get_in_each_form(server: Server) -> None:
    await make_pod(server)
    (row,) = (await server.kubectl("get", "pods")).rows
    assert row[:4] == ["p", "1/1", "Running", "0"]
    assert row[4].endswith("s"), "its age, in seconds"
    wide = await server.kubectl("get", "po", "-o", "wide")
    assert wide.rows[0][5:7] == ["10.244.0.9", "lab"]
    everywhere = await server.kubectl("get", "pods", "-A")
    assert everywhere.rows[0][:2] == ["default", "p"]
    assert yaml.safe_load((await server.kubectl("get", "pod", "p", "-o", "yaml")).out)["metadata"]["name"] == "p"
    listed = json.loads((await server.kubectl("get", "pods", "-o", "json")).out)
    assert (listed["kind"], len(listed["items"])) == ("List", 1)
    assert (await server.kubectl("get", "pod/p", "-o", "jsonpath={.status.podIP}")).out == "10.244.0.9"
    assert (await server.kubectl("get", "pods", "-o", "name")).out == "pod/p\n"
    assert "none" not in (await server.kubectl("get", "pods", "--show-labels")).out
    assert (await server.kubectl("get", "pods", "-l", "app=other")).err.startswith("No resources found")
    selected = await server.kubectl("get", "pods", "--field-selector", "spec.nodeName=lab,status.phase=Running")
    assert len(selected.rows) == 1


async def test_watching_a_table(server: Server) -> None:
    await make_pod(server, "first")
    process = await server.start_kubectl("get", "pods", "-w")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            header, first = [(await process.stdout.readline()).split() for _ in range(2)]
            await make_pod(server, "second")
            later = [(await process.stdout.readline()).split() for _ in range(2)]
    finally:
        process.kill()
        await process.communicate()
    assert (header[0], first[0]) == (b"NAME", b"first")
    assert [(row[0], row[2]) for row in later] == [(b"second", b"Pending"), (b"second", b"Running")]


async def test_apply_creates_then_changes_nothing_then_changes(server: Server) -> None:
    first = await server.kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert first.out.count("created") == 3
    revision = server.registry.revision
    second = await server.kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert second.out.count("unchanged") == 3
    assert server.registry.revision == revision
    third = await server.kubectl(
        "apply", "-f", "-", stdin=MANIFEST.replace("blue", "red").replace("replicas: 2", "replicas: 3")
    )
    assert third.out.splitlines() == [
        "deployment.apps/web configured",
        "service/web unchanged",
        "configmap/settings configured",
    ]
    gone = await server.kubectl("delete", "-f", "-", stdin=MANIFEST)
    assert gone.out.count("deleted") == 3


async def test_apply_a_kustomization(server: Server) -> None:
    (server.directory / "kustomization.yaml").write_text("resources: [all.yaml]\nnamePrefix: my-\n")
    (server.directory / "all.yaml").write_text(MANIFEST)
    result = await server.kubectl("apply", "-k", str(server.directory))
    assert "configmap/my-settings created" in result.out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("replicas: 2", "replica: 2"), 'unknown field "spec.replica"'),
        (("replicas: 2", "replicas: two"), "spec.replicas"),
        (("image: busybox", "image: busybox, imagePullPolicy: Sometimes"), "imagePullPolicy"),
        (("kind: Deployment", "kind: Deploymend"), 'no matches for kind "Deploymend"'),
        (("{matchLabels: {app: web}}", "{matchLabels: {app: other}}"), "selector"),
    ],
)
async def test_a_wrong_manifest_is_refused_with_the_place(server: Server, change: tuple[str, str], words: str) -> None:
    result = await server.kubectl("apply", "-f", "-", stdin=MANIFEST.replace(*change), code=1)
    assert words in result.err


async def test_what_kubectl_sends_as_protobuf(server: Server) -> None:
    await server.registry.create(SERVICEACCOUNTS, {"metadata": {"name": "cart"}}, namespace="default")
    await server.kubectl("create", "namespace", "shop")
    await server.kubectl("create", "secret", "generic", "s", "--from-literal=a=b", "-n", "shop")
    await server.kubectl("create", "configmap", "c", "--from-literal=x=y", "-n", "shop")
    await server.kubectl("create", "deployment", "d", "--image=busybox", "--replicas=0", "--port=80")
    await server.kubectl("create", "service", "clusterip", "svc", "--tcp=80:8080")
    await server.kubectl("create", "serviceaccount", "builder")
    await server.kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    token = (await server.kubectl("create", "token", "cart", "--audience=istio-ca", "--duration=1h")).out.strip()
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == ["istio-ca"]
    assert (await server.kubectl("get", "secret", "s", "-n", "shop", "-o", "jsonpath={.data.a}")).out == "Yg=="
    deployment = server.registry.get(DEPLOYMENTS, "d", "default")
    assert deployment["spec"]["replicas"] == 0
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    await server.kubectl("delete", "secret", "s", "-n", "shop", "--cascade=foreground", "--wait=false")


async def test_changing_an_object_in_place(server: Server) -> None:
    await server.kubectl("create", "configmap", "c", "--from-literal=x=1")
    await server.kubectl("patch", "cm", "c", "-p", '{"data":{"x":"2"}}')
    await server.kubectl("patch", "cm", "c", "--type=json", "-p", '[{"op":"add","path":"/data/y","value":"3"}]')
    await server.kubectl("patch", "cm", "c", "--type=merge", "-p", '{"data":{"x":null}}')
    await server.kubectl("label", "cm", "c", "a=b")
    await server.kubectl("annotate", "cm", "c", "note=well")
    refused = await server.kubectl("label", "cm", "c", "a=c", code=1)
    assert "--overwrite" in refused.err
    obj = server.registry.get(CONFIGMAPS, "c", "default")
    assert (obj["data"], obj["metadata"]["labels"], obj["metadata"]["annotations"]) == (
        {"y": "3"},
        {"a": "b"},
        {"note": "well"},
    )
    edited = {**obj, "data": {"z": "4"}}
    await server.kubectl("replace", "-f", "-", stdin=json.dumps(edited))
    conflict = await server.kubectl("replace", "-f", "-", stdin=json.dumps(edited), code=1)
    assert "Conflict" in conflict.err


async def test_waiting(server: Server) -> None:
    await make_pod(server, conditions=[{"type": "Ready", "status": "False"}])
    waiting = await server.start_kubectl("wait", "--for=condition=Ready", "pod/p", f"--timeout={LIMIT_S}s")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting.wait()), 0.3)
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    await server.registry.modify(
        PODS, "p", "default", lambda obj: {**obj, "status": {**obj["status"], **ready}}, subresource="status"
    )
    out, _ = await asyncio.wait_for(waiting.communicate(), LIMIT_S)
    assert out == b"pod/p condition met\n"
    await server.kubectl("create", "configmap", "c")
    leaving = await server.start_kubectl("wait", "--for=delete", "cm/c", f"--timeout={LIMIT_S}s")
    await server.kubectl("delete", "cm", "c")
    await asyncio.wait_for(leaving.communicate(), LIMIT_S)
    assert leaving.returncode == 0


async def test_rollouts(server: Server) -> None:
    await server.kubectl("apply", "-f", "-", stdin=MANIFEST)
    following = await server.start_kubectl("rollout", "status", "deploy/web", f"--timeout={LIMIT_S}s")
    assert following.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        assert b"Waiting for deployment" in await following.stdout.readline()
    done = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
    await server.registry.modify(
        DEPLOYMENTS, "web", "default", lambda obj: {**obj, "status": done}, subresource="status"
    )
    out, _ = await asyncio.wait_for(following.communicate(), LIMIT_S)
    assert b"successfully rolled out" in out
    await server.kubectl("rollout", "restart", "deploy/web")
    await server.kubectl("scale", "deploy/web", "--replicas=4")
    assert (await server.kubectl("get", "deploy/web", "--subresource=scale")).rows[0][:3] == ["web", "4", "2"]
    await server.kubectl("set", "image", "deploy/web", "c=debian")
    deployment = server.registry.get(DEPLOYMENTS, "web", "default")
    template = deployment["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert (deployment["spec"]["replicas"], template["spec"]["containers"][0]["image"]) == (4, "debian")


async def test_describing_and_events(server: Server) -> None:
    await make_pod(server)
    pod = server.registry.get(PODS, "p", "default")
    event = {
        "metadata": {"name": "p.1"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "p",
            "namespace": "default",
            "uid": pod["metadata"]["uid"],
        },
        "reason": "Scheduled",
        "message": "Successfully assigned default/p to lab",
        "type": "Normal",
        "source": {"component": "scheduler"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    }
    await server.registry.create(EVENTS, event, namespace="default")
    assert "Successfully assigned default/p to lab" in (await server.kubectl("describe", "pod", "p")).out
    assert "Scheduled" in (await server.kubectl("events", "--for", "pod/p")).out
    assert "pod/p" in (await server.kubectl("get", "events")).out


async def test_running_commands_and_reading_logs(server: Server) -> None:
    await make_pod(server)
    server.node.lines["default", "p"] = ["one", "two"]
    assert (await server.kubectl("logs", "p")).out == "one\ntwo\n"
    assert (await server.kubectl("logs", "p", "-c", "c", "--tail=1", "--previous")).out == "two\n"
    piped = await server.kubectl("exec", "-i", "p", "--", "tr", "a-z", "A-Z", stdin="hello")
    assert piped.out == "HELLO"
    failed = await server.kubectl("exec", "p", "--", "sh", "-c", "echo oops >&2; exit 3", code=3)
    assert failed.err.startswith("oops\n")
    missing = await server.kubectl("exec", "p", "--", "no-such-program", code=1)
    assert "no-such-program" in missing.err
    nobody = await server.kubectl("exec", "q", "--", "id", code=1)
    assert 'pods "q" not found' in nobody.err


async def test_following_logs(server: Server) -> None:
    await make_pod(server)
    lines = server.node.lines["default", "p"] = ["one"]
    process = await server.start_kubectl("logs", "-f", "p")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            assert await process.stdout.readline() == b"one\n"
            lines.append("two")
            server.node.grown.set()
            assert await process.stdout.readline() == b"two\n"
    finally:
        process.kill()
        await process.communicate()


async def test_version_discovery_and_explain(server: Server) -> None:
    version = await server.kubectl("version")
    assert ("Server Version: v1.36" in version.out, version.err) == (True, "")
    assert server.url in (await server.kubectl("cluster-info")).out
    kinds = await server.kubectl("api-resources", "--no-headers")
    assert {"pods", "deployments", "leases"} <= {line.split()[0] for line in kinds.out.splitlines()}
    assert "apps/v1" in (await server.kubectl("api-versions")).out
    assert "Container image name" in (await server.kubectl("explain", "pod.spec.containers.image")).out
    assert (await server.kubectl("get", "--raw", "/readyz?verbose")).out.endswith("readyz check passed\n")
    unavailable = await server.kubectl("top", "pods", code=1)
    assert "Metrics API not available" in unavailable.err


async def test_auth_can_i_and_whoami(server: Server) -> None:
    assert "kubernetes-admin" in (await server.kubectl("auth", "whoami")).out
    assert (await server.kubectl("auth", "can-i", "delete", "pods")).out == "yes\n"
    assert ["*.*", "[]", "[]", "[*]"] in (await server.kubectl("auth", "can-i", "--list")).rows
    own = (await server.kubectl("auth", "can-i", "--list", "--as=alice")).out
    assert "selfsubjectrulesreviews.authorization.k8s.io" in own
    assert "*.*" not in own
    assert (await server.kubectl("auth", "can-i", "delete", "pods", "--as=alice", code=1)).out.startswith("no")
    refused = await server.kubectl("get", "pods", "--as=alice", code=1)
    assert "Forbidden" in refused.err


async def test_custom_resources(server: Server) -> None:
    await server.kubectl("apply", "-f", "-", stdin=json.dumps(crd()))
    await server.kubectl("wait", "--for=condition=Established", "crd/widgets.lab.test", f"--timeout={LIMIT_S}s")
    widget = {"apiVersion": "lab.test/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}
    await server.kubectl("apply", "-f", "-", stdin=json.dumps(widget))
    assert (await server.kubectl("get", "wi")).out.splitlines()[0].split() == ["NAME", "SIZE"]
    assert (await server.kubectl("get", "widgets.v1beta1.lab.test")).rows == [["w", "3"]]
    assert "How large it is" in (await server.kubectl("explain", "widget.spec.size")).out
    wrong = await server.kubectl("apply", "-f", "-", stdin=json.dumps({**widget, "spec": {"size": "big"}}), code=1)
    assert "spec.size" in wrong.err
    unknown = await server.kubectl("apply", "-f", "-", stdin=json.dumps({**widget, "spec": {"colour": 1}}), code=1)
    assert 'unknown field "spec.colour"' in unknown.err
    again = await server.kubectl("apply", "-f", "-", stdin=json.dumps({**widget, "spec": {"size": 4}}))
    assert again.out == "widget.lab.test/w configured\n"
    await server.registry.delete(CRDS, "widgets.lab.test")


async def test_deleting(server: Server) -> None:
    await server.kubectl("create", "configmap", "a")
    await server.kubectl("create", "configmap", "b")
    assert (await server.kubectl("delete", "cm", "a")).out == 'configmap "a" deleted from default namespace\n'
    await server.kubectl("delete", "cm", "--all")
    missing = await server.kubectl("delete", "cm", "a", code=1)
    assert 'configmaps "a" not found' in missing.err
    assert (await server.kubectl("delete", "cm", "a", "--ignore-not-found")).out == ""
    await make_pod(server)
    await server.kubectl("delete", "pod", "p", "--force")
    assert server.registry.find(PODS, "p", "default") is None

"""Server-side apply over HTTP and by kubectl."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.kube.api.conftest import Server
from tests.unit.kube.api.rest.test_objects import DEPLOYMENTS, deployment

CONFIG = "/api/v1/namespaces/default/configmaps/c"
APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


async def test_an_apply_creates_and_then_changes(server: Server) -> None:
    await server.json("PATCH", CONFIG + "?fieldManager=ann", config_map(a="1"), headers=APPLY, code=201)
    changed = await server.json("PATCH", CONFIG + "?fieldManager=ann", config_map(b="1"), headers=APPLY)
    assert changed["data"] == {"b": "1"}
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {b: two}\n"
    async with server.client.patch(server.url + CONFIG + "?fieldManager=bob", data=text, headers=APPLY) as response:
        answer = await response.json()
    assert (response.status, answer["details"]["causes"]) == (
        409,
        [{"reason": "FieldManagerConflict", "field": ".data.b", "message": 'conflict with "ann"'}],
    )
    forced = await server.json("PATCH", CONFIG + "?fieldManager=bob&force=true", config_map(b="two"), headers=APPLY)
    assert forced["data"] == {"b": "two"}


@pytest.mark.parametrize(
    ("query", "headers", "body", "code", "words"),
    [
        ("", APPLY, config_map(), 422, "fieldManager: Required value: is required for apply patch"),
        ("?fieldManager=a", APPLY, [], 400, "must be an object"),
        (
            "?fieldManager=a",
            APPLY,
            {**config_map(), "metadata": {"name": "d"}},
            400,
            "does not match the name on the URL",
        ),
        ("?fieldManager=" + "a" * 129, APPLY, config_map(), 422, "fieldManager: Too long: may not be more than 128"),
        ("?fieldManager=a%0A", MERGE, {}, 422, "should only contain printable characters"),
        ("?force=true", MERGE, {}, 422, "force: Forbidden: may not be specified for non-apply patch"),
    ],
)
async def test_an_invalid_apply_is_refused(
    server: Server, query: str, headers: dict[str, str], body: Any, code: int, words: str
) -> None:
    refusal = await server.json("PATCH", CONFIG + query, body, headers=headers, code=code)
    assert words in refusal["message"]


async def test_fields_set_through_scale_are_owned_through_scale(server: Server) -> None:
    await server.json("PATCH", DEPLOYMENTS + "/web?fieldManager=ann", deployment("web"), headers=APPLY, code=201)
    path = DEPLOYMENTS + "/web/scale?fieldManager=kubectl"
    await server.json("PATCH", path, {"spec": {"replicas": 5}}, headers=MERGE)
    refusal = await server.json(
        "PATCH", DEPLOYMENTS + "/web?fieldManager=ann", deployment("web"), headers=APPLY, code=409
    )
    words = 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas'
    assert refusal["message"] == f"Apply failed with 1 conflict: {words}"


async def test_kubectl_alternates_client_side_and_server_side_apply(server: Server) -> None:
    file = server.directory / "c.yaml"
    file.write_text(json.dumps(config_map(a="1", b="1")))
    await server.kubectl("apply", "-f", str(file))
    await server.kubectl("apply", "--server-side", "-f", str(file))
    file.write_text(json.dumps(config_map(a="2")))
    await server.kubectl("apply", "--server-side", "-f", str(file))
    assert (await server.json("GET", CONFIG))["data"] == {"a": "2"}, "kubectl hands over what it owned before"
    file.write_text(json.dumps(config_map(c="1")))
    await server.kubectl("apply", "-f", str(file))
    assert (await server.json("GET", CONFIG))["data"] == {"c": "1"}
    await server.kubectl("label", "configmap", "c", "x=y")
    await server.kubectl("apply", "--server-side", "-f", str(file))
    found = await server.json("GET", CONFIG)
    assert (found["data"], found["metadata"]["labels"]) == ({"c": "1"}, {"x": "y"})
    diff = await server.kubectl("diff", "--server-side", "-f", str(file), code=None)
    assert (diff.code, diff.out) == (0, "")


async def test_the_first_server_side_apply_removes_no_fields(server: Server) -> None:
    """What `scale`, `annotate`, `set env` and `rollout restart` did stays; what the manifest names is a conflict."""
    manifest = deployment("web")
    await server.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    await server.kubectl("scale", "deployment/web", "--replicas=5")
    await server.kubectl("annotate", "deployment/web", "team=a")
    await server.kubectl("set", "env", "deployment/web", "KEY=value")
    await server.kubectl("rollout", "restart", "deployment/web")
    refused = await server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(manifest), code=1)
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in refused.err
    del manifest["spec"]["replicas"]
    await server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(manifest))
    after = await server.json("GET", DEPLOYMENTS + "/web")
    template = after["spec"]["template"]
    assert (after["spec"]["replicas"], after["metadata"]["annotations"]["team"]) == (5, "a")
    assert template["spec"]["containers"][0]["env"] == [{"name": "KEY", "value": "value"}]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]


async def test_a_pod_is_applied_on_the_servers_side_again_and_again(server: Server) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"a": "1", "b": "1"}},
        "spec": {"containers": [{"name": "c", "image": "busybox"}]},
    }
    await server.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    del pod["metadata"]["labels"]["b"]  # type: ignore[attr-defined]
    for _ in range(2):
        done = await server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(pod))
        assert done.err == ""
    after = await server.json("GET", "/api/v1/namespaces/default/pods/p")
    assert after["metadata"]["labels"] == {"a": "1"}
    assert after["spec"]["volumes"]

"""Mistakes are met with a message that names the place, and change nothing."""

from __future__ import annotations

import subprocess

import pytest

from mesh_lab.testing import (
    ApiError,
    ConfigurationRejected,
    Mesh,
    Object,
    Reference,
    assert_all,
    destination_rule,
    eventually,
    route,
    to,
    virtual_service,
)

ANALYSIS = "PILOT_ENABLE_ANALYSIS"
# Istio looks every ten seconds by default, and names a finding by its code alone: "Referenced ... not found".
FOUND, FOUND_SECONDS, NOT_FOUND = "the control plane reports what it finds", 30, "IST0101"


@pytest.fixture
def analysis(shop: Mesh) -> None:
    """Skips where an Istio keeps its findings to itself, as it does unless it was installed otherwise."""
    deployments = shop.api.request("GET", "/apis/apps/v1/deployments", labelSelector="app=istiod")["items"]
    containers = [c for d in deployments for c in d["spec"]["template"]["spec"]["containers"]]
    told = {entry.get("value") for c in containers for entry in c.get("env", []) if entry["name"] == ANALYSIS}
    if "false" in told:
        pytest.skip(f"this Istio reports no findings: {ANALYSIS} is off (Helm's global.istiod.enableAnalysis)")


def apply(mesh: Mesh, manifest: str) -> subprocess.CompletedProcess[str]:
    done = mesh.api.try_kubectl("-n", mesh.namespace, "apply", "-f", "-", stdin=manifest)
    assert "Traceback" not in done.stderr
    return done


POD = """
apiVersion: v1
kind: Pod
metadata: {{name: bad}}
spec:
  containers:
  - name: main
    image: busybox
    {line}
"""
SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: bad}}
spec:
  hosts: [echo]
  http:
  - route:
    - destination: {{host: echo}}
      {line}
"""
MISTAKES: dict[str, tuple[str, ...]] = {
    "not YAML": ("a: [", "error converting YAML to JSON"),
    "unknown kind": ("apiVersion: v1\nkind: Gizmo\nmetadata: {name: a}\n", 'no matches for kind "Gizmo"'),
    "unknown field": (POD.format(line="colour: red"), 'unknown field "spec.containers[0].colour"'),
    "wrong type": (
        POD.format(line="ports: [{containerPort: many}]"),
        "spec.containers.ports.containerPort of type int32",
    ),
    "bad enum value": (POD.format(line="imagePullPolicy: Sometimes"), "spec.containers[0].imagePullPolicy"),
    "negative weight": (SERVICE.format(line="weight: -1"), "spec.http[0].route[0].weight", "weight -1 < 0"),
    "unknown field of the mesh": (SERVICE.format(line="wieght: 1"), 'unknown field "spec.http[0].route[0].wieght"'),
    "bad name": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name}\n", "metadata.name"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_manifest_is_refused_with_the_place_of_its(shop: Mesh, mistake: str) -> None:
    manifest, *messages = MISTAKES[mistake]
    done = apply(shop, manifest)
    assert done.returncode == 1
    # Istio's webhook names a bad value, where the lab's schema names its field.
    assert any(message in done.stderr for message in messages), done.stderr


@pytest.mark.usefixtures("analysis")
def test_a_route_to_a_missing_subset_is_reported_on_the_resource(shop: Mesh) -> None:
    shop.apply([destination_rule("echo", "v1"), virtual_service("echo", route(to("echo", "v9")))])
    ref = Reference("networking.istio.io/v1", "VirtualService", "echo", shop.namespace)
    try:
        reported = eventually(lambda: _reports(shop, ref), timeout=FOUND_SECONDS, why=FOUND)
        assert "v9" in reported or NOT_FOUND in reported
    finally:
        shop.remove([ref, Reference("networking.istio.io/v1", "DestinationRule", "echo", shop.namespace)])
        shop.wait_gone(ref)


def _finding(message: Object) -> str:
    """Its code, with its words; Istio's has a page about the code instead."""
    return f"{message['type']['code']}: {message.get('message') or message['documentationUrl']}"


def _reports(mesh: Mesh, ref: Reference) -> str:
    """What the control plane says of a resource: in its status and in events."""
    status = mesh.api.get(ref).get("status", {})
    texts = [entry.get("message", "") for entry in status.get("conditions", [])]
    texts += [_finding(found) for found in status.get("validationMessages", [])]
    texts += [event.get("message", "") for event in mesh.events(ref.kind, ref.name)]
    return "\n".join(text for text in texts if text)


def test_what_envoy_rejects_is_reported_and_the_last_good_configuration_stays(shop: Mesh) -> None:
    client = shop.client()
    with shop.applied(virtual_service("echo", route(to("echo"), headers={"response": {"set": {"x-good": "yes"}}}))) as (
        ref,
    ):
        bad = virtual_service("echo", route(to("echo"), match=[{"uri": {"regex": "(unclosed"}}]))
        told = _rejection(shop, ref, bad)
        results = client.send("http://echo", 10, show_header=["x-good"])
        assert_all(results)
        assert [result.headers for result in results] == [{"x-good": "yes"}] * 10
        assert "missing" in told
    assert_all(client.send("http://echo", 5))


def _rejection(shop: Mesh, ref: Reference, bad: Object) -> str:
    """What is said of it: by Istio's webhook at once, which parses such expressions, or else on the resource."""
    try:
        shop.apply(bad)
    except ApiError as refusal:
        return refusal.message
    with pytest.raises(ConfigurationRejected):
        shop.wait_live(ref)
    return eventually(lambda: _reports(shop, ref), timeout=10, why="the rejection is reported")


@pytest.mark.usefixtures("analysis")
def test_a_gateway_that_nobody_has_is_reported(shop: Mesh) -> None:
    resource = virtual_service("lost.example", route(to("echo")), name="lost", gateways=["no-such-gateway"])
    (ref,) = shop.apply(resource)
    try:
        reported = eventually(lambda: _reports(shop, ref), timeout=FOUND_SECONDS, why=FOUND)
        assert "no-such-gateway" in reported or NOT_FOUND in reported
    finally:
        shop.remove([ref])

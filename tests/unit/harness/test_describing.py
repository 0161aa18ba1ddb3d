"""What a cluster says of itself, and what it does not."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from mesh_lab.client.connection import ApiError
from mesh_lab.client.kubectl import CommandFailed
from mesh_lab.conformance.report import Cluster
from mesh_lab.harness.describing import described

READY = {"conditions": [{"type": "Ready", "status": "True"}]}
ISTIOD = {
    "metadata": {"name": "istiod", "namespace": "istio-system"},
    "spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": "docker.io/istio/pilot:1.30.3"}]}}},
}


def pod(name: str, *containers: str) -> dict[str, Any]:
    named = [{"name": container, "image": "istio/proxyv2"} for container in containers]
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {"containers": named}, "status": READY}


class Answers:
    """Stands in for the API of a cluster with Istio."""

    def __init__(self, istiods: list[Any], pods: list[Any]) -> None:
        self._istiods, self._pods = istiods, pods
        self.commands: list[tuple[str, ...]] = []

    def request(self, _method: str, path: str) -> Any:
        if path == "/version":
            return {"gitVersion": "v1.35.0"}
        if "deployments" in path:
            return {"items": self._istiods}
        if path == "istio-system/istiod-7:15014/proxy/version":
            return "1.30.3-abc-Clean\n"
        raise ApiError(404, path, reason="NotFound", request=f"GET {path}")

    def list_all(self, _version: str, _kind: str, namespace: str = "", _labels: str = "") -> list[Any]:
        return [pod("istiod-7", "discovery")] if namespace else self._pods

    def path(self, _version: str, _kind: str, namespace: str, name: str) -> str:
        return f"{namespace}/{name}"

    def kubectl(self, *arguments: str) -> str:
        self.commands.append(arguments)
        if "broken" in arguments:
            raise CommandFailed("kubectl exec", subprocess.CompletedProcess(arguments, 1, "", "no shell"))
        return json.dumps({"version": "abc/1.38.0/Clean/RELEASE/BoringSSL"})


def test_each_part_says_its_version_itself() -> None:
    api: Any = Answers([ISTIOD], [pod("plain", "app"), pod("front", "app", "istio-proxy")])
    assert described(api, "kind") == Cluster("kind", "v1.35.0", "Istio", "1.30.3-abc-Clean", "1.38.0")
    assert api.commands[0][:4] == ("exec", "-n", "shop", "front")


def test_what_a_cluster_does_not_tell_is_empty_and_said() -> None:
    api: Any = Answers([], [])
    found = described(api, "existing")
    assert (found.kubernetes, found.control_plane, found.control_plane_version, found.envoy) == ("v1.35.0", "", "", "")
    assert found.unknown == (
        "control plane: no istiod is there",
        "control plane's version: no istiod is ready",
        "Envoy's version: no proxy is ready",
    )


def test_a_proxy_that_cannot_be_asked_fails_nothing() -> None:
    api: Any = Answers([ISTIOD], [pod("broken", "istio-proxy")])
    assert described(api, "kind").unknown == ("Envoy's version: `kubectl exec` failed with exit code 1:\nno shell",)

"""Which pods run a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.world.fleet import Fleet
from tests.unit.controlplane.mesh import pod


def changed(**parts: Any) -> dict[str, Any]:
    new = pod("a")
    for part, fields in parts.items():
        new[part] = {**new[part], **fields}
    return new


def test_a_pod_that_was_injected_runs_one() -> None:
    fleet = Fleet()
    fleet.apply("ADDED", pod("a"))
    (known,) = fleet.pods.values()
    assert (known.kind, known.ready, known.service_account) == ("sidecar", True, "default")
    assert known.node_id == "sidecar~127.0.0.1~a.default~"
    fleet.apply("DELETED", pod("a"))
    assert not fleet.pods


def test_a_gateway_is_a_router() -> None:
    fleet = Fleet()
    fleet.apply("ADDED", pod("gw", templates="gateway"))
    assert fleet.pods[("default", "gw")].kind == "router"


@pytest.mark.parametrize(
    ("parts", "known", "ready"),
    [
        ({"metadata": {"annotations": {}}}, False, False),
        ({"status": {"phase": "Succeeded"}}, False, False),
        ({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, True, False),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, True, False),
    ],
)
def test_what_does_not_serve_is_not_waited_for(parts: dict[str, Any], known: bool, ready: bool) -> None:
    fleet = Fleet()
    fleet.apply("ADDED", pod("a"))
    fleet.apply("MODIFIED", changed(**parts))
    assert bool(fleet.pods) is known
    assert any(one.ready for one in fleet.pods.values()) is ready


def test_a_gateway_of_istios_own_manifests_is_one_without_injection() -> None:
    fleet = Fleet()
    fleet.apply(
        "ADDED",
        {
            "metadata": {"name": "istio-ingressgateway-1", "namespace": "istio-system", "uid": "u"},
            "spec": {"containers": [{"name": "istio-proxy", "args": ["proxy", "router", "--domain", "x"]}]},
            "status": {"podIP": "10.0.0.1", "phase": "Running"},
        },
    )
    assert [pod.kind for pod in fleet.pods.values()] == ["router"]

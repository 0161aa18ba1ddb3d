"""Resources that are stored in error: what holds of them, before and after a restart, and that it is said."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.istiokinds import decode, stand_in, validate
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.world.snapshot import Snapshot

ROUTE = [{"route": [{"destination": {"host": "echo"}}]}]
GOOD: dict[str, Any] = {"hosts": ["echo"], "http": ROUTE}
BAD: dict[str, Any] = {"hosts": ["echo"], "http": [{"match": [{"uri": {"regex": "(?!x)"}}], **ROUTE[0]}]}


def virtual_service(version: int, spec: Any) -> dict[str, Any]:
    meta = {"name": "echo", "namespace": "c", "resourceVersion": str(version), "generation": version}
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": spec}


def remarks(snapshot: Snapshot) -> str:
    findings = snapshot.invalid[("VirtualService", "c", "echo")]
    assert all(finding.severity == "error" for finding in findings)
    return "; ".join(finding.message for finding in findings)


def direct_response(snapshot: Snapshot) -> int:
    (route,) = snapshot.of(VirtualService)["c", "echo"].spec.http
    return route.direct_response.status if route.direct_response is not None else 0


def test_the_good_version_before_stays_until_a_restart_and_both_are_said() -> None:
    state = ClusterState()
    kind = FOLLOWED["VirtualService"]
    state.apply(kind, "ADDED", virtual_service(1, GOOD))
    state.apply(kind, "MODIFIED", virtual_service(2, BAD))
    before = state.snapshot()
    assert before.of(VirtualService)["c", "echo"].spec.http[0].route
    assert "the version before it holds; when istiod is restarted, HTTP requests to echo are answered" in remarks(
        before
    )
    restarted = ClusterState()
    restarted.replace(kind, [virtual_service(2, BAD)])
    after = restarted.snapshot()
    assert direct_response(after) == 503
    assert "until it is put right, HTTP requests to echo are answered with 503" in remarks(after)
    restarted.apply(kind, "MODIFIED", virtual_service(3, {**BAD, "hosts": ["echo", "other"]}))
    assert "requests to echo, other are answered with 503" in remarks(restarted.snapshot())
    restarted.apply(kind, "MODIFIED", virtual_service(4, GOOD))
    mended = restarted.snapshot()
    assert direct_response(mended) == 0
    assert not mended.invalid
    restarted.apply(kind, "MODIFIED", virtual_service(5, BAD))
    assert "the version before it holds" in remarks(restarted.snapshot())
    restarted.apply(kind, "DELETED", virtual_service(5, BAD))
    assert not restarted.snapshot().of(VirtualService)


SIMPLE = {"mode": "SIMPLE", "sni": "x.example"}


@pytest.mark.parametrize(
    ("kind", "raw", "held", "words"),
    [
        ("VirtualService", {"hosts": ["a b"], "http": ROUTE}, None, "routes nothing"),
        ("VirtualService", {"hosts": 7}, None, "routes nothing"),
        ("VirtualService", None, None, "routes nothing"),
        ("VirtualService", {"hosts": ["a"], "tcp": [{"route": []}]}, None, "connections go where they would"),
        ("Gateway", {"servers": []}, None, "do not listen"),
        ("DestinationRule", {"host": "a", "subsets": [{}]}, None, "do not hold"),
        ("DestinationRule", {"host": "a", "trafficPolicy": {"tls": {"mode": "DISABLE"}, "x": 1}}, None, "do not hold"),
        (
            "DestinationRule",
            {"host": "a", "trafficPolicy": {"tls": SIMPLE, "colour": "red"}},
            {"host": "a", "trafficPolicy": {"tls": SIMPLE}},
            "but for its trafficPolicy.tls",
        ),
        (
            "DestinationRule",
            {"host": "a", "trafficPolicy": {"tls": {"mode": "MUTUALLY"}}},
            {"host": "a", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
            "mutual TLS, or fail",
        ),
        (
            "DestinationRule",
            {"host": "a", "subsets": [{"name": "v1", "trafficPolicy": {"tls": SIMPLE}, "colour": "red"}]},
            {"host": "a", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
            "mutual TLS, or fail",
        ),
        (
            "Sidecar",
            {
                "egress": [{"hosts": ["./*"]}, {"hosts": ["nowhere"]}],
                "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
            },
            {"egress": [{"hosts": ["./*"]}], "outboundTrafficPolicy": {}},
            "1 of 2 egress listeners that can be read, and outboundTrafficPolicy REGISTRY_ONLY",
        ),
        (
            "Sidecar",
            {
                "egress": [{"hosts": ["x"]}],
                "outboundTrafficPolicy": {"mode": "NONE"},
                "workloadSelector": {"labels": {"a": "b"}},
            },
            {"egress": [{"hosts": ["~/*"]}], "outboundTrafficPolicy": {}, "workloadSelector": {"labels": {"a": "b"}}},
            "0 of 1 egress listeners",
        ),
    ],
)
def test_what_holds_of_each_kind_opens_nothing(kind: str, raw: Any, held: dict[str, Any] | None, words: str) -> None:
    found = stand_in(kind, raw)
    assert found is not None
    assert words in found.effect
    assert _same(found.spec, decode(kind, held) if held is not None else None)
    if found.spec is not None:
        assert not [problem for problem in validate(found.spec) if problem.severity == "error"]


def _same(one: Spec | None, other: Spec | None) -> bool:
    """Specs are compared by identity; here, by what they say."""
    return repr(one) == repr(other)


def test_policies_are_not_for_this() -> None:
    assert stand_in("AuthorizationPolicy", {"action": "NONE"}) is None

"""XBackendTrafficPolicy: a budget for retries to a Service."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.typeurls import CDS
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.gatewayapi.objects import edge, holds, made, route, rule, sent, status, to

KIND = "XBackendTrafficPolicy"
REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"


def policy(name: str = "p", created: str = "2026-01-01", **more: Any) -> dict[str, Any]:
    spec = {"targetRefs": [{"group": "", "kind": "Service", "name": "reviews"}], **more}
    return made(name, spec, created=created)


def constrained(percent: int, name: str = "p", created: str = "2026-01-01") -> dict[str, Any]:
    constraint = {"budget": {"percent": percent, "interval": "5s"}, "minRetryRate": {"count": 7, "interval": "1s"}}
    return policy(name, created, retryConstraint=constraint)


def called(*policies: dict[str, Any]) -> Cluster:
    return edge().add("HTTPRoute", route("r", rule(to("reviews")))).add(KIND, *policies)


def budget(cluster: Cluster) -> Any:
    return message(sent(cluster)[CDS][REVIEWS]).circuit_breakers.thresholds[0].retry_budget


def accepted(cluster: Cluster, name: str = "p") -> list[tuple[str, tuple[str, str]]]:
    """What the status says at each ancestor."""
    ancestors = status(cluster, KIND, name)["ancestors"]
    return [(each["ancestorRef"]["kind"], holds(each["conditions"], "Accepted")) for each in ancestors]


def test_retries_are_a_share_of_the_requests() -> None:
    cluster = called(constrained(30))
    assert budget(cluster).budget_percent.value == 30
    assert budget(cluster).min_retry_concurrency.value == 7
    assert accepted(cluster) == [("Gateway", ("True", "Accepted")), ("Service", ("True", "Accepted"))]
    sidecar = Generator().generate(cluster.snapshot(), cluster.proxy("ratings-v1-abc-1"))
    assert message(sidecar[CDS][REVIEWS]).circuit_breakers.thresholds[0].retry_budget.budget_percent.value == 30


def test_it_adds_to_a_policy_for_tls() -> None:
    validation = {"hostname": "reviews.example.com", "wellKnownCACertificates": "System"}
    target = {"group": "", "kind": "Service", "name": "reviews"}
    tls = made("t", {"targetRefs": [target], "validation": validation})
    for cluster in (called(constrained(30)).add("BackendTLSPolicy", tls),):
        assert budget(cluster).budget_percent.value == 30
        assert message(sent(cluster)[CDS][REVIEWS]).HasField("transport_socket")


def test_a_destination_rule_comes_first() -> None:
    cluster = called(constrained(30))
    spec = {"host": "reviews", "trafficPolicy": {"retryBudget": {"percent": 50}}}
    assert budget(cluster.add("DestinationRule", made("d", spec))).budget_percent.value == 50


def test_of_two_the_older_counts() -> None:
    cluster = called(constrained(30, "new"), constrained(40, "old", "2025-01-01"))
    assert budget(cluster).budget_percent.value == 40
    assert {said for _, said in accepted(cluster, "new")} == {("False", "Conflicted")}


def test_what_is_not_carried_out_refuses_the_policy() -> None:
    for wrong in (
        policy(sessionPersistence={}),
        policy(later=True),
        policy(retryConstraint={"budget": {"interval": "x"}}),
    ):
        cluster = called(wrong)
        assert {said for _, said in accepted(cluster)} == {("False", "Invalid")}
        assert "error" in [each.severity for each in analyse(cluster.snapshot()) if each.origin.kind == KIND]

"""Whether a version has pods: what is looked at, and what is left to the answers."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.client.objects import Object, Reference
from mesh_lab.rollout.endpoints import NoEndpoints, check_endpoints


class Cluster:
    """Stands for the API: the Service shop in the namespace market, whose subset v2 is version=v2."""

    def __init__(self, *pods: Object, machines: tuple[dict[str, str], ...] = ()) -> None:
        self.services: dict[tuple[str, str], Object] = {("market", "shop"): {"spec": {"selector": {"app": "shop"}}}}
        self.objects: dict[str, list[Object]] = {
            "Pod": list(pods),
            "DestinationRule": [
                {"spec": {"host": "other", "subsets": [{"name": "v2", "labels": {"version": "other"}}]}},
                {
                    "spec": {
                        "host": "shop.market.svc.cluster.local",
                        "subsets": [{"name": "v1"}, {"name": "v2", "labels": {"version": "v2"}}],
                    }
                },
            ],
            "WorkloadEntry": [{"spec": {"labels": labels}} for labels in machines],
        }
        self.asked: list[str] = []

    def served(self, *_: Any) -> str:
        return "v1"

    def find(self, ref: Reference) -> Object | None:
        return self.services.get((ref.namespace, ref.name))

    def list_all(self, _: str, kind: str, namespace: str, labels: str = "") -> list[Object]:
        if kind == "Pod":
            self.asked.append(labels)
            wanted = dict(each.split("=") for each in labels.split(","))
            return [pod for pod in self.objects[kind] if wanted.items() <= pod["metadata"]["labels"].items()]
        return self.objects[kind] if namespace == "market" else []


def pod(version: str, *, ready: bool = True, **meta: Any) -> Object:
    conditions = [{"type": "Ready", "status": str(ready)}]
    labels = {"app": "shop", "version": version}
    return {"metadata": {"labels": labels, **meta}, "status": {"conditions": conditions}}


def leading_to(host: str, namespace: str = "market") -> Object:
    entries = [{"destination": {"host": host, "subset": name}} for name in ("v1", "v2")]
    meta = {"name": "shop", "namespace": namespace}
    return {"kind": "VirtualService", "metadata": meta, "spec": {"http": [{"route": entries}]}}


def check(cluster: Cluster, route: Object, arm: str = "v2") -> None:
    check_endpoints(cluster, route, arm)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["shop", "shop.market", "shop.market.svc", "shop.market.svc.cluster.local"])
def test_a_version_with_a_pod_that_is_ready_passes(host: str) -> None:
    cluster = Cluster(pod("v2"))
    check(cluster, leading_to(host))
    assert cluster.asked == ["app=shop,version=v2"]


def test_of_a_route_in_another_namespace_the_subsets_are_those_beside_the_service() -> None:
    cluster = Cluster(pod("v2"))
    check(cluster, leading_to("shop.market", "default"))
    assert cluster.asked == ["app=shop,version=v2"]


@pytest.mark.parametrize(
    "pods", [(), (pod("v1"),), (pod("v2", ready=False),), (pod("v2", deletionTimestamp="now"),)], ids=str
)
def test_a_version_without_one_is_refused_with_its_labels(pods: tuple[Object, ...]) -> None:
    with pytest.raises(NoEndpoints, match="VirtualService market/shop: v2 has no pod that is ready") as raised:
        check(Cluster(*pods), leading_to("shop"))
    assert raised.value.hint == "`kubectl get pods -n market -l app=shop,version=v2` shows them."


def test_a_subset_without_labels_of_its_own_has_all_pods() -> None:
    check(Cluster(pod("v3")), leading_to("shop"), "v1")


def test_a_virtual_machine_is_as_good_as_a_pod() -> None:
    check(Cluster(machines=({"app": "shop", "version": "v2", "zone": "b"},)), leading_to("shop"))
    with pytest.raises(NoEndpoints):
        check(Cluster(machines=({"app": "shop", "version": "v1"},)), leading_to("shop"))


@pytest.mark.parametrize("host", ["shop.market.example.com", "unknown"])
def test_a_host_that_is_no_service_is_left_to_its_answers(host: str) -> None:
    check(Cluster(), leading_to(host))


def test_a_service_without_a_selector_is_left_to_its_answers() -> None:
    cluster = Cluster()
    cluster.services["market", "shop"] = {"spec": {"type": "ExternalName"}}
    check(cluster, leading_to("shop"))

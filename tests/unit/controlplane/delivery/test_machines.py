"""Proxies that are part of no pod: what they may say of themselves, and what their WorkloadEntry says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.config.core.v3.base_pb2 import Node

from mesh_lab.controlplane.delivery.identity import Caller, Unauthenticated
from mesh_lab.controlplane.delivery.machines import Claim, Machine, claim_of, entry_of
from mesh_lab.controlplane.world.kubernetes import Pod
from mesh_lab.controlplane.world.locality import Locality
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.typeurls import CDS, LDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, pod, service
from tests.unit.controlplane.envoy import static, validate

CALLER = Caller("vm", "ratings", "", "")
ADDRESS = "172.31.0.7"
ID = f"sidecar~{ADDRESS}~vm-1.vm~vm.svc.cluster.local"
CLAIM = Claim("vm", "vm-1", ADDRESS, "ratings", {"app": "said"}, "ratings", {"http": 9080})


def node(text: str = ID, **metadata: Any) -> Node:
    made = Node(id=text)
    made.metadata.update(metadata)
    return made


def entry(name: str = "by-hand", **spec: Any) -> dict[str, Any]:
    created = spec.pop("created", "2026-01-01")
    return config("WorkloadEntry", name, {"address": ADDRESS, **spec}, namespace="vm", created=created)


def view(cluster: Cluster, claim: Claim = CLAIM) -> Pod:
    return Machine(claim).view(cluster.snapshot())


def test_a_claim_is_what_istioctl_writes_for_a_virtual_machine() -> None:
    said = node(
        SERVICE_ACCOUNT="ratings",
        WORKLOAD_NAME="ratings-group",
        LABELS={"app": "ratings", "version": "v1"},
        POD_PORTS='[{"name":"http","containerPort":9080}]',
        AUTO_REGISTER_GROUP="ratings-group",
        NETWORK="n1",
    )
    labels = {"app": "ratings", "version": "v1"}
    assert claim_of(CALLER, said) == Claim(
        "vm", "vm-1", ADDRESS, "ratings", labels, "ratings-group", {"http": 9080}, "ratings-group", "", "n1"
    )
    assert claim_of(CALLER, node()) == Claim("vm", "vm-1", ADDRESS, "ratings", workload="vm-1")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (node(f"sidecar~{ADDRESS}~vm-1.other~other.svc.cluster.local"), "namespace other as its service account"),
        (node(SERVICE_ACCOUNT="reviews"), "in namespace vm as reviews, but its token is that of vm/ratings"),
        (node(f"router~{ADDRESS}~vm-1.vm~vm.svc.cluster.local"), "only a sidecar can be part of no pod"),
        (node("sidecar~nowhere~vm-1.vm~x"), "not KIND~ADDRESS~NAME"),
        (node(""), "not KIND~ADDRESS~NAME"),
        (node(POD_PORTS="80"), "POD_PORTS are '80'"),
        (node(POD_PORTS='[{"name":"http","containerPort":1e999}]'), "not a list of name and containerPort"),
        (node(POD_PORTS="[" * 100_000), "not a list of name and containerPort"),
    ],
)
def test_what_a_token_does_not_cover_is_refused(said: Node, words: str) -> None:
    with pytest.raises(Unauthenticated, match=words):
        claim_of(CALLER, said)


def test_the_entry_of_its_address_says_what_a_machine_is() -> None:
    cluster = Cluster().istio(entry(labels={"app": "ratings"}, ports={"http": 8080}, locality="r/z"))
    found = view(cluster)
    assert found.origin.key == ("WorkloadEntry", "vm", "by-hand")
    assert (found.name, found.ip, found.labels["app"], found.ports) == ("vm-1", ADDRESS, "ratings", {"http": 8080})
    assert cluster.snapshot().locality(found) == Locality("r", "z", "")


def test_without_an_entry_the_nodes_own_word_counts() -> None:
    elsewhere = config("WorkloadEntry", "x", {"address": ADDRESS, "labels": {"app": "other"}})
    for cluster in (Cluster(), Cluster().istio(elsewhere), Cluster().istio(entry(address="172.31.0.8"))):
        found = view(cluster)
        assert (found.labels, found.ports) == ({"app": "said"}, {"http": 9080})


def test_of_several_entries_it_is_the_one_that_is_named_else_the_oldest() -> None:
    cluster = Cluster().istio(entry("young", created="2026-02-01"), entry("old"))
    snapshot = cluster.snapshot()
    assert getattr(entry_of(CLAIM, snapshot), "name", "") == "old"
    named = Claim("vm", "vm-1", ADDRESS, "ratings", entry="young")
    assert getattr(entry_of(named, snapshot), "name", "") == "young"
    with pytest.raises(Unauthenticated, match="WorkloadEntry vm/gone, and there is none"):
        entry_of(Claim("vm", "vm-1", ADDRESS, "ratings", entry="gone"), snapshot)


def test_an_entry_of_another_account_is_not_its() -> None:
    with pytest.raises(
        Unauthenticated, match="by-hand is of service account reviews, and the token is that of ratings"
    ):
        view(Cluster().istio(entry(serviceAccount="reviews")))
    assert view(Cluster().istio(entry(serviceAccount="ratings"))).service_account == "ratings"


def test_the_address_of_a_pod_is_the_pods() -> None:
    with pytest.raises(Unauthenticated, match="not that of pod default/web-1"):
        view(Cluster().add("Pod", pod("web-1", ADDRESS)))


def test_a_view_stays_the_same_while_its_entry_does() -> None:
    cluster, machine = Cluster().istio(entry()), Machine(CLAIM)
    first = machine.view(cluster.snapshot())
    assert machine.view(cluster.add("Service", service("web", ("http", 80))).snapshot()) is first
    cluster.world.apply("WorkloadEntry", "MODIFIED", entry(labels={"app": "new"}))
    changed = machine.view(cluster.snapshot())
    assert changed is not first
    assert changed.labels["app"] == "new"


def proxy(cluster: Cluster) -> Proxy:
    found = view(cluster)
    made = Proxy.of(found)
    return Proxy(**{**vars(made), "machine": found})


def test_a_machine_serves_the_services_that_select_it_at_its_own_ports(tmp_path: Path) -> None:
    cluster = bookinfo().istio(
        entry(labels={"app": "ratings"}, ports={"http": 8080}),
        config(
            "ServiceEntry",
            "vm",
            {
                "hosts": ["ratings.vm.example"],
                "ports": [{"number": 90, "name": "tcp", "protocol": "TCP", "targetPort": 9000}],
                "resolution": "STATIC",
                "location": "MESH_INTERNAL",
                "workloadSelector": {"labels": {"app": "ratings"}},
            },
            namespace="vm",
        ),
    )
    cluster.add("Service", service("ratings", ("http", 80), namespace="vm"))
    made = Generator().generate(cluster.snapshot(), proxy(cluster))
    assert {"inbound|8080||", "inbound|9000||"} <= made[CDS].keys()
    assert "inbound|80||" not in made[CDS]
    assert "outbound|9080||reviews.default.svc.cluster.local" in made[CDS]
    assert "virtualInbound" in made[LDS]
    validate(static(made), tmp_path)


def test_a_pod_of_the_same_name_is_another_workload() -> None:
    cluster = Cluster().istio(entry(labels={"app": "ratings"}))
    cluster.add("Pod", pod("vm-1", "10.244.0.9", namespace="vm", app="other"))
    cluster.add("Service", service("ratings", ("http", 80), namespace="vm"))
    cluster.add("Service", service("other", ("http", 81), namespace="vm"))
    made = Generator().generate(cluster.snapshot(), proxy(cluster))
    assert "inbound|80||" in made[CDS]
    assert "inbound|81||" not in made[CDS]

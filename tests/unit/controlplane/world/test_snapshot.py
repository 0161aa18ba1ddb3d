"""The world: what counts as a change, and what keeps its identity."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest
import yaml

from mesh_lab.controlplane.model import DestinationRule, VirtualService
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, endpoints, pod, service


def test_nothing_new_gives_the_same_snapshot() -> None:
    world = bookinfo().world
    assert world.snapshot() is world.snapshot()


def test_an_event_that_says_nothing_new_is_no_change() -> None:
    cluster = bookinfo()
    before = cluster.snapshot()
    again = service("reviews", ("http", 9080))
    again["metadata"]["resourceVersion"] = "999"
    again["status"] = {"loadBalancer": {}}
    assert not cluster.world.apply("Service", "MODIFIED", again)
    assert cluster.snapshot() is before


def test_a_change_leaves_everything_else_as_it_was() -> None:
    cluster = bookinfo()
    before = cluster.snapshot()
    cluster.istio(
        config(
            "VirtualService", "a", {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}
        )
    )
    after = cluster.snapshot()
    assert after.version > before.version
    assert (after.services, after.endpoints, after.pods, after.pods_by_ip) == (
        before.services,
        before.endpoints,
        before.pods,
        before.pods_by_ip,
    )
    assert after.of(DestinationRule) is before.of(DestinationRule)
    assert list(after.of(VirtualService)) == [("default", "a")]


def test_a_new_endpoint_leaves_the_others_as_they_were() -> None:
    cluster = bookinfo()
    before = cluster.snapshot().endpoints
    known = [
        pod(f"reviews-{v}-abc-1", f"10.244.0.{20 + i}", app="reviews", version=v)
        for i, v in enumerate(("v1", "v2", "v3"))
    ]
    fresh = pod("reviews-v1-abc-2", "10.244.0.30", app="reviews", version="v1")
    cluster.add("Pod", fresh).add("EndpointSlice", endpoints("reviews", *known, fresh, ports=(("http", 9080),)))
    after = cluster.snapshot().endpoints
    key = ("default", "reviews")
    assert after[("default", "ratings")] is before[("default", "ratings")]
    assert after[key].endpoints[:3] == before[key].endpoints
    assert after[key].endpoints[3].pod is cluster.snapshot().pods[("default", "reviews-v1-abc-2")]


def test_an_endpoint_waits_for_its_pod_so_that_nobody_speaks_to_it_in_plain_text() -> None:
    cluster = Cluster().add("Service", service("a", ("http", 80)))
    late = pod("a-1", "10.244.0.5", app="a")
    cluster.add("EndpointSlice", endpoints("a", late, ports=(("http", 80),)))
    assert cluster.snapshot().endpoints[("default", "a")].endpoints == ()
    cluster.add("Pod", late)
    (endpoint,) = cluster.snapshot().endpoints[("default", "a")].endpoints
    assert endpoint.pod is not None
    assert endpoint.pod.meshed


def test_an_endpoint_that_is_not_ready_is_left_out_but_its_identity_is_known() -> None:
    waiting = pod("a-1", "10.244.0.5", app="a", account="robot")
    part = endpoints("a", waiting, ports=(("http", 80),))
    part["endpoints"][0]["conditions"] = {"ready": False}
    cluster = Cluster().add("Pod", waiting).add("EndpointSlice", part)
    found = cluster.snapshot().endpoints[("default", "a")]
    assert found.endpoints == ()
    assert found.accounts == ("default/robot",)


def test_the_order_of_events_does_not_matter() -> None:
    def events() -> list[tuple[str, dict[str, object]]]:
        pods = [pod(f"a-{i}", f"10.244.0.{i + 1}", app="a") for i in range(4)]
        parts = endpoints("a", *pods, ports=(("http", 80),))
        return [("Service", service("a", ("http", 80))), ("EndpointSlice", parts), *(("Pod", each) for each in pods)]

    def summary(order: list[tuple[str, dict[str, object]]]) -> list[tuple[str, str]]:
        cluster = Cluster()
        for kind, obj in order:
            cluster.add(kind, obj)
            cluster.snapshot()
        return [
            (e.address, e.pod.name if e.pod else "") for e in cluster.snapshot().endpoints[("default", "a")].endpoints
        ]

    expected = summary(events())
    assert len(expected) == 4
    for seed in range(8):
        shuffled = events()
        random.Random(seed).shuffle(shuffled)
        assert summary(shuffled) == expected


def test_a_deleted_pod_takes_its_endpoint_along() -> None:
    cluster = bookinfo()
    cluster.world.apply("Pod", "DELETED", pod("reviews-v2-abc-1", "10.244.0.21", app="reviews", version="v2"))
    found = cluster.snapshot().endpoints[("default", "reviews")]
    assert [e.address for e in found.endpoints] == ["10.244.0.20", "10.244.0.22"]


def test_a_pod_that_has_ended_is_gone() -> None:
    cluster = bookinfo()
    ended = pod("details-v1-abc-1", "10.244.0.11", app="details", version="v1")
    ended["status"]["phase"] = "Succeeded"
    cluster.world.apply("Pod", "MODIFIED", ended)
    assert ("default", "details-v1-abc-1") not in cluster.snapshot().pods


def test_a_workload_is_named_after_its_deployment() -> None:
    found = bookinfo().snapshot().pods[("default", "reviews-v1-abc-1")]
    assert found.workload == "reviews"


def test_what_cannot_be_read_is_reported_and_the_last_good_version_stays() -> None:
    cluster = bookinfo()
    good = {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}
    cluster.istio(config("VirtualService", "a", good))
    before = cluster.snapshot().of(VirtualService)
    bad = config("VirtualService", "a", {"hosts": ["reviews"], "http": [{"timeot": "1s"}]})
    bad["metadata"]["generation"] = 2
    assert cluster.world.apply("VirtualService", "MODIFIED", bad)
    after = cluster.snapshot()
    assert after.of(VirtualService)[("default", "a")] is before[("default", "a")]
    finding, remark = after.invalid[("VirtualService", "default", "a")]
    assert "the version before it holds" in remark.message
    assert (finding.severity, finding.path, finding.origin.generation) == ("error", "spec.http[0]", 2)
    cluster.istio(config("VirtualService", "a", good))
    assert not cluster.snapshot().invalid


def test_a_resource_that_was_never_good_is_not_there() -> None:
    cluster = bookinfo().istio(
        config("DestinationRule", "a", {"host": "reviews", "subsets": [{"name": "v1"}, {"name": "v1"}]})
    )
    snapshot = cluster.snapshot()
    assert not snapshot.of(DestinationRule)
    assert "duplicate subset names: v1" in snapshot.invalid[("DestinationRule", "default", "a")][0].message
    cluster.world.apply("DestinationRule", "DELETED", config("DestinationRule", "a", {}))
    assert not cluster.snapshot().invalid


def test_a_status_write_is_no_change() -> None:
    cluster = bookinfo()
    spec = {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}
    cluster.istio(config("VirtualService", "a", spec))
    before = cluster.snapshot()
    touched = config("VirtualService", "a", spec) | {"status": {"conditions": []}}
    touched["metadata"]["resourceVersion"] = "77"
    assert not cluster.world.apply("VirtualService", "MODIFIED", touched)
    assert cluster.snapshot() is before


def test_the_meshs_settings_come_from_their_config_map() -> None:
    cluster = Cluster()
    assert cluster.snapshot().mesh.outbound_traffic_policy.mode == "ALLOW_ANY"
    settings = {
        "metadata": {"namespace": "istio-system", "name": "istio"},
        "data": {"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nunknown: 1\n"},
    }
    cluster.add("ConfigMap", settings)
    assert cluster.snapshot().mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    wrong = {**settings, "data": {"mesh": "outboundTrafficPolicy: {mode: MAYBE}"}}
    cluster.add("ConfigMap", wrong)
    snapshot = cluster.snapshot()
    assert snapshot.mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert "MAYBE" in snapshot.invalid[("ConfigMap", "istio-system", "istio")][0].message


def reported(cluster: Cluster, name: str) -> list[tuple[str, str, str]]:
    findings = cluster.snapshot().invalid.get(("ConfigMap", "istio-system", name), ())
    return [(finding.severity, finding.code, finding.path) for finding in findings]


@pytest.mark.parametrize(("name", "read"), [("istio", "mesh"), ("istio-sidecar-injector", "values")])
def test_a_key_that_comes_beside_the_one_that_is_read_is_reported(name: str, read: str) -> None:
    meta = {"namespace": "istio-system", "name": name}
    cluster = Cluster().add("ConfigMap", {"metadata": meta, "data": {read: ""}})
    assert reported(cluster, name) == []
    cluster.add("ConfigMap", {"metadata": meta, "data": {read: "", f"{read}.yaml": ""}})
    assert reported(cluster, name) == [("error", "IST0106", f"data.{read}.yaml")]
    cluster.add("ConfigMap", {"metadata": meta, "data": {read: ""}, "binaryData": {"more": ""}})
    assert reported(cluster, name) == [("error", "IST0106", "binaryData.more")]
    cluster.add("ConfigMap", {"metadata": meta, "data": {read: ""}})
    assert reported(cluster, name) == []


def test_values_without_effect_are_reported_and_concern_no_proxy() -> None:
    name = "istio-sidecar-injector"
    values = {"metadata": {"namespace": "istio-system", "name": name}, "data": {"values": "logLevell: debug"}}
    cluster = Cluster()
    mesh = cluster.snapshot().mesh
    cluster.add("ConfigMap", values)
    assert reported(cluster, name) == [("error", "IST0106", "data.values.logLevell")]
    assert cluster.snapshot().mesh is mesh
    assert not cluster.world.apply("ConfigMap", "MODIFIED", values)
    assert cluster.world.apply("ConfigMap", "DELETED", values)
    assert reported(cluster, name) == []


def test_of_the_config_maps_that_the_lab_installs_nothing_is_reported() -> None:
    shipped = Path(__file__).parents[4] / "manifests/mesh/base.yaml"
    config_maps = [each for each in yaml.safe_load_all(shipped.read_text()) if each["kind"] == "ConfigMap"]
    cluster = Cluster()
    for each in config_maps:
        cluster.add("ConfigMap", each)
    assert {each["metadata"]["name"] for each in config_maps} == {"istio", "istio-sidecar-injector"}
    assert dict(cluster.snapshot().invalid) == {}


@pytest.mark.parametrize(
    ("data", "known"),
    [
        ({"tls.crt": "A", "tls.key": "B"}, True),
        ({"cert": "A", "key": "B", "cacert": "C"}, True),
        ({"ca.crt": "C"}, True),
        ({"tls.crt": "A"}, False),
        ({"password": "x"}, False),
    ],
)
def test_only_secrets_for_tls_are_kept(data: dict[str, str], known: bool) -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    cluster = Cluster().add("Secret", {"metadata": {"namespace": "a", "name": "s"}, "data": encoded})
    assert (("a", "s") in cluster.snapshot().secrets) == known

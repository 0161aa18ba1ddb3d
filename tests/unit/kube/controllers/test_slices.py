"""Endpoint slices converge on the wanted endpoints, and are not written when they hold them."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.kube.controllers.slices import (
    HEADLESS_LABEL,
    MANAGED_BY_LABEL,
    MANAGER,
    MAX_ENDPOINTS,
    Plan,
    endpoint,
    endpoints_by_ports,
    plan,
)
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.services import SERVICE_NAME_LABEL, Service

Object = dict[str, Any]


def stored_service(**spec: Any) -> Object:
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}]
    metadata = {"name": "web", "namespace": "default", "uid": "svc", "labels": {"team": "a"}}
    wanted = {"clusterIP": "10.96.0.9", "selector": {"app": "web"}, "ports": ports} | spec
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": wanted}


def make_pod(number: int, *, ready: bool = True, port: int = 8080, **changes: Any) -> Pod:
    metadata = {"name": f"p{number:03}", "namespace": "default", "uid": f"u{number}"} | changes.pop("metadata", {})
    ports = [{"name": "web", "containerPort": port}]
    spec = {"nodeName": "lab", "containers": [{"name": "c", "ports": ports}]} | changes.pop("spec", {})
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": "Running", "podIP": f"10.244.{number // 250}.{number % 250 + 1}", "conditions": conditions}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status | changes}, Pod)


class Slices:
    """The stored slices of one Service."""

    def __init__(self, stored: Object) -> None:
        self.stored = stored
        self.service = msgspec.convert(stored, Service)
        self.slices: dict[str, Object] = {}
        self.made = 0

    def step(self, pods: list[Pod]) -> Plan:
        stored = list(self.slices.values())
        planned = [
            plan(self.stored, self.service, endpoints_by_ports(self.service, pods, family), stored, family)
            for family in ("IPv4", "IPv6")
        ]
        wanted = Plan(
            [made for each in planned for made in each.create],
            [changed for each in planned for changed in each.update],
            [gone for each in planned for gone in each.delete],
        )
        for each in wanted.create:
            self.made += 1
            name = f"web-{self.made}"
            self.slices[name] = {**each, "metadata": {**each["metadata"], "name": name}}
        for each in wanted.update:
            self.slices[each["metadata"]["name"]] = each
        for each in wanted.delete:
            del self.slices[each["metadata"]["name"]]
        return wanted

    def addresses(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for each in self.slices.values():
            for port in each["ports"]:
                found.setdefault(port["port"], []).extend(e["addresses"][0] for e in each["endpoints"])
        return {port: sorted(addresses) for port, addresses in found.items() if addresses}


def test_a_slice_has_its_service_ports_and_endpoints() -> None:
    slices = Slices(stored_service())
    slices.step([make_pod(0)])
    (found,) = slices.slices.values()
    assert found["metadata"]["labels"] == {"team": "a", SERVICE_NAME_LABEL: "web", MANAGED_BY_LABEL: MANAGER}
    assert found["metadata"]["ownerReferences"][0]["uid"] == "svc"
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert found["endpoints"] == [
        {
            "addresses": ["10.244.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": "lab",
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "p000", "uid": "u0"},
        }
    ]


def test_a_service_has_slices_of_each_of_its_families_and_of_no_other() -> None:
    addresses = {"podIPs": [{"ip": "10.244.0.1"}, {"ip": "fd00:10:244::1"}]}
    both, one = (Slices(stored_service(ipFamilies=some)) for some in (["IPv6", "IPv4"], ["IPv6"]))
    pods = [make_pod(0, **addresses), make_pod(1)]
    both.step(pods)
    assert {each["addressType"]: [e["addresses"] for e in each["endpoints"]] for each in both.slices.values()} == {
        "IPv4": [["10.244.0.1"], ["10.244.0.2"]],
        "IPv6": [["fd00:10:244::1"]],
    }
    both.step([])
    assert sorted(each["addressType"] for each in both.slices.values()) == ["IPv4", "IPv6"], "an empty one of each"
    one.slices = both.slices
    one.step(pods)
    assert [each["addressType"] for each in one.slices.values()] == ["IPv6"]


def at(service: Service, pod: Pod) -> Object:
    return endpoint(service, pod, pod.status.pod_ip)


def test_conditions_follow_the_pod() -> None:
    service = msgspec.convert(stored_service(), Service)
    leaving = {"deletionTimestamp": "2024-01-01T00:00:00Z"}
    assert at(service, make_pod(0, ready=False))["conditions"] == {
        "ready": False,
        "serving": False,
        "terminating": False,
    }
    assert at(service, make_pod(0, metadata=leaving))["conditions"] == {
        "ready": False,
        "serving": True,
        "terminating": True,
    }
    eager = msgspec.convert(stored_service(publishNotReadyAddresses=True), Service)
    assert at(eager, make_pod(0, ready=False))["conditions"]["ready"] is True


def test_pods_without_an_address_and_pods_that_ended_are_no_endpoints() -> None:
    service = msgspec.convert(stored_service(), Service)
    pods = [make_pod(0, podIP=""), make_pod(1, phase="Failed"), make_pod(2, phase="Succeeded")]
    assert endpoints_by_ports(service, pods) == {}


def test_a_host_name_counts_only_in_the_service_named_as_the_subdomain() -> None:
    service = msgspec.convert(stored_service(clusterIP="None"), Service)
    assert at(service, make_pod(0, spec={"hostname": "db-0", "subdomain": "web"}))["hostname"] == "db-0"
    assert "hostname" not in at(service, make_pod(0, spec={"hostname": "db-0", "subdomain": "other"}))


def test_pods_whose_named_port_differs_are_in_different_slices() -> None:
    slices = Slices(stored_service())
    slices.step([make_pod(0, port=8080), make_pod(1, port=9090)])
    assert slices.addresses() == {8080: ["10.244.0.1"], 9090: ["10.244.0.2"]}


def test_a_headless_service_is_labelled() -> None:
    slices = Slices(stored_service(clusterIP="None"))
    slices.step([make_pod(0)])
    (found,) = slices.slices.values()
    assert found["metadata"]["labels"][HEADLESS_LABEL] == ""


def test_a_service_without_endpoints_has_one_empty_slice() -> None:
    slices = Slices(stored_service())
    slices.step([])
    assert [each["endpoints"] for each in slices.slices.values()] == [[]]
    assert slices.step([]) == Plan()
    slices.step([make_pod(0)])
    assert slices.addresses() == {8080: ["10.244.0.1"]}
    slices.step([])
    assert [each["endpoints"] for each in slices.slices.values()] == [[]]


def test_one_changed_pod_costs_one_write() -> None:
    slices = Slices(stored_service())
    pods = [make_pod(n) for n in range(250)]
    slices.step(pods)
    assert sorted(len(each["endpoints"]) for each in slices.slices.values()) == [50, 100, 100]
    pods[120] = make_pod(120, ready=False)
    wanted = slices.step(pods)
    assert (len(wanted.create), len(wanted.update), len(wanted.delete)) == (0, 1, 0)


def test_changed_labels_of_the_service_are_taken_over() -> None:
    slices = Slices(stored_service())
    slices.step([make_pod(0)])
    slices.stored["metadata"]["labels"] = {"team": "b"}
    slices.service = msgspec.convert(slices.stored, Service)
    slices.step([make_pod(0)])
    (found,) = slices.slices.values()
    assert found["metadata"]["labels"]["team"] == "b"


populations = st.lists(
    st.dictionaries(st.integers(0, 240), st.tuples(st.booleans(), st.sampled_from([8080, 9090])), max_size=240),
    min_size=1,
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(populations=populations)
def test_slices_converge_in_one_step_and_stay(populations: list[dict[int, tuple[bool, int]]]) -> None:
    slices = Slices(stored_service())
    for population in populations:
        pods = [make_pod(n, ready=ready, port=port) for n, (ready, port) in population.items()]
        slices.step(pods)
        expected: dict[int, list[str]] = {}
        for pod in pods:
            expected.setdefault(pod.spec.containers[0].ports[0].container_port, []).append(pod.status.pod_ip)
        assert slices.addresses() == {port: sorted(addresses) for port, addresses in expected.items()}
        ready = {
            e["targetRef"]["uid"]: e["conditions"]["ready"] for s in slices.slices.values() for e in s["endpoints"]
        }
        assert ready == {f"u{n}": state for n, (state, _) in population.items()}
        assert all(len(each["endpoints"]) <= MAX_ENDPOINTS for each in slices.slices.values())
        assert slices.slices
        assert slices.step(pods) == Plan()

"""ServiceEntries in the analysis."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.report.analysis import analyse
from tests.unit.controlplane.cluster import Cluster, bookinfo, config

PORT = {"number": 443, "name": "https", "protocol": "HTTPS"}


def entry(name: str, *hosts: str, port: dict[str, Any] = PORT, **spec: Any) -> dict[str, Any]:
    return config("ServiceEntry", name, {"hosts": list(hosts), "ports": [port], **spec})


def found(cluster: Cluster, *configs: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(f.code, f.origin.name, f.path) for f in analyse(cluster.istio(*configs).snapshot())]


def route(host: str, **more: Any) -> dict[str, Any]:
    spec = {"hosts": [host], "http": [{"route": [{"destination": {"host": host, **more}}]}]}
    return config("VirtualService", "v", spec)


def rule(host: str, **spec: Any) -> dict[str, Any]:
    return config("DestinationRule", "r", {"host": host, **spec})


def test_its_hosts_are_hosts_that_may_be_referred_to() -> None:
    assert found(bookinfo(), entry("cnn", "edition.cnn.com"), route("edition.cnn.com"), rule("edition.cnn.com")) == []


def test_names_under_its_wildcard_are_there() -> None:
    wild = entry("wikipedia", "*.wikipedia.org")
    assert found(bookinfo(), wild, route("en.wikipedia.org"), rule("*.wikipedia.org")) == []


def test_other_names_and_ports_are_not() -> None:
    cluster = bookinfo().istio(entry("cnn", "edition.cnn.com"))
    assert [code for code, *_ in found(cluster, route("www.cnn.com"))] == ["IST0101"]
    assert found(cluster, route("edition.cnn.com", port={"number": 80})) == [
        ("IST0101", "v", "spec.http[0].route[0].destination.port.number")
    ]


def test_subsets_select_the_workloads_behind_it() -> None:
    vm = config("WorkloadEntry", "vm", {"address": "198.18.0.9", "labels": {"app": "vm", "version": "v1"}})
    selecting = entry("vm", "vm.example.com", resolution="STATIC", workloadSelector={"labels": {"app": "vm"}})
    subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    findings = found(bookinfo(), vm, selecting, rule("vm.example.com", subsets=subsets))
    assert findings == [("IST0173", "r", "spec.subsets[1].labels")]


def test_a_service_may_have_workload_entries_for_a_subset() -> None:
    vm = config("WorkloadEntry", "vm", {"address": "198.18.0.9", "labels": {"app": "ratings", "version": "vm"}})
    assert found(bookinfo(), vm, rule("ratings", subsets=[{"name": "vm", "labels": {"version": "vm"}}])) == []


def test_a_host_that_another_has_is_reported_to_the_later_one() -> None:
    cluster = bookinfo().istio(entry("a", "edition.cnn.com", resolution="DNS"))
    other = {**PORT, "number": 8443}
    assert found(cluster, entry("b", "edition.cnn.com", port=other, resolution="DNS")) == []
    assert found(cluster, entry("c", "edition.cnn.com", port={**other, "number": 9443})) == [
        ("IST0133", "c", "spec.hosts[0]")
    ]


def test_a_service_of_the_cluster_has_its_name() -> None:
    assert found(bookinfo(), entry("a", "reviews.default.svc.cluster.local")) == [("IST0133", "a", "spec.hosts[0]")]

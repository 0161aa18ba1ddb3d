"""Hosts of ServiceEntries in cluster DNS."""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode

from mesh_lab.kube.config import Site
from mesh_lab.kube.network.dns import ClusterDns
from tests.unit.kube.network.catalogues import catalogue


def entry(name: str, *hosts: str, addresses: Any = (), created: str = "2026-01-01") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "creationTimestamp": created},
        "spec": {"hosts": list(hosts), "addresses": addresses},
    }


def server() -> ClusterDns:
    return ClusterDns(catalogue(), "cluster.local", (Site(name="httpbin.org", addresses=("198.18.1.1",)),))


def ask(dns_: ClusterDns, name: str, kind: str = "A") -> list[str] | str:
    response = dns_.answer(dns.message.make_query(name, kind).to_wire(), 0)
    assert response is not None
    message = dns.message.from_wire(response)
    found = [record.to_text() for rrset in message.answer for record in rrset]
    return found or dns.rcode.to_text(message.rcode())


def test_a_host_has_the_first_address_that_is_no_range() -> None:
    names = server()
    names.entries.put(entry("a", "address.internal", "*.wild.internal", addresses=["10.0.0.0/8", "198.51.100.1/32"]))
    assert ask(names, "address.internal.") == ["198.51.100.1"]
    assert ask(names, "a.b.wild.internal.") == ["198.51.100.1"]
    assert ask(names, "internal.") == "NXDOMAIN"


def test_one_that_changes_is_answered_anew() -> None:
    names = server()
    assert ask(names, "address.internal.") == "NXDOMAIN"
    names.entries.put(entry("a", "address.internal", addresses=["198.51.100.1"]))
    names.entries.put(entry("b", "address.internal", addresses=["198.51.100.2"], created="2026-02-02"))
    assert ask(names, "address.internal.") == ["198.51.100.1"]
    names.entries.drop(entry("a"))
    assert ask(names, "address.internal.") == ["198.51.100.2"]


def test_names_that_exist_keep_their_addresses() -> None:
    names = server()
    names.entries.put(entry("a", "httpbin.org", "kubernetes.default.svc.cluster.local", addresses=["198.51.100.1"]))
    assert ask(names, "httpbin.org.") == ["198.18.1.1"]
    assert ask(names, "kubernetes.default.svc.cluster.local.") == "NXDOMAIN"


def test_where_there_are_two_families_a_host_has_an_address_of_each() -> None:
    stated = entry("a", "address.internal", addresses=["2001:db8::/32", "2001:db8::1/128", "198.51.100.1"])
    for dual, found in ((True, ["2001:db8::1"]), (False, "NOERROR")):
        names = ClusterDns(catalogue(), "cluster.local", dual=dual)
        names.entries.put(stated)
        assert ask(names, "address.internal.") == ["198.51.100.1"]
        assert ask(names, "address.internal.", "AAAA") == found


def test_one_of_another_form_gives_nothing() -> None:
    names = server()
    for spec in (None, {"hosts": [3], "addresses": ["198.51.100.1"]}, {"hosts": ["a.internal"], "addresses": ["x", 3]}):
        names.entries.put({"metadata": {"uid": str(spec)}, "spec": spec})
    assert ask(names, "a.internal.") == "NXDOMAIN"

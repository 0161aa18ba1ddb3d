"""Names outside of the cluster resolve, exact ones before wildcards, and nothing else does."""

from __future__ import annotations

import dns.message
import dns.rcode
import pytest

from mesh_lab.kube.config import Site
from mesh_lab.kube.network.dns import ClusterDns
from mesh_lab.kube.network.outsidenames import NOTHING_OUTSIDE, OutsideNames
from tests.unit.kube.network.catalogues import catalogue, service

SITES = (
    Site(name="httpbin.org", addresses=("198.18.1.1",)),
    Site(name="*.wikipedia.org", addresses=("198.18.1.2", "208.80.153.224")),
    Site(name="en.wikipedia.org", addresses=("198.18.1.3",)),
    Site(name="*.m.wikipedia.org", addresses=("198.18.1.4",)),
)


def address(name: str) -> str | None:
    return OutsideNames(SITES).address(tuple(reversed(name.split("."))))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("httpbin.org", "198.18.1.1"),
        ("en.wikipedia.org", "198.18.1.3"),
        ("fr.wikipedia.org", "198.18.1.2"),
        ("a.b.wikipedia.org", "198.18.1.2"),
        ("en.m.wikipedia.org", "198.18.1.4"),
        ("wikipedia.org", ""),
        ("org", ""),
        ("eu.httpbin.org", None),
        ("example.com", None),
        ("httpbin.org.default", None),
    ],
)
def test_a_name_has_the_address_of_its_own_site_or_of_the_longest_wildcard(name: str, expected: str | None) -> None:
    assert address(name) == expected


def test_without_an_internet_there_is_no_name() -> None:
    assert NOTHING_OUTSIDE.address(("org", "httpbin")) is None


def ask(name: str, kind: str = "A") -> tuple[str, list[str]]:
    alias = service("alias", "", type="ExternalName", externalName="httpbin.org", ports=[])
    server = ClusterDns(catalogue(alias), "cluster.local", SITES)
    response = server.answer(dns.message.make_query(name, kind).to_wire(), 0)
    assert response is not None
    message = dns.message.from_wire(response)
    return dns.rcode.to_text(message.rcode()), [record.to_text() for rrset in message.answer for record in rrset]


@pytest.mark.parametrize(
    ("name", "kind", "code", "records"),
    [
        ("httpbin.org.", "A", "NOERROR", ["198.18.1.1"]),
        ("HTTPBIN.org.", "A", "NOERROR", ["198.18.1.1"]),
        ("httpbin.org.", "AAAA", "NOERROR", []),
        ("wikipedia.org.", "A", "NOERROR", []),
        ("httpbin.org.default.svc.cluster.local.", "A", "NXDOMAIN", []),
        ("example.com.", "A", "NXDOMAIN", []),
        ("alias.default.svc.cluster.local.", "A", "NOERROR", ["httpbin.org.", "198.18.1.1"]),
    ],
)
def test_cluster_dns_answers_for_names_outside(name: str, kind: str, code: str, records: list[str]) -> None:
    assert ask(name, kind) == (code, records)

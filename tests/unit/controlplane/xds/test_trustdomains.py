"""An identity in an alias of the trust domain is the same workload's: to clients, to servers, and to policies."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext, UpstreamTlsContext

from mesh_lab.controlplane.xds.trustdomains import of_domain, of_principal
from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.xds.judging import SERVER, allowed, tcp_allowed
from tests.unit.controlplane.xds.translated import REVIEWS, cluster_of, listener_of

MINE = "ns/default/sa/productpage"


def aliased(domain: str = "new", *aliases: str) -> Cluster:
    mesh = f"trustDomain: {domain}\ntrustDomainAliases: [{', '.join(aliases)}]\n"
    settings = {"metadata": {"namespace": "istio-system", "name": "istio"}, "data": {"mesh": mesh}}
    return bookinfo().add("ConfigMap", settings)


# pilot/pkg/security/trustdomain/bundle_test.go has the same rules.
@pytest.mark.parametrize(
    ("principal", "domains", "expected"),
    [
        ("new/ns/a/sa/b", ("new",), ("new/ns/a/sa/b",)),
        ("new/ns/a/sa/b", ("new", "old"), ("new/ns/a/sa/b", "old/ns/a/sa/b")),
        ("old/ns/a/sa/b", ("new", "old"), ("new/ns/a/sa/b", "old/ns/a/sa/b")),
        ("cluster.local/ns/a/sa/b", ("new", "old"), ("new/ns/a/sa/b", "old/ns/a/sa/b")),
        ("other/ns/a/sa/b", ("new", "old"), ("other/ns/a/sa/b",)),
        ("*/ns/a/sa/b", ("new", "old"), ("*/ns/a/sa/b",)),
        ("*", ("new", "old"), ("*",)),
        ("*-td/ns/a/sa/b", ("new-td", "old-td", "x"), ("*-td/ns/a/sa/b", "x/ns/a/sa/b")),
        ("new*/ns/a/sa/b", ("new-td", "old"), ("new-td/ns/a/sa/b", "old/ns/a/sa/b")),
        ("new/ns/a/*", ("new", "old"), ("new/ns/a/*",)),
    ],
)
def test_a_principal_is_meant_in_all_domains_of_the_mesh(
    principal: str, domains: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert of_principal(principal, domains) == expected


def test_a_trust_domain_stands_for_its_aliases() -> None:
    assert of_domain("old", ("new", "old")) == ("new", "old")
    assert of_domain("other", ("new", "old")) == ("other",)


RULES: list[dict[str, Any]] = [
    {"from": [{"source": {"principals": [f"old/{MINE}"]}}]},
    {"from": [{"source": {"principals": [f"cluster.local/{MINE}"]}}]},
    {"from": [{"source": {"trustDomains": ["new"]}}]},
    {"when": [{"key": "source.principal", "values": [f"new/{MINE}"]}]},
    {"when": [{"key": "source.trustDomain", "values": ["old"]}]},
]


@pytest.mark.parametrize("rule", RULES)
def test_policies_take_an_alias_for_the_trust_domain(rule: dict[str, Any]) -> None:
    for action, may in (("ALLOW", True), ("DENY", False)):
        cluster = aliased("new", "old").istio(config("AuthorizationPolicy", "p", {"action": action, "rules": [rule]}))
        for domain in ("new", "old"):
            assert allowed(cluster, principal=f"spiffe://{domain}/{MINE}") is may
            assert tcp_allowed(cluster, principal=f"spiffe://{domain}/{MINE}") is may
        assert allowed(cluster, principal=f"spiffe://other/{MINE}") is not may


def test_a_server_takes_clients_of_the_meshs_trust_domains_only() -> None:
    taken = set()
    for chain in listener_of(aliased("new", "old"), "virtualInbound", SERVER).filter_chains:
        context = DownstreamTlsContext()
        if chain.transport_socket.typed_config.Unpack(context):
            names = context.common_tls_context.combined_validation_context.default_validation_context
            taken.add(tuple(each.matcher.prefix for each in names.match_typed_subject_alt_names))
    assert taken == {("spiffe://new/", "spiffe://old/")}


def test_a_client_takes_a_server_by_each_of_its_names() -> None:
    found = cluster_of(aliased("new", "old"), f"outbound|9080||{REVIEWS}")
    context = UpstreamTlsContext()
    assert found.transport_socket.typed_config.Unpack(context)
    names = context.common_tls_context.combined_validation_context.default_validation_context
    assert [each.matcher.exact for each in names.match_typed_subject_alt_names] == [
        "spiffe://new/ns/default/sa/reviews",
        "spiffe://old/ns/default/sa/reviews",
    ]

"""Each subject and each operation of EnvoyFilter's patches, and what their matches are for."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.http.router.v3.router_pb2 import Router

from mesh_lab.controlplane.xds.typeurls import CDS, ECDS, EDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.patches.patched import (
    ROUTER,
    TYPE,
    envoy_filter,
    http,
    http_filters,
    lua,
    managers,
    patch,
    patched,
    resources,
)

IN, OUT = "SIDECAR_INBOUND", "SIDECAR_OUTBOUND"
CALLED = "outbound|9080||ratings.default.svc.cluster.local"
TCP = {
    "name": "envoy.filters.network.echo",
    "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.network.echo.v3.Echo"},
}
ROUTE = {"name": "new", "match": {"prefix": "/new"}, "direct_response": {"status": 418}}
VHOST = {"name": "ratings.default.svc.cluster.local:9080"}


def given(*patches: dict[str, Any], **spec: Any) -> Cluster:
    return bookinfo().istio(envoy_filter(*patches, **spec))


def inbound(cluster: Cluster) -> Any:
    return message(resources(cluster)[LDS]["virtualInbound"])


def outbound(cluster: Cluster) -> Any:
    return message(resources(cluster)[LDS]["0.0.0.0_9080"])


def order(cluster: Cluster) -> list[str]:
    """The HTTP filters of what the pod sends."""
    return http_filters(outbound(cluster))[0]


BEFORE = order(bookinfo())


@pytest.mark.parametrize(
    ("operation", "at", "expected"),
    [
        ("ADD", "", [*BEFORE, "lua"]),
        ("INSERT_FIRST", ROUTER, ["lua", *BEFORE]),
        ("INSERT_BEFORE", ROUTER, [*BEFORE[:-1], "lua", ROUTER]),
        ("INSERT_AFTER", "envoy.filters.http.cors", [BEFORE[0], "lua", *BEFORE[1:]]),
        ("INSERT_BEFORE", "", ["lua", *BEFORE]),
        ("INSERT_AFTER", "", [*BEFORE, "lua"]),
        ("INSERT_BEFORE", "nobody", BEFORE),
        ("REPLACE", "envoy.filters.http.cors", ["lua", *BEFORE[1:]]),
        ("REPLACE", "", BEFORE),
        ("REMOVE", "envoy.filters.http.fault", [name for name in BEFORE if name != "envoy.filters.http.fault"]),
        ("REMOVE", "", BEFORE),
    ],
)
def test_http_filters_are_put_where_the_operation_says(operation: str, at: str, expected: list[str]) -> None:
    assert BEFORE[0] == "envoy.filters.http.cors"
    value = None if operation == "REMOVE" else lua()
    assert order(given(patch("HTTP_FILTER", operation, value, OUT, **http(at)))) == expected


def test_merging_an_http_filter_changes_its_configuration_and_its_name() -> None:
    typed = {"@type": f"{TYPE}envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    change = patch("HTTP_FILTER", "MERGE", {"name": "r", "typed_config": typed}, OUT, **http(ROUTER))
    cluster = given(change)
    assert order(cluster)[-1] == "r"
    manager = managers(outbound(cluster))[0]
    router = Router()
    assert manager.http_filters[-1].typed_config.Unpack(router)
    assert router.suppress_envoy_headers
    assert router.HasField("dynamic_stats")


def test_a_filter_may_be_for_one_port_of_the_virtual_listener() -> None:
    def chains(port: int) -> list[str]:
        listener = inbound(given(patch("NETWORK_FILTER", "INSERT_FIRST", TCP, IN, listener={"portNumber": port})))
        return [chain.name for chain in listener.filter_chains if chain.filters[0].name == TCP["name"]]

    assert chains(9080)
    assert all(name.startswith("9080") for name in chains(9080))
    assert chains(9999) == []


@pytest.mark.parametrize(
    ("match", "some"),
    [
        ({"transportProtocol": "tls"}, True),
        ({"transportProtocol": "quic"}, False),
        ({"applicationProtocols": "istio-h2,istio"}, True),
        ({"applicationProtocols": "istio-h2,nothing"}, False),
        ({"destinationPort": 9080}, True),
        ({"sni": "a.example"}, False),
        ({"name": "nobody"}, False),
    ],
)
def test_a_chain_is_matched_by_what_it_matches(match: dict[str, Any], *, some: bool) -> None:
    change = patch("FILTER_CHAIN", "MERGE", {"name": "changed"}, IN, listener={"filterChain": match})
    assert any(chain.name == "changed" for chain in inbound(given(change)).filter_chains) is some


def test_chains_and_listener_filters_come_and_go() -> None:
    only = {"filterChain": {"name": "virtualInbound-blackhole"}}
    names = [
        chain.name for chain in inbound(given(patch("FILTER_CHAIN", "REMOVE", None, IN, listener=only))).filter_chains
    ]
    assert names
    assert "virtualInbound-blackhole" not in names
    added = inbound(given(patch("FILTER_CHAIN", "ADD", {"name": "mine", "filters": [TCP]}, IN)))
    assert added.filter_chains[-1].name == "mine"
    gone = patch(
        "LISTENER_FILTER", "REMOVE", None, IN, listener={"listenerFilter": "envoy.filters.listener.tls_inspector"}
    )
    assert [each.name for each in inbound(given(gone)).listener_filters] == [
        "envoy.filters.listener.original_dst",
        "envoy.filters.listener.http_inspector",
    ]


def test_listeners_are_merged_removed_and_added() -> None:
    merged = patch("LISTENER", "MERGE", {"per_connection_buffer_limit_bytes": 5}, listener={"portNumber": 9080})
    assert outbound(given(merged)).per_connection_buffer_limit_bytes.value == 5
    assert not inbound(given(merged)).HasField("per_connection_buffer_limit_bytes")
    assert (
        "0.0.0.0_9080"
        not in resources(given(patch("LISTENER", "REMOVE", None, OUT, listener={"name": "0.0.0.0_9080"})))[LDS]
    )
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 7777}}
    added = patch("LISTENER", "ADD", {"name": "mine", "address": address, "filter_chains": [{"filters": [TCP]}]})
    assert message(resources(given(added))[LDS]["mine"]).address.socket_address.port_value == 7777
    assert [each.kind for each in resources(given(added))[LDS]["mine"].origins] == ["EnvoyFilter"]


def test_clusters_are_merged_by_what_their_name_says() -> None:
    slow = {"connect_timeout": "7s"}
    for match, hit in (
        ({"service": "ratings.default.svc.cluster.local"}, True),
        ({"name": CALLED}, True),
        ({"portNumber": 9080}, True),
        ({"portNumber": 1}, False),
        ({"subset": "v1"}, False),
        ({"service": "details.default.svc.cluster.local"}, False),
    ):
        found = resources(given(patch("CLUSTER", "MERGE", slow, OUT, cluster=match)))[CDS]
        assert (message(found[CALLED]).connect_timeout.seconds == 7) is hit
    own = patch("CLUSTER", "MERGE", slow, IN, cluster={"service": "reviews.default.svc.cluster.local"})
    assert message(resources(given(own))[CDS]["inbound|9080||"]).connect_timeout.seconds == 7


def test_a_removed_cluster_takes_its_endpoints_along() -> None:
    found = resources(given(patch("CLUSTER", "REMOVE", None, OUT, cluster={"name": CALLED})))
    assert CALLED not in found[CDS]
    assert CALLED not in found[EDS]
    assert CALLED in resources(bookinfo())[EDS]


def test_durations_are_replaced_and_lists_appended_or_replaced() -> None:
    first = patch(
        "CLUSTER",
        "MERGE",
        {"connect_timeout": "1.5s", "upstream_bind_config": {"socket_options": [{"name": 1}]}},
        OUT,
        cluster={"name": CALLED},
    )
    second = patch(
        "CLUSTER",
        "MERGE",
        {"connect_timeout": "7s", "upstream_bind_config": {"socket_options": [{"name": 2}]}},
        OUT,
        cluster={"name": CALLED},
    )
    third = {**second, "patch": {**second["patch"], "operation": "MERGE_AND_REPLACE_LIST"}}
    appended, replaced = (message(resources(given(first, last))[CDS][CALLED]) for last in (second, third))
    assert (appended.connect_timeout.seconds, appended.connect_timeout.nanos) == (7, 0)
    assert [each.name for each in appended.upstream_bind_config.socket_options] == [1, 2]
    assert [each.name for each in replaced.upstream_bind_config.socket_options] == [2]


def routes_of(*patches: dict[str, Any]) -> list[str]:
    found = message(resources(given(*patches))[RDS]["9080"]).virtual_hosts
    (host,) = (host for host in found if host.name == VHOST["name"])
    return [route.name for route in host.routes]


@pytest.mark.parametrize(
    ("operation", "named", "expected"),
    [
        ("ADD", None, ["default", "new"]),
        ("INSERT_FIRST", None, ["new", "default"]),
        ("INSERT_BEFORE", "default", ["new", "default"]),
        ("INSERT_AFTER", "default", ["default", "new"]),
        ("INSERT_FIRST", "nobody", ["default"]),
        ("REMOVE", "default", []),
        ("REMOVE", "nobody", ["default"]),
    ],
)
def test_routes_are_put_where_the_operation_says(operation: str, named: str | None, expected: list[str]) -> None:
    vhost = {**VHOST, **({"route": {"name": named}} if named else {})}
    value = None if operation == "REMOVE" else ROUTE
    assert routes_of(patch("HTTP_ROUTE", operation, value, OUT, routeConfiguration={"vhost": vhost})) == expected


@pytest.mark.parametrize(
    ("action", "hit"), [("ANY", True), ("ROUTE", True), ("REDIRECT", False), ("DIRECT_RESPONSE", False)]
)
def test_a_route_is_matched_by_what_it_does(action: str, *, hit: bool) -> None:
    vhost = {**VHOST, "route": {"action": action}}
    change = patch("HTTP_ROUTE", "MERGE", {"name": "changed"}, OUT, routeConfiguration={"vhost": vhost})
    assert routes_of(change) == (["changed"] if hit else ["default"])


def test_virtual_hosts_are_added_replaced_and_removed() -> None:
    new = {"name": "new", "domains": ["new.example"], "routes": [ROUTE]}

    def names(operation: str, value: Any, **match: Any) -> list[str]:
        change = patch("VIRTUAL_HOST", operation, value, OUT, routeConfiguration={"name": "9080", "vhost": match})
        return [host.name for host in message(resources(given(change))[RDS]["9080"]).virtual_hosts]

    before = names("MERGE", {}, name="nobody")
    assert names("ADD", new) == [*before, "new"]
    assert names("REMOVE", None, **VHOST) == [name for name in before if name != VHOST["name"]]
    assert names("REPLACE", new, domainName="ratings") == ["new" if name == VHOST["name"] else name for name in before]


def test_route_configurations_are_merged_for_a_port_or_a_side() -> None:
    value = {"most_specific_header_mutations_wins": True}

    def changed(context: str, **match: Any) -> list[str]:
        change = patch("ROUTE_CONFIGURATION", "MERGE", value, context, routeConfiguration=match)
        found = resources(given(change))[RDS]
        return sorted(name for name, built in found.items() if message(built).most_specific_header_mutations_wins)

    assert changed("ANY") == ["9080", "InboundPassthroughCluster", "inbound|9080||"]
    assert changed(OUT, portNumber=9080) == ["9080", "InboundPassthroughCluster"][:1]
    assert changed(IN, portNumber=9080) == ["inbound|9080||"]
    assert changed(OUT, name="80") == []


def test_configurations_that_filters_ask_for_are_sent_apart() -> None:
    asking = {
        "name": "apart",
        "config_discovery": {
            "config_source": {"ads": {}, "resource_api_version": "V3"},
            "type_urls": [f"{TYPE}envoy.extensions.filters.http.lua.v3.Lua"],
        },
    }
    insert = patch("HTTP_FILTER", "INSERT_FIRST", asking, IN, **http())
    found = resources(given(insert, patch("EXTENSION_CONFIG", "ADD", lua("apart"))))
    assert "apart" in found[ECDS]
    assert "apart" not in resources(given(patch("EXTENSION_CONFIG", "ADD", lua("apart"))))[ECDS]


def test_order_is_by_priority_then_the_root_namespace_then_age_then_name() -> None:
    def first(name: str, **more: Any) -> Any:
        return envoy_filter(patch("HTTP_FILTER", "ADD", lua(name), OUT, **http()), name=name, **more)

    cluster = bookinfo().istio(
        first("b-old", created="2026-01-01"),
        first("a-old", created="2026-01-01"),
        first("new", created="2026-02-01"),
        first("root", namespace="istio-system", created="2026-03-01"),
        first("early", priority=-1, created="2026-04-01"),
        first("late", priority=1, created="2025-01-01"),
        first("elsewhere", namespace="other"),
        first("not-selected", workloadSelector={"labels": {"app": "ratings"}}),
    )
    assert order(cluster)[len(BEFORE) :] == ["early", "root", "a-old", "b-old", "new", "late"]


@pytest.mark.parametrize(
    ("proxy", "hit"),
    [
        ({"proxyVersion": r"^1\.30.*"}, True),
        ({"proxyVersion": r"^1\.29.*"}, False),
        ({"metadata": {"NAMESPACE": "default"}}, True),
        ({"metadata": {"NAMESPACE": "other"}}, False),
        ({"metadata": {"UNHEARD_OF": ""}}, False),
    ],
)
def test_a_patch_may_be_for_some_proxies_only(proxy: dict[str, Any], *, hit: bool) -> None:
    assert ("lua" in order(given(patch("HTTP_FILTER", "ADD", lua(), OUT, proxy=proxy)))) is hit


def test_what_no_patch_matches_stays_the_same_object() -> None:
    cluster = given(patch("HTTP_FILTER", "ADD", lua(), "GATEWAY"), patch("CLUSTER", "MERGE", {}, cluster={"name": "x"}))
    found = patched(cluster)
    assert not found.applied
    bare = resources(bookinfo())
    assert {n: b.version for n, b in found.resources[LDS].items()} == {n: b.version for n, b in bare[LDS].items()}

"""Routers, splitters and resolvers as what clients are sent, and what does not fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds.typeurls import CDS
from tests.unit.controlplane.cluster import Cluster, Object, config
from tests.unit.controlplane.dialects.consul.objects import (
    HOST,
    addresses,
    cluster_of,
    conditions,
    consul,
    defaults,
    resolver,
    router,
    routes,
    sent,
    shares,
    splitter,
    synced,
)
from tests.unit.controlplane.envoy import message, static, validate

RATINGS = "ratings.default.svc.cluster.local"


def cluster_name(subset: str = "", host: str = HOST) -> str:
    return f"outbound|9080|{subset}|{host}"


def to_subset(subset: str, weight: float = 100, **more: Any) -> Object:
    return {"serviceSubset": subset, "weight": weight, **more}


def test_subsets_are_the_instances_that_their_filters_choose() -> None:
    cluster = consul(resolver())
    assert addresses(cluster, cluster_name("v2")) == ["10.244.0.21"]
    assert len(addresses(cluster, cluster_name())) == 3


def test_a_subset_without_a_filter_has_all_instances() -> None:
    assert len(addresses(consul(resolver(subsets={"all": {}})), cluster_name("all"))) == 3


def test_a_splitter_divides_requests_by_hundredths_of_a_percent() -> None:
    cluster = consul(defaults(), resolver(), splitter(to_subset("v1", 99.99), to_subset("v2", 0.01)))
    (route,) = routes(cluster)
    assert shares(route) == {cluster_name("v1"): 9999, cluster_name("v2"): 1}
    assert synced(cluster, "ServiceSplitter") == ("True", "")


def test_a_default_subset_is_meant_where_none_is_named() -> None:
    (route,) = routes(consul(resolver(defaultSubset="v3")))
    assert shares(route) == {cluster_name("v3"): 100}


def test_a_redirect_leads_to_the_other_services_default() -> None:
    other = resolver("ratings", subsets={"v1": {"filter": "Service.Meta.version == v1"}}, defaultSubset="v1")
    (route,) = routes(consul(config("ServiceResolver", "reviews", {"redirect": {"service": "ratings"}}), other))
    assert shares(route) == {cluster_name("v1", RATINGS): 100}


def layered(depth: int, width: int = 2, **changes: Any) -> Cluster:
    """Services in layers, each of which is split among all of the next layer; the last leads to ratings."""

    def names(layer: int) -> list[str]:
        return ["reviews"] if layer == 0 else [f"l{layer}-{index}" for index in range(width)]

    made: list[Object] = [defaults("ratings")]
    for layer in range(depth):
        following = names(layer + 1) if layer + 1 < depth else ["ratings"]
        for name in names(layer):
            splits = [{"weight": 100 / len(following), "service": each, **changes} for each in following]
            made += [defaults(name), splitter(*splits, name=name)]
    return consul(*made)


def test_layers_of_splitters_cost_what_there_is_of_them() -> None:
    (route,) = routes(layered(30))
    assert list(shares(route)) == [f"outbound|9080||{RATINGS}"]


def test_chains_without_bounds_are_misfits() -> None:
    """Each has what Consul would refuse to store, or fail at."""
    assert "more than 50 splitters one after the other" in synced(layered(400, 1), "ServiceSplitter")[1]
    changing = {"requestHeaders": {"add": {"x": "1"}}}
    assert synced(layered(8, 2, **changing), "ServiceSplitter") == ("True", "")
    assert "has more than 1000 shares" in synced(layered(12, 2, **changing), "ServiceSplitter")[1]


def test_splitters_that_lead_to_splitters_are_shares_of_shares() -> None:
    inner = splitter({"weight": 50, "service": "ratings"}, {"weight": 50, "service": "details"}, name="ratings")
    outer = splitter(to_subset("v1", 80), {"weight": 20, "service": "ratings"})
    cluster = consul(*(defaults(name) for name in ("reviews", "ratings", "details")), resolver(), outer, inner)
    (route,) = routes(cluster)
    details = "details.default.svc.cluster.local"
    wanted = {cluster_name("v1"): 8000, cluster_name(host=RATINGS): 1000, cluster_name(host=details): 1000}
    assert shares(route) == wanted


def test_headers_of_nested_splits_change_one_after_another() -> None:
    inner = splitter(
        {"weight": 100, "service": "ratings", "requestHeaders": {"set": {"x": "inner"}, "remove": ["y"]}},
        name="ratings",
    )
    outer = splitter(
        {"weight": 100, "service": "ratings", "requestHeaders": {"set": {"x": "outer", "z": "outer"}}},
    )
    (route,) = routes(consul(defaults(), defaults("ratings"), outer, inner))
    changed = {each.header.key: each.header.value for each in route.request_headers_to_add}
    assert changed == {"x": "inner", "z": "outer"}
    assert list(route.request_headers_to_remove) == ["y"]


def test_a_router_takes_the_first_rule_that_matches_and_then_the_splitter() -> None:
    http = {"pathPrefix": "/reviews/7", "header": [{"name": "X-User", "exact": "jason"}], "methods": ["GET", "PUT"]}
    rule = {"match": {"http": http}, "destination": {"serviceSubset": "v2", "requestTimeout": "2s"}}
    first, last = routes(consul(defaults(), resolver(), splitter(to_subset("v1")), router(rule)))
    assert (shares(first), shares(last)) == ({cluster_name("v2"): 100}, {cluster_name("v1"): 100})
    assert (first.match.prefix, first.route.timeout.seconds) == ("/reviews/7", 2)
    tests = {each.name: each.string_match for each in first.match.headers}
    assert tests["x-user"].exact == "jason"
    assert tests[":method"].safe_regex.regex == "GET|PUT"


@pytest.mark.parametrize(
    ("http", "field", "value"),
    [
        ({"pathExact": "/a"}, "path", "/a"),
        ({"pathRegex": "/a.*"}, "safe_regex.regex", "/a.*"),
        ({"pathRegex": "/a", "caseInsensitive": True}, "safe_regex.regex", "(?i:/a)"),
        ({"header": [{"name": "x", "suffix": ".b"}]}, "headers.0.string_match.safe_regex.regex", ".*\\.b"),
        ({"header": [{"name": "x", "present": True}]}, "headers.0.present_match", True),
        ({"header": [{"name": "x", "present": True, "invert": True}]}, "headers.0.invert_match", True),
        ({"queryParam": [{"name": "q", "exact": "1"}]}, "query_parameters.0.string_match.exact", "1"),
        ({"queryParam": [{"name": "q", "present": True}]}, "query_parameters.0.present_match", True),
    ],
)
def test_each_match_of_a_router(http: Object, field: str, value: Any) -> None:
    found: Any = routes(consul(defaults(), router({"match": {"http": http}})))[0].match
    for part in field.split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    assert found == value


def test_a_router_rewrites_retries_and_limits() -> None:
    to = {
        "prefixRewrite": "/b/",
        "numRetries": 4,
        "retryOnConnectFailure": True,
        "retryOn": ["reset"],
        "retryOnStatusCodes": [503],
        "idleTimeout": "7s",
        "requestHeaders": {"add": {"x": "1"}},
        "responseHeaders": {"remove": ["server"]},
    }
    first = routes(consul(defaults(), router({"match": {"http": {"pathPrefix": "/a/"}}, "destination": to})))[0]
    policy = first.route.retry_policy
    assert first.route.prefix_rewrite == "/b/"
    assert (policy.num_retries.value, list(policy.retriable_status_codes)) == (4, [503])
    assert set(policy.retry_on.split(",")) == {"reset", "connect-failure", "retriable-status-codes"}
    assert first.route.idle_timeout.seconds == 7
    assert [each.header.key for each in first.request_headers_to_add] == ["x"]
    assert list(first.response_headers_to_remove) == ["server"]


def test_the_resolvers_time_limits_hold() -> None:
    cluster = consul(resolver(requestTimeout="3s", connectTimeout="250ms"))
    assert routes(cluster)[0].route.timeout.seconds == 3
    assert cluster_of(cluster, cluster_name()).connect_timeout.nanos == 250_000_000


@pytest.mark.parametrize(
    ("balancer", "policy"),
    [
        ({"policy": "random"}, "RANDOM"),
        ({"policy": "round_robin"}, "ROUND_ROBIN"),
        ({"policy": "least_request"}, "LEAST_REQUEST"),
        ({"policy": "maglev", "hashPolicies": [{"sourceIP": True}]}, "MAGLEV"),
        ({"policy": "ring_hash", "ringHashConfig": {"minimumRingSize": 64}}, "RING_HASH"),
    ],
)
def test_each_way_to_choose_an_instance(balancer: Object, policy: str) -> None:
    made = cluster_of(consul(resolver(loadBalancer=balancer)), cluster_name())
    assert made.LbPolicy.Name(made.lb_policy) == policy


@pytest.mark.parametrize(
    ("hashed", "field"),
    [
        ({"field": "header", "fieldValue": "x-user"}, "header.header_name"),
        ({"field": "query_parameter", "fieldValue": "x-user"}, "query_parameter.name"),
        ({"field": "cookie", "fieldValue": "x-user", "cookieConfig": {"ttl": "9s"}}, "cookie.name"),
    ],
)
def test_each_hash_policy(hashed: Object, field: str) -> None:
    made = resolver(defaultSubset="v1", loadBalancer={"policy": "ring_hash", "hashPolicies": [hashed]})
    found: Any = routes(consul(made))[0].route.hash_policy[0]
    for part in field.split("."):
        found = getattr(found, part)
    assert found == "x-user"


def members(cluster: Cluster, subset: str) -> list[str]:
    from envoy.extensions.clusters.aggregate.v3.cluster_pb2 import ClusterConfig

    made, config_ = cluster_of(cluster, cluster_name(subset)), ClusterConfig()
    assert made.cluster_type.name == "envoy.clusters.aggregate"
    made.cluster_type.typed_config.Unpack(config_)
    return list(config_.clusters)


def test_others_stand_in_for_a_subset_in_their_order() -> None:
    targets = {"targets": [{"serviceSubset": "v1"}, {"service": "ratings"}]}
    cluster = consul(resolver(failover={"v2": targets}))
    assert members(cluster, "v2") == [f"own|9080|v2|{HOST}", cluster_name("v1"), cluster_name(host=RATINGS)]
    assert addresses(cluster, f"own|9080|v2|{HOST}") == ["10.244.0.21"]
    assert cluster_name() in sent(cluster)[CDS]


def test_any_subset_may_be_stood_in_for_and_none_stands_in_twice() -> None:
    cluster = consul(resolver(failover={"*": {"serviceSubset": "v1"}}))
    assert members(cluster, "v2") == [f"own|9080|v2|{HOST}", cluster_name("v1")]
    assert members(cluster, "") == [f"own|9080||{HOST}", cluster_name("v1")]
    assert cluster_of(cluster, cluster_name("v1")).cluster_type.name == ""


def test_envoy_takes_all_of_it(tmp_path: Path) -> None:
    rule = {"match": {"http": {"pathPrefix": "/a"}}, "destination": {"serviceSubset": "v2", "idleTimeout": "1s"}}
    cluster = consul(
        defaults(),
        resolver(failover={"*": {"serviceSubset": "v1"}}, loadBalancer={"policy": "maglev"}),
        splitter(to_subset("v1", 50), to_subset("v3", 50)),
        router(rule),
    )
    validate(static(sent(cluster)), tmp_path)


@pytest.mark.parametrize(
    ("objects", "kind", "words"),
    [
        ([splitter(to_subset("v1")), resolver()], "ServiceSplitter", 'uses a protocol "tcp" that does not permit'),
        ([router({}), resolver()], "ServiceRouter", 'uses a protocol "tcp" that does not permit'),
        (
            [defaults(), splitter({"weight": 100, "service": "ratings"})],
            "ServiceSplitter",
            'uses inconsistent protocols; service "ratings" has "tcp" which is not "http"',
        ),
        ([defaults(), splitter(to_subset("v9")), resolver()], "ServiceSplitter", "does not have: 'v9'"),
        (
            [
                config("ServiceResolver", "reviews", {"redirect": {"service": "ratings"}}),
                config("ServiceResolver", "ratings", {"redirect": {"service": "reviews"}}),
            ],
            "ServiceResolver",
            "circular resolver redirect",
        ),
        (
            [
                *(defaults(name) for name in ("reviews", "ratings")),
                splitter({"weight": 100, "service": "ratings"}),
                splitter({"weight": 100, "service": "reviews"}, name="ratings"),
            ],
            "ServiceSplitter",
            "splitters that lead to each other",
        ),
        ([resolver(failover={"v1": {"service": "ratings", "serviceSubset": "v9"}})], "ServiceResolver", "'v9'"),
    ],
)
def test_what_does_not_fit_has_no_effect_and_says_why(objects: list[Object], kind: str, words: str) -> None:
    cluster = consul(*objects)
    status, text = synced(cluster, kind)
    assert (status, words in text) == ("False", True), text
    assert conditions(cluster, kind)["Synced"]["reason"] == "ConsulAgentError"
    assert [shares(route) for route in routes(cluster)] == [{cluster_name(): 100}]


def test_without_a_router_that_does_not_fit_the_splitter_goes_on() -> None:
    bad = router({"destination": {"serviceSubset": "v9"}})
    cluster = consul(defaults(), resolver(), splitter(to_subset("v2")), bad)
    assert shares(routes(cluster)[0]) == {cluster_name("v2"): 100}
    assert (synced(cluster, "ServiceRouter")[0], synced(cluster, "ServiceSplitter")[0]) == ("False", "True")


def test_of_rules_in_two_vocabularies_the_older_count_and_both_say_so() -> None:
    rule = {"route": [{"destination": {"host": "ratings"}}]}
    istios = config("VirtualService", "istios", {"hosts": ["reviews"], "http": [rule]}, created="2025-01-01")
    cluster = consul(defaults(), resolver(), splitter(to_subset("v1")), istios)
    assert shares(routes(cluster)[0]) == {cluster_name(host=RATINGS): 100}
    told = [each for each in analyse(cluster.snapshot()) if each.code == "IST0109"]
    assert {each.origin.kind for each in told} == {"VirtualService", "ServiceSplitter"}
    assert all("ServiceSplitter default/reviews routes" in each.text for each in told)
    assert conditions(cluster, "ServiceSplitter")["HasFindings"]["status"] == "True"


def test_subsets_of_one_name_are_said_to_differ_only_where_they_do() -> None:
    same = config("DestinationRule", "reviews", {"host": "reviews", "subsets": [v("v1", "v1")]}, created="2025-01-01")
    other = config("DestinationRule", "reviews", {"host": "reviews", "subsets": [v("v1", "v2")]}, created="2025-01-01")
    assert "HasFindings" not in conditions(consul(resolver(), same), "ServiceResolver")
    told = conditions(consul(resolver(), other), "ServiceResolver")["HasFindings"]["message"]
    assert "DestinationRule default/reviews is older, and so it decides on subset v1" in told


def v(name: str, version: str) -> Object:
    return {"name": name, "labels": {"version": version}}


def test_an_entry_for_no_service_says_so() -> None:
    cluster = consul(config("ServiceResolver", "nobody", {}))
    assert conditions(cluster, "ServiceResolver", "nobody")["HasFindings"]["reason"] == "ReferencedResourceNotFound"


def test_what_is_made_of_objects_that_did_not_change_is_not_made_again() -> None:
    from mesh_lab.controlplane.xds import Generator

    cluster, generator = consul(defaults(), resolver(), splitter(to_subset("v1"))), Generator()
    before = generator.generate(cluster.snapshot(), cluster.proxy("productpage-v1-abc-1"))
    cluster.istio(config("ServiceResolver", "details", {"connectTimeout": "9s"}))
    after = generator.generate(cluster.snapshot(), cluster.proxy("productpage-v1-abc-1"))
    changed = [name for name, built in before[CDS].items() if after[CDS][name] is not built]
    assert changed == [cluster_name(host="details.default.svc.cluster.local")]
    assert message(after[CDS][cluster_name("v1")]).name == cluster_name("v1")

"""RDS of a sidecar: virtual hosts, and what VirtualServices make of them."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import RedirectAction
from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault

from mesh_lab.controlplane.model.virtualservice import HeaderOperations, Headers
from mesh_lab.controlplane.xds.headers import header_options, host_of
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, mesh_config, pod, service
from tests.unit.controlplane.xds.translated import REVIEWS, hosts_of, resources, routes_to


def to(host: str = "reviews", subset: str = "", **more: Any) -> dict[str, Any]:
    return {"destination": {"host": host, **({"subset": subset} if subset else {})}, **more}


def reviews(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return config("VirtualService", "reviews", {"hosts": ["reviews"], "http": list(rules), **spec})


def only(cluster: Cluster) -> Any:
    (route,) = routes_to(cluster)
    return route


def test_without_a_virtual_service_requests_go_to_the_service_that_they_name() -> None:
    route = only(bookinfo())
    assert route.route.cluster == f"outbound|9080||{REVIEWS}"
    assert route.route.HasField("timeout")
    assert route.route.timeout.ToNanoseconds() == 0


def test_what_a_rule_does_not_say_of_retries_the_mesh_does() -> None:
    mesh = mesh_config("defaultHttpRetryPolicy: {attempts: 3, retryOn: 5xx}")
    for cluster in (bookinfo(), bookinfo().istio(reviews({"route": [to()]}))):
        policy = only(cluster.add("ConfigMap", mesh)).route.retry_policy
        assert (policy.num_retries.value, policy.retry_on) == (3, "5xx")
    own = bookinfo().istio(reviews({"route": [to()], "retries": {"attempts": 1, "retryOn": "reset"}}))
    assert only(own.add("ConfigMap", mesh)).route.retry_policy.retry_on == "reset"
    off = bookinfo().add("ConfigMap", mesh_config("defaultHttpRetryPolicy: {attempts: 0}"))
    assert not only(off).route.HasField("retry_policy")


def test_by_default_a_request_that_cannot_have_been_served_is_tried_elsewhere() -> None:
    policy = only(bookinfo()).route.retry_policy
    assert policy.num_retries.value == 2
    assert policy.retry_on == "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    assert list(policy.retriable_status_codes) == []
    assert policy.host_selection_retry_max_attempts == 5
    assert [p.name for p in policy.retry_host_predicate] == ["envoy.retry_host_predicates.previous_hosts"]


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ([], False),
        ([{"route": [to()]}], False),
        ([{"route": [to()], "match": [{"uri": {"exact": "/a"}}], "retries": {"attempts": 3}}, {"route": [to()]}], True),
    ],
    ids=["no rule", "a rule without retries", "one rule with retries"],
)
def test_a_request_tells_its_attempt_where_a_rule_asks_for_retries(rules: list[dict[str, Any]], told: bool) -> None:
    cluster = bookinfo().istio(reviews(*rules)) if rules else bookinfo()
    host = hosts_of(resources(cluster), "9080")[f"{REVIEWS}:9080"]
    assert host.include_request_attempt_count is told


def test_a_host_is_known_by_all_its_names() -> None:
    found = hosts_of(resources(bookinfo()), "9080")[f"{REVIEWS}:9080"]
    assert {REVIEWS, "reviews", "reviews.default", "reviews.default.svc"} <= set(found.domains)


@pytest.mark.parametrize(("mode", "name"), [("ALLOW_ANY", "allow_any"), ("REGISTRY_ONLY", "block_all")])
def test_unknown_hosts_are_let_out_or_refused(mode: str, name: str) -> None:
    cluster = bookinfo()
    settings = {"mesh": f"outboundTrafficPolicy: {{mode: {mode}}}"}
    cluster.add("ConfigMap", {"metadata": {"namespace": "istio-system", "name": "istio"}, "data": settings})
    found = hosts_of(resources(cluster), "9080")[name]
    assert list(found.domains) == ["*"]
    assert found.routes[0].direct_response.status == (502 if mode == "REGISTRY_ONLY" else 0)


def test_weights_are_shares_and_none_is_nothing() -> None:
    rule = {"route": [to(subset="v1", weight=9), to(subset="v2", weight=1), to(subset="v3", weight=0)]}
    shares = only(bookinfo().istio(reviews(rule))).route.weighted_clusters.clusters
    assert {share.name: share.weight.value for share in shares} == {
        f"outbound|9080|v1|{REVIEWS}": 9,
        f"outbound|9080|v2|{REVIEWS}": 1,
    }


@pytest.mark.parametrize("weights", [(100, 0), (0, 100)])
def test_one_share_of_all_is_a_plain_route(weights: tuple[int, int]) -> None:
    rule = {"route": [to(subset="v1", weight=weights[0]), to(subset="v2", weight=weights[1])]}
    expected = "v1" if weights[0] else "v2"
    assert only(bookinfo().istio(reviews(rule))).route.cluster == f"outbound|9080|{expected}|{REVIEWS}"


def test_rules_are_tried_in_order_up_to_the_first_that_takes_all() -> None:
    rules = (
        {"match": [{"uri": {"exact": "/a"}}, {"uri": {"prefix": "/b"}}], "route": [to(subset="v1")]},
        {"route": [to(subset="v2")]},
        {"route": [to(subset="v3")]},
    )
    found = routes_to(bookinfo().istio(reviews(*rules)))
    assert [(r.match.path, r.match.prefix, r.route.cluster.split("|")[2]) for r in found] == [
        ("/a", "", "v1"),
        ("", "/b", "v1"),
        ("", "/", "v2"),
    ]


def test_all_conditions_of_a_match_must_hold() -> None:
    match = {
        "uri": {"regex": "/v[0-9]+"},
        "ignoreUriCase": True,
        "headers": {"user": {"exact": "jason"}, "there": {}},
        "withoutHeaders": {"beta": {"prefix": "y"}},
        "method": {"exact": "POST"},
        "queryParams": {"q": {"regex": "a.*"}, "r": {}},
    }
    route = only(bookinfo().istio(reviews({"match": [match], "route": [to()]})))
    assert route.match.safe_regex.regex == "/v[0-9]+"
    assert route.match.case_sensitive.value is False
    headers = {header.name: header for header in route.match.headers}
    assert headers["user"].string_match.exact == "jason"
    assert headers["there"].present_match is True
    assert headers[":method"].string_match.exact == "POST"
    assert (headers["beta"].invert_match, headers["beta"].treat_missing_header_as_empty) == (True, True)
    parameters = {parameter.name: parameter for parameter in route.match.query_parameters}
    assert parameters["q"].string_match.safe_regex.regex == "a.*"
    assert parameters["r"].present_match is True


def test_a_rule_for_other_clients_is_not_sent_to_this_one() -> None:
    rules = (
        {"match": [{"sourceLabels": {"app": "productpage"}}], "route": [to(subset="v1")]},
        {"match": [{"sourceNamespace": "elsewhere"}], "route": [to(subset="v3")]},
        {"match": [{"port": 1}], "route": [to(subset="v3")]},
        {"match": [{"gateways": ["front"]}], "route": [to(subset="v3")]},
        {"match": [{"gateways": ["mesh"], "port": 9080}], "route": [to(subset="v2")]},
    )
    cluster = bookinfo().istio(reviews(*rules, gateways=["mesh", "front"]))
    assert [r.route.cluster.split("|")[2] for r in routes_to(cluster)] == ["v1"]
    assert [r.route.cluster.split("|")[2] for r in routes_to(cluster, pod="details-v1-abc-1")] == ["v2"]


def test_a_client_that_no_rule_concerns_is_served_as_if_there_were_none() -> None:
    rule = {"match": [{"sourceLabels": {"app": "details"}}], "route": [to(subset="v2")]}
    cluster = bookinfo().istio(reviews(rule))
    assert only(cluster).route.cluster == f"outbound|9080||{REVIEWS}"
    assert [r.route.cluster for r in routes_to(cluster, pod="details-v1-abc-1")] == [f"outbound|9080|v2|{REVIEWS}"]


def test_where_gateways_are_named_labels_count_for_nothing() -> None:
    match = {"gateways": ["mesh"], "sourceLabels": {"app": "details"}, "sourceNamespace": "elsewhere"}
    assert only(bookinfo().istio(reviews({"match": [match], "route": [to()]}))).route.cluster


def test_a_rule_of_a_match_counts_under_its_own_name() -> None:
    rule = {"name": "rule", "match": [{"name": "m", "statPrefix": "mine"}], "route": [to()]}
    route = only(bookinfo().istio(reviews(rule)))
    assert (route.name, route.stat_prefix) == ("rule.m", "mine")
    nameless = reviews({"match": [{"name": "m"}], "route": [to()]})
    assert only(bookinfo().istio(nameless)).name == ".m", "as in Istio"


def test_timeouts_retries_and_their_codes() -> None:
    retries = {"attempts": 3, "perTryTimeout": "500ms", "retryOn": "reset,503,418", "backoff": "10ms"}
    route = only(bookinfo().istio(reviews({"route": [to()], "timeout": "2s", "retries": retries}))).route
    assert route.timeout.ToNanoseconds() == 2_000_000_000
    # With it, Envoy would no longer heed `timeout`.
    assert not route.HasField("max_stream_duration")
    policy = route.retry_policy
    assert (policy.num_retries.value, policy.per_try_timeout.ToMilliseconds()) == (3, 500)
    assert policy.retry_on == "reset,retriable-status-codes"
    assert list(policy.retriable_status_codes) == [503, 418]
    assert policy.retry_back_off.base_interval.ToMilliseconds() == 10


def test_no_attempts_are_no_retries() -> None:
    route = only(bookinfo().istio(reviews({"route": [to()], "retries": {"attempts": 0}}))).route
    assert not route.HasField("retry_policy")


@pytest.mark.parametrize(
    ("retries", "elsewhere"),
    [
        (None, False),
        ({"attempts": 1}, False),
        ({"attempts": 1, "retryIgnorePreviousHosts": True}, True),
        ({"attempts": 1, "retryIgnorePreviousHosts": False}, False),
    ],
)
def test_a_request_that_is_hashed_to_an_endpoint_is_tried_again_there(
    retries: dict[str, Any] | None, elsewhere: bool
) -> None:
    sticky = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}
    rule = {"route": [to()], **({"retries": retries} if retries else {})}
    cluster = bookinfo().istio(
        config("DestinationRule", "r", {"host": "reviews", "trafficPolicy": sticky}), reviews(rule)
    )
    assert bool(only(cluster).route.retry_policy.retry_host_predicate) is elsewhere


def test_without_a_virtual_service_a_hashed_request_is_tried_again_where_it_was_too() -> None:
    sticky = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}
    cluster = bookinfo().istio(config("DestinationRule", "r", {"host": "reviews", "trafficPolicy": sticky}))
    assert not only(cluster).route.retry_policy.retry_host_predicate
    assert only(cluster).route.retry_policy.num_retries.value == 2


def test_faults_are_exact_to_one_in_a_million_and_none_without_a_percentage() -> None:
    fault = {"delay": {"fixedDelay": "3s", "percentage": {"value": 0.1}}, "abort": {"httpStatus": 503}}
    found = HTTPFault()
    only(bookinfo().istio(reviews({"route": [to()], "fault": fault}))).typed_per_filter_config[
        "envoy.filters.http.fault"
    ].Unpack(found)
    assert (found.delay.percentage.numerator, found.delay.percentage.denominator) == (
        1000,
        found.delay.percentage.MILLION,
    )
    assert found.delay.fixed_delay.seconds == 3
    assert (found.abort.http_status, found.abort.percentage.numerator) == (503, 0)


@pytest.mark.parametrize(
    ("match", "rewrite", "expected"),
    [
        ({"prefix": "/old"}, {"uri": "/new"}, {"prefix_rewrite": "/new"}),
        ({"exact": "/old"}, {"uri": "/new"}, {"prefix_rewrite": "/new"}),
        ({"prefix": "/old"}, {"uri": "/"}, {"prefix_rewrite": "/"}),
        ({"regex": "/o.*"}, {"uri": "/new"}, {"regex": "^.*$", "to": "/new"}),
        (
            {"prefix": "/"},
            {"uriRegexRewrite": {"match": "^/x/(.*)", "rewrite": r"/\1"}},
            {"regex": "^/x/(.*)", "to": r"/\1"},
        ),
    ],
)
def test_rewriting_replaces_what_matched(
    match: dict[str, str], rewrite: dict[str, Any], expected: dict[str, str]
) -> None:
    rule = {"match": [{"uri": match}], "rewrite": {**rewrite, "authority": "other"}, "route": [to()]}
    action = only(bookinfo().istio(reviews(rule))).route
    assert action.host_rewrite_literal == "other"
    assert action.prefix_rewrite == expected.get("prefix_rewrite", "")
    assert action.regex_rewrite.pattern.regex == expected.get("regex", "")
    assert action.regex_rewrite.substitution == expected.get("to", "")


def test_redirects_and_direct_answers() -> None:
    rules = (
        {
            "match": [{"uri": {"exact": "/a"}}],
            "redirect": {"uri": "/b", "authority": "c", "redirectCode": 308, "port": 81},
        },
        {"match": [{"uri": {"exact": "/d"}}], "redirect": {"scheme": "https"}},
        {"directResponse": {"status": 418, "body": {"string": "tea"}}},
    )
    first, second, third = routes_to(bookinfo().istio(reviews(*rules)))
    assert (first.redirect.path_redirect, first.redirect.host_redirect, first.redirect.port_redirect) == ("/b", "c", 81)
    assert first.redirect.response_code == RedirectAction.PERMANENT_REDIRECT
    assert (second.redirect.scheme_redirect, second.redirect.response_code) == (
        "https",
        RedirectAction.MOVED_PERMANENTLY,
    )
    assert (third.direct_response.status, third.direct_response.body.inline_string) == (418, "tea")


@pytest.mark.parametrize(
    ("redirect", "port"),
    [
        ({"port": 80}, 0),
        ({"port": 443, "scheme": "https"}, 0),
        ({"port": 80, "scheme": "https"}, 80),
        ({"derivePort": "FROM_REQUEST_PORT"}, 9080),
        ({"derivePort": "FROM_PROTOCOL_DEFAULT"}, 0),
    ],
)
def test_a_redirect_names_no_port_that_the_scheme_implies(redirect: dict[str, Any], port: int) -> None:
    assert only(bookinfo().istio(reviews({"redirect": redirect}))).redirect.port_redirect == port


def test_a_mirrored_request_keeps_its_authority_and_all_are_mirrored_unless_said_otherwise() -> None:
    rules = (
        {"match": [{"uri": {"exact": "/a"}}], "route": [to()], "mirror": {"host": "ratings"}},
        {
            "route": [to()],
            "mirrors": [
                {"destination": {"host": "ratings"}, "percentage": {"value": 5}},
                {"destination": {"host": "details"}, "percentage": {"value": 0}},
            ],
        },
    )
    first, second = routes_to(bookinfo().istio(reviews(*rules)))
    (all_of_them,), (some,) = first.route.request_mirror_policies, second.route.request_mirror_policies
    assert all_of_them.disable_shadow_host_suffix_append
    assert all_of_them.runtime_fraction.default_value.numerator == 100
    assert some.cluster == "outbound|9080||ratings.default.svc.cluster.local"
    assert some.runtime_fraction.default_value.numerator == 50_000


def test_headers_of_the_rule_and_of_a_destination() -> None:
    rule = {
        "headers": {"request": {"set": {"a": "1"}, "add": {"b": "2"}, "remove": ["c"]}},
        "route": [
            to(subset="v1", weight=1, headers={"response": {"set": {"d": "3"}}}),
            to(subset="v2", weight=1, headers={"request": {"set": {"Host": "elsewhere"}}}),
        ],
    }
    route = only(bookinfo().istio(reviews(rule)))
    added = {(o.header.key, o.append_action) for o in route.request_headers_to_add}
    assert added == {
        ("a", HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
        ("b", HeaderValueOption.APPEND_IF_EXISTS_OR_ADD),
    }
    assert list(route.request_headers_to_remove) == ["c"]
    first, second = route.route.weighted_clusters.clusters
    assert [o.header.value for o in first.response_headers_to_add] == ["3"]
    assert second.host_rewrite_literal == "elsewhere"


def test_a_destinations_headers_come_after_those_of_the_rule_but_for_the_host() -> None:
    rule = {
        "headers": {"request": {"set": {"a": "rule", "host": "rule"}}},
        "route": [to(headers={"request": {"set": {"a": "destination", "host": "destination"}}})],
    }
    route = only(bookinfo().istio(reviews(rule)))
    assert [option.header.value for option in route.request_headers_to_add] == ["rule", "destination"]
    assert route.route.host_rewrite_literal == "rule"


@pytest.mark.parametrize(
    ("operations", "host"),
    [({"add": {"Host": "a"}}, "a"), ({"add": {"host": "a"}, "set": {":authority": "s"}}, "s"), ({}, None)],
)
def test_a_host_that_is_added_replaces_the_one_there_is(operations: dict[str, Any], host: str | None) -> None:
    headers = Headers(request=HeaderOperations(**operations))
    assert host_of(headers) == host
    assert not header_options(headers.request)


@pytest.mark.parametrize(("timeout", "limit"), [({}, 0), ({"timeout": "2s"}, 2)])
def test_a_grpc_clients_own_limit_holds_up_to_that_of_the_rule(timeout: dict[str, str], limit: int) -> None:
    route = only(bookinfo().istio(reviews({"route": [to()], **timeout}))).route
    assert route.HasField("max_grpc_timeout")
    assert route.max_grpc_timeout.ToSeconds() == limit
    assert only(bookinfo()).route.HasField("max_grpc_timeout")


def test_cross_origin_requests() -> None:
    policy = {
        "allowOrigin": ["http://no-longer-meant"],
        "allowOrigins": [{"exact": "http://a"}],
        "allowMethods": ["GET", "PUT"],
        "maxAge": "1h",
        "allowCredentials": True,
    }
    found = CorsPolicy()
    only(bookinfo().istio(reviews({"route": [to()], "corsPolicy": policy}))).typed_per_filter_config[
        "envoy.filters.http.cors"
    ].Unpack(found)
    assert [origin.exact for origin in found.allow_origin_string_match] == ["http://a"]
    assert (found.allow_methods, found.max_age, found.allow_credentials.value) == ("GET,PUT", "3600", True)


def test_requests_are_told_apart_by_what_the_destination_rule_says() -> None:
    sticky = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}
    cluster = bookinfo().istio(config("DestinationRule", "r", {"host": "reviews", "trafficPolicy": sticky}))
    assert [p.header.header_name for p in only(cluster).route.hash_policy] == ["x-user"]
    rule = {"route": [to(subset="v1", weight=1), to(subset="v2", weight=1)]}
    assert [p.header.header_name for p in only(cluster.istio(reviews(rule))).route.hash_policy] == ["x-user"]


def test_the_oldest_of_two_virtual_services_wins() -> None:
    older = reviews({"route": [to(subset="v1")]})
    younger = config(
        "VirtualService", "another", {"hosts": [REVIEWS], "http": [{"route": [to(subset="v2")]}]}, created="2026-02-02"
    )
    assert only(bookinfo().istio(younger, older)).route.cluster == f"outbound|9080|v1|{REVIEWS}"


def test_a_plain_host_says_more_than_a_wildcard() -> None:
    wide = config(
        "VirtualService", "wide", {"hosts": ["*.default.svc.cluster.local"], "http": [{"route": [to(subset="v1")]}]}
    )
    cluster = bookinfo().istio(wide)
    assert only(cluster).route.cluster == f"outbound|9080|v1|{REVIEWS}"
    assert only(cluster.istio(reviews({"route": [to(subset="v2")]}))).route.cluster == f"outbound|9080|v2|{REVIEWS}"


def test_a_short_name_belongs_to_the_namespace_of_its_virtual_service() -> None:
    elsewhere = config(
        "VirtualService", "r", {"hosts": ["reviews"], "http": [{"route": [to(subset="v1")]}]}, namespace="b"
    )
    assert only(bookinfo().istio(elsewhere)).route.cluster == f"outbound|9080||{REVIEWS}"


@pytest.mark.parametrize(("export_to", "seen"), [([], True), (["*"], True), (["."], False), (["default"], True)])
def test_what_is_not_exported_is_not_seen(export_to: list[str], seen: bool) -> None:
    foreign = config(
        "VirtualService",
        "r",
        {"hosts": [REVIEWS], "http": [{"route": [to(REVIEWS, "v1")]}], "exportTo": export_to},
        namespace="b",
    )
    assert only(bookinfo().istio(foreign)).route.cluster == f"outbound|9080|{'v1' if seen else ''}|{REVIEWS}"


def test_a_destination_without_a_port_takes_the_only_one_else_that_of_the_request() -> None:
    cluster = bookinfo().app("one", ("http", 8000), pods=[pod("one-1", "10.244.1.1")])
    cluster.app("two", ("http", 8001), ("admin", 8002), pods=[pod("two-1", "10.244.1.2")])
    rules = (
        {"match": [{"uri": {"exact": "/1"}}], "route": [to("one")]},
        {"match": [{"uri": {"exact": "/2"}}], "route": [to("two")]},
        {"route": [{"destination": {"host": "two", "port": {"number": 8002}}}]},
    )
    found = [route.route.cluster.split("|")[1] for route in routes_to(cluster.istio(reviews(*rules)))]
    assert found == ["8000", "9080", "8002"]


def test_a_domain_that_is_named_twice_is_the_virtual_services_and_does_not_spoil_the_port() -> None:
    cluster = bookinfo().app("web", ("http", 80), pods=[pod("web-1", "10.244.1.1")])
    twice = config(
        "VirtualService", "twice", {"hosts": ["web.default", "NEW.example.com"], "http": [{"route": [to("web")]}]}
    )
    found = hosts_of(resources(cluster.istio(twice)), "80")
    assert list(found["web.default:80"].domains) == ["web.default"]
    assert list(found["new.example.com:80"].domains) == ["new.example.com"]
    others = found["web.default.svc.cluster.local:80"].domains
    assert "web.default" not in others
    assert {"web", "web.default.svc", "web.default.svc.cluster.local"} <= set(others)


def with_web() -> Cluster:
    """Bookinfo, on port 9080, and a service on port 80."""
    return bookinfo().app("web", ("http", 80), pods=[pod("web-1", "10.244.1.1")])


def test_hosts_beside_a_service_are_served_on_its_ports_and_on_port_80() -> None:
    both = config(
        "VirtualService", "both", {"hosts": ["reviews", "new.example.com"], "http": [{"route": [to(subset="v1")]}]}
    )
    found = resources(with_web().app("odd", ("http", 7000), pods=[pod("odd-1", "10.244.1.2")]).istio(both))
    assert list(hosts_of(found, "9080")["new.example.com:9080"].domains) == ["new.example.com"]
    assert list(hosts_of(found, "80")["new.example.com:80"].domains) == ["new.example.com"]
    assert list(hosts_of(found, "80")[f"{REVIEWS}:80"].domains) == [REVIEWS], "port 9080 is meant where it has no other"
    assert hosts_of(found, "80")[f"{REVIEWS}:80"].routes[0].route.cluster == f"outbound|9080|v1|{REVIEWS}"
    assert "new.example.com:7000" not in hosts_of(found, "7000")


def test_a_wildcard_routes_the_services_that_there_are_and_no_unknown_names() -> None:
    wide = config(
        "VirtualService", "w", {"hosts": ["*.svc.cluster.local", "*.example.com"], "http": [{"route": [to("web")]}]}
    )
    found = resources(with_web().istio(wide))
    assert "*.svc.cluster.local:80" not in hosts_of(found, "80")
    assert "*.svc.cluster.local:9080" not in hosts_of(found, "9080")
    assert hosts_of(found, "9080")[f"{REVIEWS}:9080"].routes[0].route.cluster.startswith("outbound|80||web.")
    assert "*.example.com:80" in hosts_of(found, "80"), "no service is called so: it is for unknown names"


def test_a_wildcard_over_services_of_other_ports_is_served_on_port_80() -> None:
    wide = config("VirtualService", "w", {"hosts": ["*.b.svc.cluster.local"], "http": [{"route": [to("web")]}]})
    cluster = with_web().app("far", ("http", 9080), pods=[], namespace="b").istio(wide)
    assert "*.b.svc.cluster.local:80" in hosts_of(resources(cluster), "80")
    assert "*.b.svc.cluster.local:9080" not in hosts_of(resources(cluster), "9080")


def test_the_next_virtual_service_of_a_host_holds_where_the_oldest_has_no_rule() -> None:
    connections = config("VirtualService", "a", {"hosts": ["reviews"], "tcp": [{"route": [to(subset="v1")]}]})
    others = reviews({"match": [{"sourceLabels": {"app": "ratings"}}], "route": [to(subset="v2")]})
    mine = config("VirtualService", "z", {"hosts": [REVIEWS], "http": [{"route": [to(subset="v3")]}]})
    assert only(bookinfo().istio(connections, others, mine)).route.cluster == f"outbound|9080|v3|{REVIEWS}"


def test_of_one_age_the_first_by_name_holds_whatever_its_namespace() -> None:
    def rule(name: str, namespace: str, subset: str) -> dict[str, Any]:
        spec = {"hosts": [REVIEWS], "http": [{"route": [to(REVIEWS, subset)]}]}
        return config("VirtualService", name, spec, namespace=namespace)

    cluster = bookinfo().istio(rule("b", "aaa", "v1"), rule("a", "zzz", "v2"))
    assert only(cluster).route.cluster == f"outbound|9080|v2|{REVIEWS}"


def test_a_port_number_serves_all_that_may_speak_http_there() -> None:
    cluster = with_web().app("odd", ("", 80), pods=[pod("odd-1", "10.244.1.2")])
    domains = hosts_of(resources(cluster), "80")["odd.default.svc.cluster.local:80"].domains
    assert "odd.default" in domains


def test_a_port_that_is_sniffed_serves_its_service_whatever_host_is_asked_for() -> None:
    cluster = bookinfo().app("odd", ("", 7000), pods=[pod("odd-1", "10.244.1.1")])
    (host,) = hosts_of(resources(cluster), "odd.default.svc.cluster.local:7000").values()
    assert list(host.domains) == ["*"]
    assert host.routes[0].route.cluster == "outbound|7000||odd.default.svc.cluster.local"


def test_the_pods_of_a_headless_service_are_known_by_their_names() -> None:
    cluster = bookinfo().add("Service", service("head", ("http", 9080), clusterIP="None"))
    domains = hosts_of(resources(cluster), "9080")["head.default.svc.cluster.local:9080"].domains
    assert {"*.head", "*.head.default", "*.head.default.svc.cluster.local"} <= set(domains)
    reviews_domains = hosts_of(resources(cluster), "9080")[f"{REVIEWS}:9080"].domains
    assert not any(name.startswith("*") for name in reviews_domains)


def test_a_virtual_service_for_connections_leaves_requests_alone() -> None:
    only_tcp = config("VirtualService", "r", {"hosts": ["reviews"], "tcp": [{"route": [to(subset="v1")]}]})
    assert only(bookinfo().istio(only_tcp)).route.cluster == f"outbound|9080||{REVIEWS}"


def test_an_authority_that_is_added_is_one_that_is_set() -> None:
    added = {"request": {"add": {"Host": "x.example", "a": "b"}}}
    route = only(bookinfo().istio(reviews({"route": [to()], "headers": added})))
    assert route.route.host_rewrite_literal == "x.example"
    assert [option.header.key for option in route.request_headers_to_add] == ["a"]


def test_a_header_without_which_a_rule_holds_may_have_any_value() -> None:
    rule = {"match": [{"withoutHeaders": {"x": {"regex": "*"}}}], "route": [to()]}
    (header,) = routes_to(bookinfo().istio(reviews(rule)))[0].match.headers
    assert (header.present_match, header.invert_match) == (True, True)


def test_a_fault_of_no_kind_is_none() -> None:
    fault = {"abort": {"percentage": {"value": 100}}, "delay": {"percentage": {"value": 100}}}
    route = only(bookinfo().istio(reviews({"route": [to()], "fault": fault})))
    message = HTTPFault()
    route.typed_per_filter_config["envoy.filters.http.fault"].Unpack(message)
    assert not message.HasField("abort")
    assert not message.HasField("delay")


def test_a_hash_of_nothing_tells_no_requests_apart() -> None:
    rule = config(
        "DestinationRule", "r", {"host": "reviews", "trafficPolicy": {"loadBalancer": {"consistentHash": {}}}}
    )
    assert not only(bookinfo().istio(rule)).route.hash_policy

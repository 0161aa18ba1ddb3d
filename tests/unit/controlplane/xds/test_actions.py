"""What a route does with a request beside sending it on."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.route.v3.route_components_pb2 import RedirectAction
from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault

from tests.unit.controlplane.cluster import bookinfo, config, mesh_config
from tests.unit.controlplane.xds.translated import REVIEWS, hosts_of, resources, routes_to
from tests.unit.controlplane.xds.virtualservices import only, reviews, to


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
    ("rules", "counted"),
    [
        ([], False),
        ([{"route": [to()]}], False),
        ([{"route": [to()], "match": [{"uri": {"exact": "/a"}}], "retries": {"attempts": 3}}, {"route": [to()]}], True),
    ],
    ids=["no rule", "a rule without retries", "one rule with retries"],
)
def test_a_request_has_its_attempt_number_where_a_rule_asks_for_retries(
    rules: list[dict[str, Any]], counted: bool
) -> None:
    cluster = bookinfo().istio(reviews(*rules)) if rules else bookinfo()
    host = hosts_of(resources(cluster), "9080")[f"{REVIEWS}:9080"]
    assert host.include_request_attempt_count is counted


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


def test_requests_are_distinguished_by_what_the_destination_rule_says() -> None:
    sticky = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}
    cluster = bookinfo().istio(config("DestinationRule", "r", {"host": "reviews", "trafficPolicy": sticky}))
    assert [p.header.header_name for p in only(cluster).route.hash_policy] == ["x-user"]
    rule = {"route": [to(subset="v1", weight=1), to(subset="v2", weight=1)]}
    assert [p.header.header_name for p in only(cluster.istio(reviews(rule))).route.hash_policy] == ["x-user"]


def test_a_fault_of_no_kind_is_none() -> None:
    fault = {"abort": {"percentage": {"value": 100}}, "delay": {"percentage": {"value": 100}}}
    route = only(bookinfo().istio(reviews({"route": [to()], "fault": fault})))
    message = HTTPFault()
    route.typed_per_filter_config["envoy.filters.http.fault"].Unpack(message)
    assert not message.HasField("abort")
    assert not message.HasField("delay")


def test_a_hash_of_nothing_distinguishes_no_requests() -> None:
    rule = config(
        "DestinationRule", "r", {"host": "reviews", "trafficPolicy": {"loadBalancer": {"consistentHash": {}}}}
    )
    assert not only(bookinfo().istio(rule)).route.hash_policy

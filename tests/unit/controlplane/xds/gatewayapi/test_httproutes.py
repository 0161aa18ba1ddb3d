"""HTTPRoutes of a Gateway: what users write in, what Envoy gets out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.xds.typeurls import CDS
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.envoy import static, validate
from tests.unit.controlplane.xds.gatewayapi.objects import (
    edge,
    gateway,
    listener,
    of_parent,
    path,
    route,
    rule,
    sent,
    status,
    to,
)
from tests.unit.controlplane.xds.translated import hosts_of

REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"
RATINGS = "outbound|9080||ratings.default.svc.cluster.local"


def routes(cluster: Cluster, host: str = "*:80") -> list[Any]:
    return list(hosts_of(sent(cluster), "http.80")[host].routes)


def only(cluster: Cluster) -> Any:
    (found,) = routes(cluster)
    return found


def with_rule(found: dict[str, Any], tmp_path: Path) -> Any:
    cluster = edge().add("HTTPRoute", route("r", found))
    validate(static(sent(cluster)), tmp_path)
    return only(cluster)


def test_a_route_without_anything_leads_all_requests_to_its_backend(tmp_path: Path) -> None:
    cluster = edge().add("HTTPRoute", route("r", rule(to("reviews"))))
    found = only(cluster)
    assert found.match.prefix == "/"
    assert found.route.cluster == REVIEWS
    assert REVIEWS in sent(cluster)[CDS]
    validate(static(sent(cluster)), tmp_path)


def test_matches(tmp_path: Path) -> None:
    match = path(
        "/v1/",
        headers=[{"type": "Exact", "name": "Version", "value": "one"}, {"name": "version", "value": "two"}],
        queryParams=[{"type": "RegularExpression", "name": "animal", "value": "wh.*"}],
        method="POST",
    )
    found = with_rule(rule(to("reviews"), matches=[match]), tmp_path).match
    assert found.path_separated_prefix == "/v1"
    assert {each.name: each.string_match.exact for each in found.headers} == {"version": "one", ":method": "POST"}
    assert found.query_parameters[0].string_match.safe_regex.regex == "wh.*"


def test_the_most_specific_match_comes_first_whatever_the_order_and_the_route() -> None:
    def matching(*matches: Any) -> Any:
        return rule(to("reviews"), matches=list(matches))

    younger = route("b", matching(path("/", "Exact"), path("/long/prefix")), created="2026-02-01")
    older = route(
        "a", matching(path("/long"), path("/long", method="GET")), matching(path("/x.*", "RegularExpression"))
    )
    found = [
        (each.match.WhichOneof("path_specifier"), [header.name for header in each.match.headers])
        for each in routes(edge().add("HTTPRoute", younger, older))
    ]
    separated = "path_separated_prefix"
    assert found == [("path", []), (separated, []), (separated, [":method"]), (separated, []), ("safe_regex", [])]


def test_of_equal_matches_the_older_routes_counts() -> None:
    younger = route("a", rule(to("reviews"), matches=[path("/x")]), created="2026-02-01")
    older = route("b", rule(to("ratings"), matches=[path("/x")]))
    assert [each.route.cluster for each in routes(edge().add("HTTPRoute", younger, older))] == [RATINGS, REVIEWS]


def test_shares_and_headers_of_backends(tmp_path: Path) -> None:
    change = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X", "value": "1"}]}}
    found = with_rule(rule(to("reviews", weight=9, filters=[change]), to("ratings", weight=1)), tmp_path)
    first, second = found.route.weighted_clusters.clusters
    assert [(first.name, first.weight.value), (second.name, second.weight.value)] == [(REVIEWS, 9), (RATINGS, 1)]
    assert first.request_headers_to_add[0].header.key == "X"


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        (to("nobody"), "BackendNotFound"),
        (to("reviews", port=1), "BackendNotFound"),
        (to("reviews", kind="Thing", group="example.com"), "InvalidKind"),
        (to("reviews", namespace="other"), "RefNotPermitted"),
    ],
)
def test_a_backend_that_is_none_is_answered_with_500(backend: dict[str, Any], reason: str, tmp_path: Path) -> None:
    cluster = edge().add("HTTPRoute", route("r", rule(backend)))
    assert only(cluster).direct_response.status == 500
    assert of_parent(cluster, "HTTPRoute", "r") == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("False", reason)}
    shared = with_rule(rule(backend, to("reviews")), tmp_path).route
    assert len(shared.weighted_clusters.clusters) == 2
    assert shared.cluster_not_found_response_code == shared.INTERNAL_SERVER_ERROR


def test_a_grant_lets_a_route_refer_to_another_namespace() -> None:
    grant = {
        "metadata": {"namespace": "default", "name": "g"},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "shop"}],
            "to": [{"group": "", "kind": "Service", "name": "reviews"}],
        },
    }
    there = [rule(to(name, namespace="default"), matches=[path(f"/{name}")]) for name in ("reviews", "ratings")]
    parent = {"name": "edge", "namespace": "default"}
    cluster = edge().add("HTTPRoute", route("r", *there, parent=parent, namespace="shop"))
    assert {each.direct_response.status for each in routes(cluster)} == {500}
    cluster.add("ReferenceGrant", grant)
    found = {each.match.path_separated_prefix: each for each in routes(cluster)}
    assert found["/reviews"].route.cluster == REVIEWS
    assert found["/ratings"].direct_response.status == 500


@pytest.mark.parametrize(
    ("prefix", "modifier", "expected"),
    [
        ("/foo", {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/xyz/"}, ("^/foo", "/xyz")),
        ("/foo/", {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}, ("^/foo/?", "/")),
        ("/", {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/xyz"}, ("^", "/xyz")),
        ("/foo", {"type": "ReplaceFullPath", "replaceFullPath": "/a\\b"}, ("^.*$", "/a\\\\b")),
    ],
)
def test_rewrites(prefix: str, modifier: dict[str, Any], expected: tuple[str, str], tmp_path: Path) -> None:
    change = {"type": "URLRewrite", "urlRewrite": {"hostname": "other.example", "path": modifier}}
    found = with_rule(rule(to("reviews"), matches=[path(prefix)], filters=[change]), tmp_path).route
    assert (found.regex_rewrite.pattern.regex, found.regex_rewrite.substitution) == expected
    assert found.host_rewrite_literal == "other.example"


def test_redirects(tmp_path: Path) -> None:
    change = {
        "type": "RequestRedirect",
        "requestRedirect": {
            "scheme": "https",
            "hostname": "other.example",
            "statusCode": 301,
            "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"},
        },
    }
    found = with_rule(rule(matches=[path("/old")], filters=[change]), tmp_path).redirect
    assert (found.scheme_redirect, found.host_redirect, found.port_redirect) == ("https", "other.example", 0)
    assert found.regex_rewrite.substitution == "/new"
    assert found.response_code == found.MOVED_PERMANENTLY


def test_mirrors_limits_and_retries(tmp_path: Path) -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": to("ratings"), "percent": 20}}
    found = with_rule(
        rule(
            to("reviews"),
            filters=[mirror],
            timeouts={"request": "10s", "backendRequest": "2s"},
            retry={"codes": [500, 503], "attempts": 3, "backoff": "100ms"},
        ),
        tmp_path,
    ).route
    assert found.request_mirror_policies[0].cluster == RATINGS
    assert found.timeout.seconds == 10
    assert found.retry_policy.per_try_timeout.seconds == 2
    assert found.retry_policy.num_retries.value == 3
    assert list(found.retry_policy.retriable_status_codes) == [500, 503]


def test_cors(tmp_path: Path) -> None:
    cors = {"allowOrigins": ["https://*.example.com", "https://a.example"], "allowMethods": ["GET"], "maxAge": 7}
    found = with_rule(rule(to("reviews"), filters=[{"type": "CORS", "cors": cors}]), tmp_path)
    assert "envoy.filters.http.cors" in found.typed_per_filter_config


@pytest.mark.parametrize(
    "wrong",
    [
        rule(to("reviews"), filters=[{"type": "ExternalAuth", "externalAuth": {}}]),
        rule(to("reviews"), matches=[path("(", "RegularExpression")]),
        rule(to("reviews", filters=[{"type": "RequestRedirect", "requestRedirect": {}}])),
        rule(to("reviews"), novelty={"of": "a later version"}),
    ],
)
def test_what_is_not_carried_out_is_refused_and_takes_no_request(wrong: dict[str, Any]) -> None:
    cluster = edge().add("HTTPRoute", route("r", wrong))
    assert of_parent(cluster, "HTTPRoute", "r")["Accepted"] == ("False", "UnsupportedValue")
    assert not hosts_of(sent(cluster), "http.80")


def test_hosts_are_those_in_common() -> None:
    cluster = edge(gateway(listener(hostname="*.example.com")))
    cluster.add("HTTPRoute", route("r", rule(to("reviews")), hostnames=["a.example.com", "elsewhere.org"]))
    assert hosts_of(sent(cluster), "http.80").keys() == {"a.example.com:80"}
    cluster.add("HTTPRoute", route("q", rule(to("reviews")), hostnames=["elsewhere.org"]))
    assert of_parent(cluster, "HTTPRoute", "q")["Accepted"] == ("False", "NoMatchingListenerHostname")


def test_a_request_is_for_the_listener_with_the_nearest_host_only() -> None:
    cluster = edge(gateway(listener("all"), listener("near", hostname="a.example.com")))
    parent = {"name": "edge", "sectionName": "all"}
    cluster.add(
        "HTTPRoute", route("r", rule(to("reviews")), parent=parent, hostnames=["a.example.com", "b.example.com"])
    )
    found = hosts_of(sent(cluster), "http.80")
    assert found["b.example.com:80"].routes[0].route.cluster == REVIEWS
    assert found["a.example.com:80"].routes[0].direct_response.status == 404


def test_a_host_by_name_is_nearer_than_a_wildcard_of_the_same_length() -> None:
    wide, near = listener("wide", hostname="*.example.com"), listener("near", hostname="a.example.com")
    cluster = edge(gateway(wide, near))
    at_wide = route("r", rule(to("reviews")), parent={"name": "edge", "sectionName": "wide"})
    at_wide["spec"]["hostnames"] = ["a.example.com", "b.example.com"]
    cluster.add("HTTPRoute", at_wide)
    found = hosts_of(sent(cluster), "http.80")
    assert found["b.example.com:80"].routes[0].route.cluster == REVIEWS
    assert found["a.example.com:80"].routes[0].direct_response.status == 404


def modified(kind: str, field: str, **operations: Any) -> dict[str, Any]:
    return {"type": kind, field: operations}


@pytest.mark.parametrize(
    ("written", "sent_on"),
    [("100%", "100%%"), ("%20", "%%20"), ("%PROTOCOL%", "%PROTOCOL%"), ("plain", "plain")],
)
def test_a_percent_sign_is_one_unless_it_begins_a_command_of_envoys(tmp_path: Path, written: str, sent_on: str) -> None:
    setting = modified("RequestHeaderModifier", "requestHeaderModifier", set=[{"name": "x", "value": written}])
    found = with_rule(rule(to("reviews"), filters=[setting]), tmp_path)
    assert [each.header.value for each in found.request_headers_to_add] == [sent_on]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            rule(to("reviews"), matches=[{"headers": [{"name": "x", "type": "RegularExpression", "value": ""}]}]),
            "empty",
        ),
        (
            rule(
                to("reviews"),
                filters=[modified("RequestHeaderModifier", "requestHeaderModifier", remove=["host"])],
            ),
            "host can only be set",
        ),
    ],
)
def test_what_envoy_would_refuse_is_refused_on_the_route(wrong: dict[str, Any], says: str) -> None:
    cluster = edge().add("HTTPRoute", route("r", wrong))
    assert of_parent(cluster, "HTTPRoute", "r")["Accepted"] == ("False", "UnsupportedValue")
    (parent,) = status(cluster, "HTTPRoute", "r")["parents"]
    assert says in parent["conditions"][0]["message"]

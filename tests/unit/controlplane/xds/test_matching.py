"""VirtualService.http[].match: Envoy's matches, and which rules concern a client."""

from __future__ import annotations

from mesh_lab.controlplane.model.base import StringMatch
from mesh_lab.controlplane.model.virtualservice import HTTPMatchRequest
from mesh_lab.controlplane.xds.matching import route_match
from tests.unit.controlplane.cluster import bookinfo
from tests.unit.controlplane.xds.translated import routes_to
from tests.unit.controlplane.xds.virtualservices import only, reviews, to


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


def test_where_gateways_are_named_labels_count_for_nothing() -> None:
    match = {"gateways": ["mesh"], "sourceLabels": {"app": "details"}, "sourceNamespace": "elsewhere"}
    assert only(bookinfo().istio(reviews({"match": [match], "route": [to()]}))).route.cluster


def test_a_rule_of_a_match_counts_under_its_own_name() -> None:
    rule = {"name": "rule", "match": [{"name": "m", "statPrefix": "mine"}], "route": [to()]}
    route = only(bookinfo().istio(reviews(rule)))
    assert (route.name, route.stat_prefix) == ("rule.m", "mine")
    nameless = reviews({"match": [{"name": "m"}], "route": [to()]})
    assert only(bookinfo().istio(nameless)).name == ".m", "as in Istio"


def test_a_header_without_which_a_rule_holds_may_have_any_value() -> None:
    rule = {"match": [{"withoutHeaders": {"x": {"regex": "*"}}}], "route": [to()]}
    (header,) = routes_to(bookinfo().istio(reviews(rule)))[0].match.headers
    assert (header.present_match, header.invert_match) == (True, True)


def test_claims_of_a_token_are_looked_up_where_the_gateway_has_left_them() -> None:
    match = HTTPMatchRequest(
        headers={"@request.auth.claims.groups": StringMatch(exact="admins"), "x": StringMatch()},
        without_headers={"@request.auth.claims[org][team]": StringMatch(prefix="r")},
    )
    found = route_match(match)
    assert [header.name for header in found.headers] == ["x"]
    wanted, unwanted = found.dynamic_metadata
    assert [segment.key for segment in wanted.path] == ["payload", "groups"]
    assert [segment.key for segment in unwanted.path] == ["payload", "org", "team"]
    assert (wanted.invert, unwanted.invert) == (False, True)
    in_list, text = wanted.value.or_match.value_matchers
    assert in_list.list_match.one_of.string_match.exact == text.string_match.exact == "admins"

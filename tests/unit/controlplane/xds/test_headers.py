"""What rules do to headers, and to the host of a request."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValueOption

from mesh_lab.controlplane.model.virtualservice import HeaderOperations, Headers
from mesh_lab.controlplane.xds.headers import header_options, host_of
from tests.unit.controlplane.cluster import bookinfo
from tests.unit.controlplane.xds.virtualservices import only, reviews, to


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


def test_an_authority_that_is_added_is_one_that_is_set() -> None:
    added = {"request": {"add": {"Host": "x.example", "a": "b"}}}
    route = only(bookinfo().istio(reviews({"route": [to()], "headers": added})))
    assert route.route.host_rewrite_literal == "x.example"
    assert [option.header.key for option in route.request_headers_to_add] == ["a"]

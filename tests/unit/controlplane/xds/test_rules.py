"""The rules of a VirtualService: their order, and the destinations that they share requests among."""

from __future__ import annotations

import pytest

from tests.unit.controlplane.cluster import bookinfo, pod
from tests.unit.controlplane.xds.translated import REVIEWS, routes_to
from tests.unit.controlplane.xds.virtualservices import only, reviews, to


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


def test_a_client_that_no_rule_concerns_is_served_as_if_there_were_none() -> None:
    rule = {"match": [{"sourceLabels": {"app": "details"}}], "route": [to(subset="v2")]}
    cluster = bookinfo().istio(reviews(rule))
    assert only(cluster).route.cluster == f"outbound|9080||{REVIEWS}"
    assert [r.route.cluster for r in routes_to(cluster, pod="details-v1-abc-1")] == [f"outbound|9080|v2|{REVIEWS}"]


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


def test_a_route_notes_its_virtual_service_where_istioctl_looks_for_it() -> None:
    ruled = only(bookinfo().istio(reviews({"route": [to(subset="v1")]})))
    noted = ruled.metadata.filter_metadata["istio"].fields["config"].string_value
    assert noted.startswith("/apis/networking.istio.io/v1/namespaces/default/virtual-service/")
    assert not only(bookinfo()).metadata.filter_metadata, "no rule, no note"

"""Bookinfo, from its manifests to its page."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lab.harness.assertions import assert_all, assert_split
from lab.harness.mesh import Mesh
from lab.harness.results import Results, parse_results
from lab.harness.traffic import TrafficClient

from .conftest import ROOT

APPS = ROOT / "manifests" / "apps"
SCENARIOS = ROOT / "manifests" / "scenarios"
PAGE = "http://productpage:9080/productpage"
REVIEWS = "http://productpage:9080/api/v1/products/0/reviews"


@pytest.fixture(scope="module")
def bookinfo(shared_mesh: Mesh) -> Mesh:
    for manifest in ("bookinfo.yaml", "destination-rules.yaml"):
        shared_mesh.apply(APPS / manifest)
    shared_mesh.deploy_client()
    shared_mesh.ready()
    shared_mesh.wait_endpoints("reviews", 3)
    return shared_mesh


@pytest.fixture
def client(bookinfo: Mesh) -> TrafficClient:
    return bookinfo.client()


def by_reviews(results: Results) -> Results:
    """The results with the version of reviews that served each, read from the pod's name in its body."""
    found = [(result, re.search(r"reviews-(v\d)-", result.body)) for result in results]
    return Results(replace(result, version=pod[1] if pod else "none") for result, pod in found)


def test_the_page_comes_with_details_and_reviews_of_every_version(client: TrafficClient) -> None:
    # At random one of three versions is missing from 60 answers once in ten thousand million runs.
    results = client.send(PAGE, 60, concurrency=3, show_body=True)
    assert_all(results)
    assert all("William Shakespeare" in result.body for result in results)
    assert set(by_reviews(results).counts("version")) == {"v1", "v2", "v3"}


def test_requests_are_sent_by_kubectl_exec_as_the_readme_says(bookinfo: Mesh) -> None:
    send = ("mesh-lab-app", "send", "--count", "100", "--concurrency", "10", "--show-body")
    printed = bookinfo.exec("deploy/client", *send, "http://reviews:9080/reviews/0", container="client")
    results = parse_results(printed.splitlines())
    assert_all(results)
    assert len(results) == 100
    assert set(by_reviews(results).counts("version")) == {"v1", "v2", "v3"}


def test_the_canary_scenario_sends_one_in_ten_to_the_new_version(bookinfo: Mesh, client: TrafficClient) -> None:
    with bookinfo.applied(SCENARIOS / "canary-90-10.yaml"):
        results = client.send("http://reviews:9080/reviews/0", 600, concurrency=6, show_body=True)
    assert_all(results)
    assert_split(by_reviews(results), {"v1": 90, "v3": 10})


def test_the_delay_scenario_breaks_the_page_for_jason_alone(bookinfo: Mesh, client: TrafficClient) -> None:
    jason = {"cookie": "session=jason"}
    with (
        bookinfo.applied(SCENARIOS / "header-routing.yaml"),
        bookinfo.applied(SCENARIOS / "fault-delay.yaml"),
        client.sending(PAGE, headers=jason, show_body=True, timeout=20) as slow,
    ):
        others = client.send(PAGE, 5, show_body=True)
        broken = slow.results()
    assert "Sorry, product reviews are currently unavailable" in broken[0].body
    assert 5900 <= broken[0].duration_ms < 12000, "two attempts of three seconds each"
    assert set(by_reviews(others).counts("version")) == {"v1"}

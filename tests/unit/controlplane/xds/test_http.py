"""What all HTTP listeners share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from lab.controlplane.xds import TYPE_LISTENER
from tests.unit.controlplane.cluster import Cluster, pod
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.translated import resources

ASKING = (
    {"sidecar.istio.io/statsInclusionRegexps": ".*upstream_rq_[2345]xx"},
    {"sidecar.istio.io/statsInclusionSuffixes": "upstream_rq_200"},
    {"proxy.istio.io/config": "proxyStatsMatcher: {inclusionPrefixes: [cluster.outbound]}"},
)


def routers(listener: Listener) -> Iterator[Router]:
    """The last HTTP filter of each chain that speaks HTTP."""
    for chain in listener.filter_chains:
        manager = HttpConnectionManager()
        if chain.filters[-1].typed_config.Unpack(manager):
            router = Router()
            assert manager.http_filters[-1].typed_config.Unpack(router)
            yield router


def counts_answers(annotations: dict[str, str]) -> set[bool]:
    """Whether the routers of a pod, as client and as server, count answers by their code."""
    web = pod("web-1", "10.244.0.9", app="web")
    web["metadata"]["annotations"] = annotations
    cluster = Cluster().app("web", ("http", 80), pods=[web])
    listeners = [message(built) for built in resources(cluster, "web-1")[TYPE_LISTENER].values()]
    found = [router.dynamic_stats.value for listener in listeners for router in routers(listener)]
    assert len(found) >= 3, "a listener for what is sent, two chains for what is received"
    return set(found)


def test_nobody_counts_answers_that_no_statistics_keep() -> None:
    assert counts_answers({"proxy.istio.io/config": "concurrency: 2"}) == {False}


@pytest.mark.parametrize("annotations", ASKING, ids=["regexps", "suffixes", "config"])
def test_a_pod_that_asks_for_statistics_has_its_answers_counted(annotations: dict[str, str]) -> None:
    assert counts_answers(annotations) == {True}

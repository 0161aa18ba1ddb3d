"""What all HTTP listeners share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from mesh_lab.controlplane.model.mesh import PathNormalization
from mesh_lab.controlplane.world.meshconfig import MeshConfig, Normalization
from mesh_lab.controlplane.xds.http import connection_manager
from mesh_lab.controlplane.xds.peers import Own
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.typeurls import LDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, mesh_config, pod
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.translated import listener_of, resources

KEPT, UNESCAPED = HttpConnectionManager.KEEP_UNCHANGED, HttpConnectionManager.UNESCAPE_AND_FORWARD
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
    listeners = [message(built) for built in resources(cluster, "web-1")[LDS].values()]
    found = [router.dynamic_stats.value for listener in listeners for router in routers(listener)]
    assert len(found) >= 3, "a listener for what is sent, two chains for what is received"
    return set(found)


def test_nobody_counts_answers_that_no_statistics_keep() -> None:
    assert counts_answers({"proxy.istio.io/config": "concurrency: 2"}) == {False}


@pytest.mark.parametrize("annotations", ASKING, ids=["regexps", "suffixes", "config"])
def test_a_pod_that_asks_for_statistics_has_its_answers_counted(annotations: dict[str, str]) -> None:
    assert counts_answers(annotations) == {True}


@pytest.mark.parametrize(
    ("how", "normalized", "merged", "escaped"),
    [
        ("DEFAULT", True, False, KEPT),
        ("BASE", True, False, KEPT),
        ("NONE", False, False, KEPT),
        ("MERGE_SLASHES", True, True, KEPT),
        ("DECODE_AND_MERGE_SLASHES", True, True, UNESCAPED),
    ],
)
def test_paths_are_normalized_as_the_mesh_asks(
    how: Normalization, normalized: bool, merged: bool, escaped: int
) -> None:
    context = ProxyContext(MeshConfig(path_normalization=PathNormalization(how)), Own(""))
    made = connection_manager("inbound", "x", context, ())
    assert made.normalize_path.value is normalized
    assert (made.merge_slashes, made.path_with_escaped_slashes_action) == (merged, escaped)


def test_the_setting_reaches_what_clients_and_servers_send_and_take() -> None:
    cluster = bookinfo().add("ConfigMap", mesh_config("pathNormalization: {normalization: MERGE_SLASHES}"))
    found = []
    for name in ("0.0.0.0_9080", "virtualInbound"):
        listener = listener_of(cluster, name)
        chains = [*listener.filter_chains, listener.default_filter_chain]
        for each in (each for chain in chains for each in chain.filters):
            manager = HttpConnectionManager()
            if each.typed_config.Unpack(manager) and manager.stat_prefix not in ("stats", "agent"):
                found.append((name, manager.merge_slashes))
    assert {name for name, merged in found if merged} == {"0.0.0.0_9080", "virtualInbound"}

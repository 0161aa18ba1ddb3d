"""What all HTTP connection managers share."""

from __future__ import annotations

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from lab.controlplane.meshconfig import Normalization
from lab.controlplane.xds.http import connection_manager
from tests.unit.controlplane.cluster import bookinfo, mesh_config
from tests.unit.controlplane.xds.translated import listener_of

KEPT, UNESCAPED = HttpConnectionManager.KEEP_UNCHANGED, HttpConnectionManager.UNESCAPE_AND_FORWARD


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
    made = connection_manager("inbound", "x", (), paths=how)
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

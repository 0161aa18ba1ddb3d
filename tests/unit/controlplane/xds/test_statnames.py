"""The names of clusters in Envoy's statistics."""

from __future__ import annotations

import pytest

from tests.unit.controlplane.cluster import bookinfo, config, mesh_config
from tests.unit.controlplane.xds.translated import REVIEWS, cluster_of

NAME = f"outbound|9080|v1|{REVIEWS}"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", f"{NAME};"),
        ("%SERVICE%_%SERVICE_PORT%_%SUBSET_NAME%", "reviews.default_9080_v1;"),
        ("%SERVICE_NAME%/%SERVICE_FQDN%/%SERVICE_PORT_NAME%", f"reviews/{REVIEWS}/http;"),
    ],
)
def test_outbound(pattern: str, expected: str) -> None:
    subsets = config("DestinationRule", "r", {"host": "reviews", "subsets": [{"name": "v1", "labels": {"a": "b"}}]})
    cluster = bookinfo().istio(subsets).add("ConfigMap", mesh_config(f'outboundClusterStatName: "{pattern}"'))
    assert cluster_of(cluster, NAME).alt_stat_name == expected


def test_inbound() -> None:
    cluster = bookinfo()
    assert cluster_of(cluster, "inbound|9080||").alt_stat_name == "inbound|9080||;"
    cluster.add("ConfigMap", mesh_config('inboundClusterStatName: "%SERVICE%:%TARGET_PORT%"'))
    assert cluster_of(cluster, "inbound|9080||").alt_stat_name == "productpage.default:9080;"


def test_what_is_of_no_service_has_its_own_name() -> None:
    cluster = bookinfo().add("ConfigMap", mesh_config('outboundClusterStatName: "%SERVICE%"'))
    for name in ("PassthroughCluster", "BlackHoleCluster"):
        assert cluster_of(cluster, name).alt_stat_name == f"{name};"

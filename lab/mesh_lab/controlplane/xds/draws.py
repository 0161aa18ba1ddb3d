"""Splits that are drawn by a header, for proxies that ask for it: what no chance decides, a test can count exactly.

Envoy draws a destination by weights from a random number. A route may name a header instead
(`WeightedCluster.header_name`): the number that a request has there, modulo the sum of the weights, says which it is.
Requests without the header are drawn at random as ever. A proxy asks by its node's metadata, so that nobody else's
routes change; the harness' clients do, for `assert_route_splits(..., exact=True)`. It has no counterpart in Istio.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.xds.built import Built, build
from mesh_lab.controlplane.xds.memo import memoised

METADATA = "MESH_LAB_DRAW_HEADER"
"""The name in the node's metadata; in a pod's `proxyMetadata` it has the prefix `ISTIO_META_`."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def header_of(proxy: Proxy) -> str:
    """The header that a proxy asks for; empty for none, or for what is no name of a header."""
    name = str(proxy.metadata.get(METADATA, "")).lower()
    return name if _NAME.fullmatch(name) else ""


def by_header(routes: Mapping[str, Built], header: str) -> Mapping[str, Built]:
    """The routes, their weighted destinations drawn by this header."""
    return {name: _drawn(built, header) for name, built in routes.items()}


@memoised
def _drawn(built: Built, header: str) -> Built:
    routes = RouteConfiguration.FromString(AnyMessage.FromString(built.body).value)
    weighted = [
        route.route.weighted_clusters
        for host in routes.virtual_hosts
        for route in host.routes
        if route.route.HasField("weighted_clusters")
    ]
    if not weighted:
        return built
    for each in weighted:
        each.header_name = header
    message = routes.SerializeToString(deterministic=True)
    return build(built.type_url, built.name, message, built.origins, built.secrets)

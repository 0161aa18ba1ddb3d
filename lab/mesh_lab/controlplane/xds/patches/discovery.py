"""Which configurations of extensions a listener asks for by name (ECDS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.xds.built import Built
from mesh_lab.controlplane.xds.memo import memoised


@memoised
def discovered(built: Built) -> tuple[str, ...]:
    """The names that the filters of a listener take their configurations from."""
    listener = Listener.FromString(AnyMessage.FromString(built.body).value)
    return tuple(each.name for each in _filters(listener) if each.HasField("config_discovery"))


def _filters(listener: Any) -> Iterator[Any]:
    yield from listener.listener_filters
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for each in chain.filters:
            yield each
            manager = HttpConnectionManager()
            if each.typed_config.Unpack(manager):
                yield from manager.http_filters

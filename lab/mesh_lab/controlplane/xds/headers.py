"""Header operations of a VirtualService. Envoy takes the authority apart from other headers."""

from __future__ import annotations

from collections.abc import Mapping

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import WeightedCluster

from mesh_lab.controlplane.model.virtualservice import HeaderOperations, Headers


def header_options(operations: HeaderOperations | None) -> list[HeaderValueOption]:
    """Headers that are set (over what is there) or added (beside it)."""
    if operations is None:
        return []
    return [
        *_options(operations.set, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
        *_options(operations.add, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD),
    ]


def _options(headers: Mapping[str, str], how: int) -> list[HeaderValueOption]:
    return [
        HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=how)
        for name, value in sorted(headers.items())
        if not _is_host(name)
    ]


def _is_host(name: str) -> bool:
    return name.lower() in ("host", ":authority")


def host_of(headers: Headers | None) -> str | None:
    """The authority that header operations set, or else add: Envoy takes it apart from other headers."""
    if headers is None or headers.request is None:
        return None
    given = (*headers.request.set.items(), *headers.request.add.items())
    return next((value for name, value in given if _is_host(name)), None)


def apply_headers(target: WeightedCluster.ClusterWeight, headers: Headers) -> None:
    """Header operations on a route, or on a cluster's share of one."""
    target.request_headers_to_add.extend(header_options(headers.request))
    target.response_headers_to_add.extend(header_options(headers.response))
    target.request_headers_to_remove.extend(headers.request.remove if headers.request else ())
    target.response_headers_to_remove.extend(headers.response.remove if headers.response else ())

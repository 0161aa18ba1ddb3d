"""Rules that the routes of all protocols share: where they lead, by which shares, and what they match of the client."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model.virtualservice import (
    Destination,
    HTTPMatchRequest,
    L4MatchAttributes,
    TLSMatchAttributes,
)
from mesh_lab.controlplane.validation.common import Problem, error
from mesh_lab.controlplane.validation.names import gateway_names, host_name, is_label, labels


def destination(path: str, given: Destination) -> Iterator[Problem]:
    """Problems of a destination."""
    if given.host == "*":
        yield error(f"{path}.host", "invalid destination host *")
    else:
        yield from host_name(f"{path}.host", given.host)
    if given.subset and not is_label(given.subset):
        yield error(f"{path}.subset", f"subset name is invalid: {given.subset}")
    if given.port is not None and not 1 <= given.port.number <= 65535:
        yield error(f"{path}.port.number", f"port number {given.port.number} must be in the range 1..65535")


def shares(path: str, weights: list[int]) -> Iterator[Problem]:
    """Problems of how requests or connections are divided."""
    if not weights:
        yield error(f"{path}.route", "a route to one destination at least is required")
    if len(weights) > 1 and not any(weights):
        yield error(f"{path}.route", "total destination weight = 0")


def source(path: str, match: HTTPMatchRequest | L4MatchAttributes | TLSMatchAttributes) -> Iterator[Problem]:
    """Problems of a match's conditions on the client, the gateway and the port."""
    if match.port and not 1 <= match.port <= 65535:
        yield error(f"{path}.port", f"port number {match.port} must be in the range 1..65535")
    yield from labels(f"{path}.sourceLabels", match.source_labels)
    yield from gateway_names(f"{path}.gateways", match.gateways)
    if match.source_namespace and not is_label(match.source_namespace):
        yield error(f"{path}.sourceNamespace", f"sourceNamespace match {match.source_namespace} is invalid")

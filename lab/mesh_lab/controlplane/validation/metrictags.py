"""The expressions of Telemetry's tags: those about a peer, which `xds.scraping` answers, and those that Envoy computes.

https://istio.io/latest/docs/tasks/observability/metrics/customize-metrics/
"""

from __future__ import annotations

import re

_PEER_FIELDS = {
    "workload": "workload",
    "namespace": "workload_namespace",
    "service": "canonical_service",
    "revision": "canonical_revision",
    "app": "app",
    "version": "version",
    "cluster": "cluster",
}
_LABELS = {"app": "app", "version": "version"}
_OF_PEER = re.compile(
    r"\s*(?:filter_state\.)?(?P<side>up|down)stream_peer"
    r"(?:\.(?P<field>[a-z]+)|\.labels\[['\"](?P<label>[^'\"]+)['\"]\](?:\.value)?)\s*"
)
_IN_STRING = re.compile(r"\s*string\((?P<inner>[^()]*)\)\s*")


def peer_label(expression: str) -> str | None:
    """The standard label that an expression about a peer means; empty where no proxy here knows what it asks for.

    None: it is not about a peer only. An application is the upstream of its own sidecar, which tells nothing of it.
    """
    found = _OF_PEER.fullmatch(expression)
    if found is None:
        return None
    field = _LABELS.get(found["label"]) if found["label"] else _PEER_FIELDS.get(found["field"])
    if field is None:
        return ""
    return f"{'destination' if found['side'] == 'up' else 'source'}_{field}"


def value_of(text: str) -> str:
    """The expression as Envoy takes it: it writes every value as a text anyhow, and has no function for that."""
    found = _IN_STRING.fullmatch(text)
    one_line = " ".join((found["inner"] if found is not None else text).split("\n"))
    return one_line.replace(")%", ") %").strip()

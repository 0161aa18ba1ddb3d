"""A workload in the metrics: Istio's labels, from the labels of its pod, packed into one string.

A client's sidecar learns of the server from the name of the endpoint that it chose. A server's sidecar learns of the
client from a name in its certificate that exists only for this or, in plain text, from a header that the client's
sidecar adds and the server's takes away; without either the labels are `unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mesh_lab.controlplane.world.annotations import parse_boolean
from mesh_lab.controlplane.world.kubernetes import Pod
from mesh_lab.controlplane.world.proxy import Proxy

DNS_CAPTURE = "DNS_CAPTURE"
"""By which a node says that it captures DNS; its agent's variable is `ISTIO_META_DNS_CAPTURE`."""
UNKNOWN = "unknown"
SEPARATOR = "|"
FIELDS = ("workload", "workload_namespace", "app", "version", "canonical_service", "canonical_revision", "principal")
"""The fields of a peer in the order in which they are packed; each is a label after `source_` or `destination_`.

The principal is left out where it would be an unverified claim.
"""


class Own(NamedTuple):
    """What a proxy's listeners know of the workload that it is part of.

    `packed` are its labels for the metrics. `more_statistics`: its pod requests statistics of Envoy's beside those that
    every proxy keeps. `captures_dns`: it answers its pod's questions of DNS.
    """

    packed: str
    more_statistics: bool = False
    captures_dns: bool = False


def own_of(proxy: Proxy) -> Own:
    """The workload that a proxy is part of."""
    captures_dns = parse_boolean(proxy.metadata.get(DNS_CAPTURE, "")) is True
    return Own(pack_verified(proxy), proxy.more_statistics, captures_dns)


def pack(pod: Pod) -> str:
    """The fields of a pod."""
    return pack_fields(pod.namespace, pod.workload, pod.labels)


def pack_fields(namespace: str, workload: str, labels: Mapping[str, str]) -> str:
    """The fields of a workload. The canonical ones fall back on what Kubernetes itself recommends, as Istio's do."""
    app = labels.get("app", "")
    version = labels.get("version", "")
    name = labels.get("service.istio.io/canonical-name") or labels.get("app.kubernetes.io/name") or app or workload
    revision = labels.get("service.istio.io/canonical-revision") or labels.get("app.kubernetes.io/version") or version
    return SEPARATOR.join((workload, namespace, app, version, name, revision or "latest"))


def pack_verified(proxy: Proxy) -> str:
    """The fields of a proxy's workload, and its identity."""
    return SEPARATOR.join((pack_fields(proxy.namespace, proxy.workload, proxy.labels), proxy.principal))

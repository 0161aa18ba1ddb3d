"""The names of Envoy's resources, which are Istio's, so that they mean the same there."""

from __future__ import annotations

PASSTHROUGH_CLUSTER = "PassthroughCluster"
BLACK_HOLE_CLUSTER = "BlackHoleCluster"
INBOUND_PASSTHROUGH_CLUSTER = "InboundPassthroughCluster"

VIRTUAL_OUTBOUND = "virtualOutbound"
VIRTUAL_INBOUND = "virtualInbound"
DNS = "dns"
OUTBOUND_PORT = 15001
INBOUND_PORT = 15006
DNS_PORT = 15053
OWN_PORTS = frozenset({OUTBOUND_PORT, INBOUND_PORT})
"""Where a sidecar itself listens, at all addresses: no service can be called there."""
# The source address of a proxy's connections to its application.
INBOUND_SOURCE = "127.0.0.6"
INBOUND_SOURCE_OF_IPV6 = "::6"

DEFAULT_SECRET = "default"
ROOT_SECRET = "ROOTCA"


def outbound_cluster(port: int, subset: str, host: str) -> str:
    """The endpoints of a service's port, or of a subset of them."""
    return f"outbound|{port}|{subset}|{host}"


def own_cluster(port: int, subset: str, host: str) -> str:
    """The same, of a cluster whose name stands for them and for others that stand in for them."""
    return f"own|{port}|{subset}|{host}"


def inbound_cluster(port: int) -> str:
    """The application behind a sidecar."""
    return f"inbound|{port}||"


def statistics(name: str) -> str:
    """A name at the head of statistics' names. The mark at its end, which is Istio's, tells where it ends."""
    return f"{name};"


def operation(host: str, port: int, path: str = "/*") -> str:
    """What Istio calls the spans of requests to a host."""
    return f"{host}:{port}{path}"


def sni(port: int, subset: str, host: str) -> str:
    """The server name that a client's sidecar sends for a cluster."""
    return f"outbound_.{port}_.{subset}_.{host}"


def listener(address: str, port: int) -> str:
    """A listener for connections to an address, or to any (`0.0.0.0`), or at a socket (`unix://PATH`, with port 0)."""
    return f"{address}_{port}" if port else address


def gateway_secret(name: str) -> str:
    """A Secret in the gateway's namespace, over SDS."""
    return f"kubernetes://{name}"


def policy_secret(name: str) -> str:
    """The authorities that a BackendTLSPolicy (`namespace/name`) names, over SDS."""
    return f"backendtlspolicy://{name}"

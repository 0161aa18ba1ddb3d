"""A mesh with a gateway, and short ways to what its proxy is sent."""

from __future__ import annotations

import base64
from typing import Any

from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext

from mesh_lab.controlplane.xds import Resources
from mesh_lab.controlplane.xds.typeurls import LDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, pod, service
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.translated import resources

HTTPS = "0.0.0.0_8443"
PORTS = [
    {"name": "http2", "port": 80, "targetPort": 8080},
    {"name": "https", "port": 443, "targetPort": 8443},
    {"name": "tcp", "port": 9000, "targetPort": "raw"},
]


def edge(proxy_config: str = "") -> Cluster:
    """Bookinfo with a gateway's pod in istio-system, which may have settings of its own."""
    gate = pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", istio="ingressgateway", meshed=False)
    gate["spec"]["containers"] = [{"name": "istio-proxy", "ports": [{"name": "raw", "containerPort": 9001}]}]
    gate["metadata"]["annotations"] = {"proxy.istio.io/config": proxy_config} if proxy_config else {}
    cluster = bookinfo().add("Pod", gate)
    cluster.add("Service", service("gate", namespace="istio-system", ip="10.96.9.9", ports=PORTS))
    return secret(cluster, "cert")


def secret(
    cluster: Cluster, name: str, namespace: str = "istio-system", keys: tuple[str, ...] = ("tls.crt", "tls.key")
) -> Cluster:
    data = {key: base64.b64encode(b"pem").decode() for key in keys}
    return cluster.add("Secret", {"metadata": {"namespace": namespace, "name": name}, "data": data})


def server(port: int = 80, protocol: str = "HTTP", *hosts: str, **tls: Any) -> dict[str, Any]:
    name = "-".join([protocol.lower(), str(port), *hosts])
    found: dict[str, Any] = {
        "port": {"number": port, "name": name, "protocol": protocol},
        "hosts": list(hosts) or ["*"],
    }
    return found | ({"tls": tls} if tls else {})


def gateway(*servers: dict[str, Any], name: str = "front", namespace: str = "default", **more: Any) -> dict[str, Any]:
    return config(
        "Gateway",
        name,
        {"selector": {"istio": "ingressgateway"}, "servers": list(servers)},
        namespace=namespace,
        **more,
    )


def route(*hosts: str, to: str = "productpage", name: str = "r", **spec: Any) -> dict[str, Any]:
    rules = {"http": [{"route": [{"destination": {"host": to, "port": {"number": 9080}}}]}]}
    return config("VirtualService", name, {"hosts": list(hosts) or ["*"], "gateways": ["front"], **rules, **spec})


def sent(cluster: Cluster) -> Resources:
    return resources(cluster, "gate-1", namespace="istio-system", kind="router")


def chains(cluster: Cluster, name: str) -> list[Any]:
    return list(message(sent(cluster)[LDS][name]).filter_chains)


def context(chain: Any) -> DownstreamTlsContext:
    found = DownstreamTlsContext()
    assert chain.transport_socket.typed_config.Unpack(found)
    return found

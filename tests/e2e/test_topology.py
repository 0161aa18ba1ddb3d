"""Gateways behind other proxies: whose address counts, by a header and by the PROXY protocol.

https://istio.io/latest/docs/ops/configuration/traffic-management/network-topologies/
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh_lab.testing import Mesh, Object, TrafficClient, assert_all, authorization_policy, gateway

from .pods import deployment

HOST = "behind.example"
KNOWN, OTHER = "203.0.113.7", "203.0.113.8"
ASK = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 80), timeout=10)
try:
    connection.sendall(sys.argv[2].encode().decode("unicode_escape").encode())
    print(connection.makefile().readline() or "closed")
except ConnectionResetError:
    print("closed")
"""


@pytest.fixture(scope="module")
def behind(mesh_shared: Mesh, outside: Mesh) -> Mesh:
    """Two gateways, one behind a proxy that adds to `x-forwarded-for`, one behind one that speaks the PROXY protocol.

    Both let in the one address only that is known.
    """
    mesh_shared.deploy_echo("echo")
    outside.deploy_client("visitor")
    opened = gateway("behind", {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [HOST]})
    opened["spec"]["selector"] = {"topology": "behind"}
    known = {"from": [{"source": {"remoteIpBlocks": [KNOWN]}}]}
    mesh_shared.apply(
        [
            own_gateway("by-header", {"numTrustedProxies": 1}),
            own_gateway("by-protocol", {"proxyProtocol": {}}),
            opened,
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": {"name": "behind"},
                "spec": {
                    "hosts": [HOST],
                    "gateways": ["behind"],
                    "http": [{"route": [{"destination": {"host": "echo", "port": {"number": 80}}}]}],
                },
            },
            authorization_policy("by-header", "ALLOW", "by-header", known),
            authorization_policy("by-protocol", "ALLOW", "by-protocol", known),
        ]
    )
    mesh_shared.ready()
    outside.ready()
    mesh_shared.wait_endpoints("echo", 1)
    return mesh_shared


def own_gateway(name: str, topology: dict[str, Any]) -> Object:
    made = deployment(name, {"name": "istio-proxy", "image": "auto"})
    template = made["spec"]["template"]
    template["metadata"]["annotations"] = {
        "inject.istio.io/templates": "gateway",
        "proxy.istio.io/config": json.dumps({"gatewayTopology": topology}),
    }
    template["metadata"]["labels"] |= {"topology": "behind", "sidecar.istio.io/inject": "true"}
    template["spec"]["securityContext"] = {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
    return made


@pytest.fixture
def visitor(outside: Mesh) -> TrafficClient:
    return outside.client("visitor")


def address(mesh: Mesh, app: str) -> str:
    return str(mesh.pod(app)["status"]["podIP"])


def test_the_address_counts_that_the_proxy_before_a_gateway_has_added(behind: Mesh, visitor: TrafficClient) -> None:
    url = f"http://{address(behind, 'by-header')}/"

    def ask(forwarded_for: str) -> Any:
        return visitor.send(url, 3, headers={"host": HOST, "x-forwarded-for": forwarded_for})

    assert_all(ask(KNOWN))
    assert_all(ask(OTHER), status=403)
    assert_all(ask(f"{OTHER}, {KNOWN}"))
    assert_all(ask(f"{KNOWN}, {OTHER}"), status=403)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (f"PROXY TCP4 {KNOWN} 192.0.2.1 4000 80", "200"),
        (f"PROXY TCP4 {OTHER} 192.0.2.1 4000 80", "403"),
        ("", "closed"),
    ],
)
def test_the_address_counts_that_the_proxy_protocol_says(behind: Mesh, outside: Mesh, said: str, expected: str) -> None:
    request = f"GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n"
    text = (f"{said}\r\n" if said else "") + request
    escaped = text.encode("unicode_escape").decode()
    pod = outside.pod("visitor")["metadata"]["name"]
    assert expected in outside.exec(pod, "python3", "-c", ASK, address(behind, "by-protocol"), escaped).split()

"""What a Sidecar states of the ports on which its workload is called, and calls."""

from __future__ import annotations

import json

import pytest

from mesh_lab.testing import Mesh, Object, assert_all, eventually, service

from .certificates import issue
from .pods import deployment, echo


def stated(tls: Object) -> list[Object]:
    """Port 9443 ends TLS with the files of a Secret; the mesh's own TLS gives way to it there."""
    listener = {
        "port": {"number": 9443, "protocol": "HTTPS", "name": "external"},
        "defaultEndpoint": "0.0.0.0:8080",
        "tls": tls,
    }
    selected = {"labels": {"app": "shop"}}
    return [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Sidecar",
            "metadata": {"name": "shop"},
            "spec": {"workloadSelector": selected, "ingress": [listener]},
        },
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {"name": "shop"},
            "spec": {
                "selector": {"matchLabels": {"app": "shop"}},
                "mtls": {"mode": "STRICT"},
                "portLevelMtls": {"9443": {"mode": "DISABLE"}},
            },
        },
    ]


@pytest.mark.mesh_clusters("embedded")  # Istio itself does it behind ENABLE_TLS_ON_SIDECAR_INGRESS only
def test_a_sidecar_ends_tls_of_its_own_for_clients_outside_of_the_mesh(mesh_shared: Mesh, outside: Mesh) -> None:
    host = f"shop.{mesh_shared.namespace}.svc.cluster.local"
    server, client = issue(host), issue("visitor")
    mesh_shared.api.apply(server.secret("shop-tls", mesh_shared.namespace, clients=client.authority))
    volumes = {"certificates": {"secret": {"secretName": "shop-tls"}}}
    mounts = {"certificates": {"mountPath": "/etc/istio/own", "readOnly": True}}
    made = deployment("shop", echo("shop"))
    made["spec"]["template"]["metadata"]["annotations"] = {
        "sidecar.istio.io/userVolume": json.dumps(volumes),
        "sidecar.istio.io/userVolumeMount": json.dumps(mounts),
    }
    files = {"serverCertificate": "tls.crt", "privateKey": "tls.key", "caCertificates": "ca.crt"}
    tls = {"mode": "MUTUAL", **{field: f"/etc/istio/own/{name}" for field, name in files.items()}}
    mesh_shared.apply([made, service("shop", {"app": "shop"}, ("https", 443, 9443)), *stated(tls)])
    outside.deploy_client("visitor")
    mesh_shared.ready()
    outside.ready()
    visitor = outside.client("visitor")
    trust = {"server_name": host, "ca_pem": server.authority.decode(), "show_body": True}
    shown = {**trust, "certificate_pem": client.shown}
    eventually(lambda: visitor.send(f"https://{host}/", **shown)[0].status == 200, timeout=30, why="TLS ends there")
    assert visitor.send(f"https://{host}/", http2=True, **shown)[0].status == 200
    assert visitor.send(f"https://{host}/", **trust)[0].status != 200, "a certificate is required"
    assert visitor.send(f"http://{host}:443/")[0].status == 0, "plain text finds no chain"


def test_a_stated_egress_listener_listens_in_the_pod(mesh_shared: Mesh) -> None:
    mesh_shared.deploy_echo("echo", ("v1",))
    mesh_shared.deploy_client("caller")
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 1)
    port = {"number": 80, "protocol": "HTTP", "name": "http"}
    own = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "caller"},
        "spec": {
            "workloadSelector": {"labels": {"app": "caller"}},
            "egress": [{"port": port, "captureMode": "NONE", "hosts": ["./*"]}],
        },
    }
    caller = mesh_shared.client("caller")
    assert caller.send("http://127.0.0.1/", headers={"host": "echo"})[0].status == 0, "nothing listens there yet"
    with mesh_shared.applied(own):
        answers = caller.send("http://127.0.0.1/", 3, headers={"host": "echo"}, show_body=True)
        assert_all(answers, version="v1")
        assert answers[0].json["client"]["identity"].endswith("/sa/caller"), "it went by the mesh"


_BY_PROXY = """
import urllib.request
ways = urllib.request.ProxyHandler({"http": "http://127.0.0.1:3128"})
print(urllib.request.build_opener(ways).open("http://echo:8080/", timeout=10).read().decode())
"""
_AT_SOCKET = """
import http.client, socket
connection = http.client.HTTPConnection("echo:8080")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("\\0mesh")
connection.request("GET", "/")
print(connection.getresponse().read().decode())
"""


@pytest.mark.parametrize(
    ("listener", "program"),
    [
        ({"port": {"number": 3128, "protocol": "HTTP_PROXY", "name": "proxy"}, "captureMode": "NONE"}, _BY_PROXY),
        ({"port": {"number": 0, "protocol": "HTTP", "name": "socket"}, "bind": "unix://@mesh"}, _AT_SOCKET),
    ],
    ids=["HTTP_PROXY", "a Unix domain socket"],
)
def test_requests_go_by_their_host_and_port(mesh: Mesh, listener: Object, program: str) -> None:
    mesh.deploy_echo("echo")
    mesh.apply(service("echo", {"app": "echo"}, ("http", 80, 8080), ("http-own", 8080, 8080)))
    mesh.deploy_client("caller")
    mesh.ready()
    mesh.wait_endpoints("echo", 1)
    own = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "caller"},
        "spec": {"workloadSelector": {"labels": {"app": "caller"}}, "egress": [{**listener, "hosts": ["./*"]}]},
    }
    with mesh.applied(own):
        told = json.loads(mesh.exec(mesh.pod("caller")["metadata"]["name"], "python3", "-c", program))
    assert told["client"]["identity"].endswith("/sa/caller"), "it went by the mesh"

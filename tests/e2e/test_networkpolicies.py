"""NetworkPolicies: who reaches whom, with and without sidecars, as labels, namespaces and pods change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from mesh_lab.testing import (
    Mesh,
    Namespaces,
    Object,
    Reference,
    assert_all,
    destination_rule,
    eventually,
    gateway,
    route,
    service,
    to,
    virtual_service,
)

from .pods import deployment, echo, pod, shell

# Other clusters carry them out as their network plugin does, or not at all.
pytestmark = pytest.mark.mesh_clusters("embedded")

TRIES = 0.4
"""Seconds that a connection may take: what is refused is dropped, without a word."""
SOON = 2.0
"""Seconds until a change holds, on a busy machine, and with a try that waits for an answer."""
CLIENT = {"podSelector": {"matchLabels": {"app": "client"}}}
SERVER = {"matchLabels": {"app": "web"}}
DNS = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
GATEWAYS = "istio-system"
ADDRESS = "import socket; print(socket.gethostbyname('web'))"


def policy(name: str, selector: Object, **spec: Any) -> Object:
    """A NetworkPolicy."""
    body = {"podSelector": selector, **spec}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": body}


def serve(mesh: Mesh) -> None:
    """A server with a named port, and a client."""
    container = echo() | {"ports": [{"name": "http", "containerPort": 8080}]}
    mesh.apply([deployment("web", container), service("web", {"app": "web"}, ("http", 80, 8080))])
    mesh.deploy_client()
    mesh.ready()
    mesh.wait_endpoints("web", 1)


@pytest.fixture(scope="module")
def plain(outside: Mesh) -> Mesh:
    """Pods without sidecars."""
    serve(outside)
    return outside


@pytest.fixture(scope="module")
def elsewhere(mesh_in: Callable[[str], Mesh], mesh_namespaces: Namespaces) -> Iterator[Mesh]:
    """A client in another namespace, without a sidecar."""
    mesh = mesh_in(mesh_namespaces.create("networkpolicies-elsewhere", injection=False))
    mesh.deploy_client()
    mesh.ready()
    yield mesh
    mesh_namespaces.remove(mesh.namespace)


def reaches(mesh: Mesh, server: Mesh, *, path: str = "", client: str = "client") -> bool:
    """Whether a new connection to the server is answered."""
    url = f"http://web.{server.namespace}{path}"
    return mesh.client(client).send(url, new_connections=True, timeout=TRIES)[0].status == 200


def wait_open(mesh: Mesh, server: Mesh) -> None:
    """Wait until the client reaches the server."""
    eventually(lambda: reaches(mesh, server), timeout=SOON, why=f"{mesh.namespace} reaches {server.namespace}")


def wait_closed(mesh: Mesh, server: Mesh) -> None:
    """Wait until it does not."""
    eventually(lambda: not reaches(mesh, server), timeout=SOON, why=f"{mesh.namespace} is kept off {server.namespace}")


def label(mesh: Mesh, what: str, name: str, *labels: str) -> None:
    """Set or remove labels."""
    mesh.api.kubectl("-n", mesh.namespace, "label", "--overwrite", what, name, *labels)


def address(mesh: Mesh, app: str) -> str:
    """The address of a pod."""
    return str(mesh.pod(app)["status"]["podIP"])


def test_what_a_policy_selects_is_closed_and_policies_add_up(plain: Mesh, elsewhere: Mesh) -> None:
    wait_open(plain, plain)
    with plain.applied(policy("deny", {})):
        wait_closed(plain, plain)
        with plain.applied(policy("allow", SERVER, ingress=[{"from": [CLIENT]}])):
            wait_open(plain, plain)
            assert not reaches(elsewhere, plain), "a selector of pods is about the policy's own namespace"
        wait_closed(plain, plain)
    wait_open(plain, plain)


def test_namespaces_are_selected_by_their_labels_as_these_change(plain: Mesh, elsewhere: Mesh) -> None:
    friends = {"namespaceSelector": {"matchLabels": {"friend": "yes"}}}
    with plain.applied(policy("friends", SERVER, ingress=[{"from": [friends | CLIENT]}])):
        wait_closed(elsewhere, plain)
        label(elsewhere, "namespace", elsewhere.namespace, "friend=yes")
        wait_open(elsewhere, plain)
        assert not reaches(plain, plain), "its own namespace is no friend"
        label(elsewhere, "namespace", elsewhere.namespace, "friend-")
        wait_closed(elsewhere, plain)


def test_pods_are_selected_by_their_labels_as_these_change(plain: Mesh) -> None:
    name = plain.pod("client")["metadata"]["name"]
    friends = {"podSelector": {"matchLabels": {"role": "friend"}}}
    with plain.applied(policy("friends", SERVER, ingress=[{"from": [friends]}])):
        wait_closed(plain, plain)
        label(plain, "pod", name, "role=friend")
        wait_open(plain, plain)
        label(plain, "pod", name, "role-")
        wait_closed(plain, plain)


@pytest.mark.parametrize(
    ("port", "opens"),
    [
        ({"port": "http"}, True),
        ({"port": "admin"}, False),
        ({"port": 8080}, True),
        ({"port": 80}, False),  # the Service's
        ({"port": 8000, "endPort": 8100}, True),
        ({"port": 8081, "endPort": 8100}, False),
        ({"port": 8080, "protocol": "UDP"}, False),
    ],
)
def test_ports_are_the_pods_by_number_range_and_name(plain: Mesh, port: Object, opens: bool) -> None:
    with plain.applied(policy("ports", SERVER, ingress=[{"ports": [port]}])):
        (wait_open if opens else wait_closed)(plain, plain)
        assert reaches(plain, plain) == opens


def test_without_egress_there_is_no_dns_either_and_each_is_let_out_by_itself(plain: Mesh) -> None:
    name, direct = plain.pod("client")["metadata"]["name"], f"http://{address(plain, 'web')}:8080"
    lookup = f'timeout 1 python3 -c "{ADDRESS}" 2>&1 || echo none'

    def resolves() -> bool:
        return "none" not in plain.exec(name, "sh", "-c", lookup)

    def connects() -> bool:
        return plain.client().send(direct, new_connections=True, timeout=TRIES)[0].status == 200

    assert resolves()
    assert connects()
    client = {"matchLabels": {"app": "client"}}
    with plain.applied(policy("deny", client, policyTypes=["Egress"])):
        eventually(lambda: not connects(), timeout=SOON, why="nothing goes out")
        assert not resolves()
        with plain.applied(policy("dns", client, policyTypes=["Egress"], egress=[{"to": [DNS]}])):
            eventually(resolves, timeout=SOON, why="DNS is let out")
            assert not connects()
            web = {"to": [{"podSelector": SERVER}], "ports": [{"port": "http"}]}
            with plain.applied(policy("web", client, policyTypes=["Egress"], egress=[web])):
                wait_open(plain, plain)


def test_a_block_is_addresses_without_its_exceptions(plain: Mesh) -> None:
    def block(*excepted: str) -> Object:
        return {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": list(excepted)}}]}

    with plain.applied(policy("block", SERVER, ingress=[block(f"{address(plain, 'client')}/32")])):
        wait_closed(plain, plain)
        plain.apply(policy("block", SERVER, ingress=[block()]))
        wait_open(plain, plain)


def test_an_open_connection_stays(plain: Mesh) -> None:
    with plain.client().sending(f"http://web.{plain.namespace}", 30, rate=10, concurrency=1) as sending:
        with plain.applied(policy("deny", SERVER)):
            wait_closed(plain, plain)
        assert_all(sending.results(), status=200)


def test_the_first_packet_of_a_pod_is_held_to_the_policies_that_were_there(plain: Mesh) -> None:
    program = f"import socket; socket.create_connection(('{address(plain, 'web')}', 8080), {TRIES})"
    container = shell(f'python3 -c "{program}" 2>&1 && echo connected || echo kept off')
    with plain.applied(policy("deny", {"matchLabels": {"eager": "yes"}}, policyTypes=["Egress"])):
        for number in range(5):
            made = pod(f"eager-{number}", container, restartPolicy="Never")
            made["metadata"]["labels"]["eager"] = "yes"
            plain.apply(made)
        for number in range(5):
            ended = _ended(plain, f"eager-{number}")
            assert ended["state"]["terminated"]["exitCode"] == 0
            assert plain.logs(f"eager-{number}").strip().endswith("kept off")


def test_probes_pass_whatever_a_policy_says(plain: Mesh) -> None:
    with plain.applied(policy("deny", {})):
        plain.apply(deployment("probed", echo()))
        plain.ready()
        plain.remove([Reference("apps/v1", "Deployment", "probed", plain.namespace)])


def test_between_sidecars_the_ports_on_the_wire_are_the_pods(mesh_shared: Mesh, plain: Mesh) -> None:
    serve(mesh_shared)
    # A policy ends no connection that is there: one that a proxy has opened before it holds would be used on and on.
    single = destination_rule("web", policy={"connectionPool": {"http": {"maxRequestsPerConnection": 1}}})
    with mesh_shared.applied(single), mesh_shared.applied(policy("deny", SERVER)):
        wait_closed(mesh_shared, mesh_shared)
        with mesh_shared.applied(policy("redirected", SERVER, ingress=[{"ports": [{"port": 15006}]}])):
            assert not reaches(mesh_shared, mesh_shared), "15006 is within the pod"
        rule = {"from": [CLIENT], "ports": [{"port": "http"}]}
        with mesh_shared.applied(policy("allow", SERVER, ingress=[rule])):
            wait_open(mesh_shared, mesh_shared)
            assert not reaches(plain, mesh_shared)


@pytest.mark.mesh_exclusive
def test_what_comes_from_the_host_to_a_gateway_is_the_nodes(mesh_shared: Mesh, mesh_in: Callable[[str], Mesh]) -> None:
    gateways, host = mesh_in(GATEWAYS), f"{mesh_shared.namespace}.policies.example"
    ingress = mesh_shared.api.get(Reference("v1", "Service", "istio-ingressgateway", GATEWAYS))
    url = f"http://{ingress['status']['loadBalancer']['ingress'][0]['ip']}:{_port(ingress)}"
    serve(mesh_shared)
    http = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host]}
    routes = [gateway("web", http), virtual_service(host, route(to("web", port=80)), name="web", gateways=["web"])]

    def answers() -> bool:
        with requests.Session() as visitor:
            visitor.trust_env = False  # a proxy of this machine does not know the way
            try:
                return visitor.get(url, headers={"host": host}, timeout=TRIES).status_code == 200
            except requests.RequestException:
                return False

    (node,) = mesh_shared.api.list_all("v1", "Node")
    inside = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    selector = {"matchLabels": {"istio": "ingressgateway"}}
    with mesh_shared.applied(routes):
        eventually(answers, timeout=10, why="the gateway serves the host")
        with gateways.applied(policy("pods-only", selector, ingress=[{"from": [{"namespaceSelector": {}}]}])):
            eventually(lambda: not answers(), timeout=SOON, why="the host is no pod")
            block = {"ipBlock": {"cidr": f"{inside}/32"}}
            with gateways.applied(policy("node", selector, ingress=[{"from": [block]}])):
                eventually(answers, timeout=SOON, why="what comes from the host comes from the node's address")


def _port(ingress: Object) -> int:
    """The port of plain HTTP that the host answers."""
    return next(int(port["port"]) for port in ingress["spec"]["ports"] if port["name"] == "http2")


def _ended(mesh: Mesh, name: str) -> Object:
    pods = mesh.api.wait_until(
        mesh.api.path("v1", "Pod", mesh.namespace),
        lambda items: name in items and items[name]["status"].get("phase") in ("Succeeded", "Failed"),
        timeout=30,
        why=f"{name} ends",
        describe=lambda items: f"  {items.get(name, {}).get('status')}",
    )
    status: Object = pods[name]["status"]["containerStatuses"][0]
    return status

"""Mutual TLS: who is seen, what is refused, what travels on the wire."""

from __future__ import annotations

import uuid

import pytest

from mesh_lab.testing import (
    Mesh,
    TrafficClient,
    assert_all,
    assert_identity,
    destination_rule,
    eventually,
    peer_authentication,
    route,
    to,
    virtual_service,
)

from .pods import deployment, echo

PORTS = (80, 8080)


@pytest.fixture(scope="module")
def inside(mesh_shared: Mesh, outside: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client("client", capture=True)
    mesh_shared.apply(deployment("loner", echo()))
    outside.deploy_client("outsider", capture=True)
    outside.deploy_echo("bare")
    mesh_shared.ready()
    outside.ready()
    mesh_shared.wait_endpoints("echo", 1)
    outside.wait_endpoints("bare", 1)
    return mesh_shared


@pytest.fixture
def client(inside: Mesh) -> TrafficClient:
    return inside.client()


@pytest.fixture
def outsider(outside: Mesh) -> TrafficClient:
    return outside.client("outsider")


@pytest.fixture
def url(inside: Mesh) -> str:
    return f"http://echo.{inside.namespace}"


def identity(mesh: Mesh, account: str) -> str:
    return f"spiffe://cluster.local/ns/{mesh.namespace}/sa/{account}"


def test_the_server_sees_the_clients_identity(inside: Mesh, client: TrafficClient, url: str) -> None:
    result = client.send(url, show_body=True)[0]
    assert_identity(result, identity(inside, "client"))
    (told,) = result.json["client"]["xfcc"]
    assert told.keys() == {"By", "Hash", "Subject", "URI"}
    assert told["Subject"] == ""


def test_a_client_cannot_claim_another_identity(inside: Mesh, client: TrafficClient, url: str) -> None:
    claim = {"x-forwarded-client-cert": f"URI={identity(inside, 'admin')}"}
    result = client.send(url, headers=claim, show_body=True)[0]
    assert_identity(result, identity(inside, "client"))


@pytest.mark.mesh_feature("security/mtls-permissive", protocol="http1", api="none")
def test_a_permissive_server_takes_plaintext_too(outsider: TrafficClient, url: str) -> None:
    assert_identity(outsider.send(url, show_body=True)[0], None)


def test_a_strict_server_refuses_plaintext_and_serves_the_mesh(
    inside: Mesh, client: TrafficClient, outsider: TrafficClient, url: str
) -> None:
    with inside.applied(peer_authentication("STRICT")):
        assert [result.error for result in outsider.send(url, 5, new_connections=True)] == ["reset"] * 5
        assert_all(client.send(url, 20))
    assert_all(outsider.send(url, 5))


def test_a_strict_server_refuses_plaintext_to_its_address_and_to_any_port(
    inside: Mesh, outsider: TrafficClient, url: str
) -> None:
    address = inside.pod("echo")["status"]["podIP"]
    with inside.applied(peer_authentication("STRICT", app="echo")):
        for target in (f"http://{address}:8080", f"{url}:81", f"tcp://{address}:9000"):
            assert outsider.send(target)[0].error == "reset", target


def test_one_port_may_be_an_exception(inside: Mesh, outsider: TrafficClient, url: str) -> None:
    with inside.applied(peer_authentication("STRICT", app="echo", p8081="PERMISSIVE")):
        assert outsider.send(url)[0].error == "reset"
        assert outsider.send(f"{url}:81")[0].status == 200


def test_one_port_may_be_strict_alone(inside: Mesh, outsider: TrafficClient, url: str) -> None:
    with inside.applied(peer_authentication("PERMISSIVE", app="echo", p8081="STRICT")):
        assert outsider.send(f"{url}:81")[0].error == "reset"
        assert outsider.send(url)[0].status == 200


def test_a_strict_pod_refuses_plaintext_to_a_port_that_no_service_names(inside: Mesh, outsider: TrafficClient) -> None:
    target = f"http://{inside.pod('loner')['status']['podIP']}:8080"
    assert outsider.send(target)[0].status == 200
    with inside.applied(peer_authentication("STRICT")):
        assert outsider.send(target)[0].error == "reset"


def test_the_nearest_policy_decides(inside: Mesh, outsider: TrafficClient, url: str) -> None:
    # The mesh's own policy would concern the pods of all other tests.
    with inside.applied([peer_authentication("STRICT"), peer_authentication("PERMISSIVE", app="echo")]):
        assert outsider.send(url)[0].status == 200
    with inside.applied([peer_authentication("PERMISSIVE"), peer_authentication("STRICT", app="echo")]):
        assert outsider.send(url)[0].error == "reset"
    with inside.applied([peer_authentication("STRICT"), peer_authentication("UNSET", app="echo")]):
        assert outsider.send(url)[0].error == "reset"


@pytest.mark.parametrize(
    ("client_mode", "server_mode", "status"),
    [("DISABLE", "STRICT", 503), ("DISABLE", "PERMISSIVE", 200), ("ISTIO_MUTUAL", "STRICT", 200)],
)
def test_a_destination_rule_settles_how_a_client_speaks(
    inside: Mesh, client: TrafficClient, url: str, client_mode: str, server_mode: str, status: int
) -> None:
    rule = destination_rule("echo", policy={"tls": {"mode": client_mode}})
    with inside.applied([peer_authentication(server_mode), rule]):
        result = client.send(url, show_body=True)[0]
    assert result.status == status
    if status == 200:
        assert_identity(result, identity(inside, "client") if client_mode == "ISTIO_MUTUAL" else None)


def test_a_client_that_must_speak_mutual_tls_reaches_nobody_without_a_sidecar(
    inside: Mesh, outside: Mesh, client: TrafficClient
) -> None:
    host = f"bare.{outside.namespace}.svc.cluster.local"
    assert client.send(f"http://{host}")[0].status == 200
    with inside.applied(destination_rule(host, policy={"tls": {"mode": "ISTIO_MUTUAL"}})):
        assert client.send(f"http://{host}")[0].status == 503


def test_an_external_name_is_an_alias_under_whose_name_rules_and_mutual_tls_hold(
    inside: Mesh, client: TrafficClient
) -> None:
    target = f"echo.{inside.namespace}.svc.cluster.local"
    spec = {"type": "ExternalName", "externalName": target}
    alias = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "alias"}, "spec": spec}
    ruled = route(to("echo", port=80), headers={"response": {"set": {"x-rule": "of-echo"}}})
    with inside.applied([alias, peer_authentication("STRICT"), virtual_service("echo", ruled)]):
        eventually(
            lambda: client.send("http://alias", show_header=["x-rule"])[0].headers == {"x-rule": "of-echo"},
            timeout=10,
            why="no proxy acknowledges a Service by its name",
        )
        assert_identity(client.send("http://alias", show_body=True)[0], identity(inside, "client"))
        assert client.send(f"http://alias.{inside.namespace}:81")[0].status == 200, "all of the target's ports"


def test_between_sidecars_the_wire_carries_tls_and_no_plaintext(inside: Mesh, client: TrafficClient, url: str) -> None:
    secret = f"secret-{uuid.uuid4()}"
    with inside.capture("client", PORTS, find=[secret]) as capture:
        assert_all(client.send(f"{url}/{secret}", 10, headers={"x-secret": secret}))
    seen = capture.findings
    assert seen["tls_application_data"] > 0
    assert seen["http_plaintext"] == 0, seen["excerpts"]
    assert seen["found"] == {secret: 0}


def test_the_capture_would_have_seen_plaintext(outside: Mesh, outsider: TrafficClient, url: str) -> None:
    secret = f"secret-{uuid.uuid4()}"
    with outside.capture("outsider", PORTS, find=[secret]) as capture:
        assert_all(outsider.send(f"{url}/{secret}", 10))
    seen = capture.findings
    assert seen["tls_application_data"] == 0
    assert seen["http_plaintext"] >= 20, "ten requests and ten answers"
    assert seen["found"][secret] >= 10

"""Both IP families: Services of one and of two, inside and outside of the mesh, and what policies say of IPv6.

For a lab with `ip_family = "dual"`, or any cluster whose pods have two addresses; with IPv4 only it is skipped.
"""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.testing import (
    Mesh,
    Reference,
    TrafficClient,
    assert_all,
    assert_identity,
    authorization_policy,
    peer_authentication,
    service,
)

Object = dict[str, Any]
FAMILIES = {"four": ["IPv4"], "six": ["IPv6"], "both": ["IPv6", "IPv4"]}


def of_families(name: str, families: list[str]) -> Object:
    made = service(name, {"app": "echo"}, ("http", 80, 8080), ("tcp", 9000, 9000))
    policy = "RequireDualStack" if len(families) == 2 else "SingleStack"
    return {**made, "spec": {**made["spec"], "ipFamilyPolicy": policy, "ipFamilies": families}}


def address(mesh: Mesh, app: str, family: int) -> str:
    """The address of a pod, as it stands in a URL."""
    found = [each["ip"] for each in mesh.pod(app)["status"]["podIPs"]]
    one = next(each for each in found if (":" in each) is (family == 6))
    return f"[{one}]" if family == 6 else str(one)


@pytest.fixture(scope="module")
def inside(mesh_shared: Mesh, outside: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client()
    outside.deploy_client("outsider")
    mesh_shared.ready()
    outside.ready()
    if len(mesh_shared.pod("echo")["status"]["podIPs"]) < 2:
        pytest.skip('pods of this cluster have one address: ip_family = "dual" gives them two')
    mesh_shared.apply([of_families(name, families) for name, families in FAMILIES.items()])
    for name, families in FAMILIES.items():
        mesh_shared.wait_endpoints(name, len(families))
    return mesh_shared


@pytest.fixture
def client(inside: Mesh) -> TrafficClient:
    return inside.client()


@pytest.fixture
def outsider(outside: Mesh) -> TrafficClient:
    return outside.client("outsider")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_service_is_reached_by_its_name(
    inside: Mesh, client: TrafficClient, outsider: TrafficClient, name: str
) -> None:
    assert_all(client.send(f"http://{name}", 20))
    assert client.send(f"tcp://{name}:9000", body="good day")[0].body.endswith(" good day")
    assert_all(outsider.send(f"http://{name}.{inside.namespace}", 5))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_mesh_speaks_mutual_tls_at_either_family(inside: Mesh, client: TrafficClient, name: str) -> None:
    result = client.send(f"http://{name}", show_body=True)[0]
    assert_identity(result, f"spiffe://cluster.local/ns/{inside.namespace}/sa/client")


def test_a_service_of_both_has_its_addresses_in_the_order_of_its_families(inside: Mesh) -> None:
    spec = inside.api.get(Reference("v1", "Service", "both", inside.namespace))["spec"]
    assert [":" in each for each in spec["clusterIPs"]] == [True, False]


@pytest.mark.parametrize("family", [4, 6])
def test_strict_mutual_tls_holds_at_every_address_of_a_pod(
    inside: Mesh, client: TrafficClient, outsider: TrafficClient, family: int
) -> None:
    url = f"http://{address(inside, 'echo', family)}:8080"
    assert_all(outsider.send(url, 3))
    with inside.applied([peer_authentication("STRICT", "echo")]):
        assert {each.status for each in outsider.send(url, 3)} == {0}
        assert_all(client.send("http://both", 3))


def test_a_policy_knows_clients_by_ranges_of_ipv6(inside: Mesh, outside: Mesh, outsider: TrafficClient) -> None:
    url = f"http://six.{inside.namespace}"
    block = address(outside, "outsider", 6).strip("[]")
    for field in ("ipBlocks", "remoteIpBlocks"):
        policy = authorization_policy("six", "DENY", "echo", {"from": [{"source": {field: [f"{block}/128"]}}]})
        assert_all(outsider.send(url, 3))
        with inside.applied([policy]):
            assert_all(outsider.send(url, 3), status=403)
            assert_all(outsider.send(f"http://four.{inside.namespace}", 3))

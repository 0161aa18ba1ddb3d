"""All but the version and the health checks need credentials, which say who the user is."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import pytest

from mesh_lab.kube import pki
from mesh_lab.kube.resources import SERVICEACCOUNTS
from tests.unit.kube.api.conftest import Server

SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
WHOAMI = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


def anonymous(server: Server) -> aiohttp.ClientSession:
    """A client that trusts the server and shows nothing."""
    trust = ssl.create_default_context(cadata=server.pki.authority_pem)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))


@pytest.mark.parametrize("path", ["/version", "/version/", "/healthz", "/livez", "/readyz", "/readyz/ping", "/livez/"])
async def test_version_and_health_are_open(server: Server, path: str) -> None:
    async with anonymous(server) as client, client.get(server.url + path) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/apis",
        "/api/v1",
        "/api/v1/secrets",
        "/api/v1/namespaces/default/pods/x/exec?command=id",
        "/openapi/v3",
        "/openapi/v2",
        "/nothing/here",
        "/versionx",
        "/metrics",
    ],
)
async def test_all_other_paths_need_a_credential(server: Server, path: str) -> None:
    async with anonymous(server) as client, client.get(server.url + path) as response:
        answer = await response.json()
        assert (response.status, answer["kind"], answer["reason"]) == (401, "Status", "Unauthorized")


@pytest.mark.parametrize("path", ["/healthz/../api/v1/secrets", "/version/..%2fapi/v1/secrets", "//api/v1/secrets"])
async def test_unusual_spellings_of_open_paths_are_refused(server: Server, path: str) -> None:
    async with anonymous(server) as client:
        from yarl import URL

        async with client.get(URL(server.url + path, encoded=True)) as response:
            assert response.status in (401, 404)
            assert "items" not in await response.text()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_open_paths_take_no_other_method(server: Server, method: str) -> None:
    async with anonymous(server) as client, client.request(method, server.url + "/version") as response:
        assert response.status == 401


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer a.b.c", "Basic YTpi", "bearer", "Bearer "])
async def test_a_wrong_credential_is_refused(server: Server, header: str) -> None:
    async with (
        anonymous(server) as client,
        client.get(server.url + "/api", headers={"Authorization": header}) as response,
    ):
        assert response.status == 401


async def test_a_wrong_token_is_refused_beside_a_right_certificate(server: Server) -> None:
    await server.json("GET", "/api", headers={"Authorization": "Bearer nonsense"}, code=401)


async def test_the_certificates_subject_is_user_and_groups(server: Server) -> None:
    answer = await server.json("POST", SELF, WHOAMI, code=201)
    assert answer["status"]["userInfo"] == {
        "username": "kubernetes-admin",
        "groups": ["system:masters", "system:authenticated"],
    }


async def test_a_certificate_of_another_authority_is_refused(server: Server, tmp_path: Path) -> None:
    other = pki.ensure(tmp_path / "other")
    trust = ssl.create_default_context(cadata=server.pki.authority_pem)
    trust.load_cert_chain(other.admin.certificate, other.admin.key)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.get(server.url + "/api")


async def test_a_service_accounts_token_authenticates_as_the_account(server: Server) -> None:
    await server.registry.create(SERVICEACCOUNTS, {"metadata": {"name": "cart"}}, namespace="default")
    token, _ = server.tokens.issue("default", "cart")
    bearer = {"Authorization": f"Bearer {token}"}
    async with (
        anonymous(server) as client,
        client.post(server.url + SELF, json=WHOAMI, headers=bearer) as response,
    ):
        info = (await response.json())["status"]["userInfo"]
        assert info["username"] == "system:serviceaccount:default:cart"
        assert "system:serviceaccounts:default" in info["groups"]
    await server.registry.delete(SERVICEACCOUNTS, "cart", "default")
    async with anonymous(server) as client, client.get(server.url + "/api", headers=bearer) as response:
        assert response.status == 401


async def test_a_token_for_another_audience_is_refused(server: Server) -> None:
    await server.registry.create(SERVICEACCOUNTS, {"metadata": {"name": "cart"}}, namespace="default")
    token, _ = server.tokens.issue("default", "cart", audiences=["istio-ca"])
    async with (
        anonymous(server) as client,
        client.get(server.url + "/api", headers={"Authorization": f"Bearer {token}"}) as response,
    ):
        assert response.status == 401


async def test_an_impersonated_user_without_roles_may_only_review_itself(server: Server) -> None:
    alice = {"Impersonate-User": "alice", "Impersonate-Group": "dev"}
    answer = await server.json("POST", SELF, WHOAMI, code=201, headers=alice)
    assert answer["status"]["userInfo"] == {"username": "alice", "groups": ["dev", "system:authenticated"]}
    refusal = await server.json("GET", "/api/v1/namespaces/default/pods", code=403, headers=alice)
    assert refusal["message"] == (
        'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    await server.json("GET", "/apis", code=200, headers=alice)


async def test_an_impersonated_service_account_may_not_impersonate(server: Server) -> None:
    token_holder = {"Impersonate-User": "system:serviceaccount:default:cart"}
    await server.json("GET", "/api/v1/namespaces/default/pods", headers=token_holder)
    await server.registry.create(SERVICEACCOUNTS, {"metadata": {"name": "cart"}}, namespace="default")
    token, _ = server.tokens.issue("default", "cart")
    headers = {"Authorization": f"Bearer {token}", "Impersonate-User": "kubernetes-admin"}
    async with anonymous(server) as client, client.get(server.url + "/api", headers=headers) as response:
        assert response.status == 403


async def test_a_token_review_names_the_account_of_the_token(server: Server) -> None:
    await server.registry.create(SERVICEACCOUNTS, {"metadata": {"name": "cart"}}, namespace="default")
    token, _ = server.tokens.issue("default", "cart", audiences=["istio-ca"])
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    assert "authenticated" not in (await server.json("POST", path, body, code=201))["status"]
    body["spec"] = {"token": token, "audiences": ["istio-ca", "other"]}
    status = (await server.json("POST", path, body, code=201))["status"]
    assert (status["authenticated"], status["audiences"]) == (True, ["istio-ca"])
    assert status["user"]["username"] == "system:serviceaccount:default:cart"


@pytest.mark.parametrize(
    ("spec", "verdict"),
    [
        ({"user": "system:serviceaccount:shop:cart"}, True),
        ({"user": "root", "groups": ["system:masters"]}, True),
        ({"user": "alice"}, False),
    ],
)
async def test_a_subject_access_review_decides_for_another_user(
    server: Server, spec: dict[str, object], verdict: bool
) -> None:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {**spec, "resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    answer = await server.json("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body, code=201)
    assert answer["status"]["allowed"] is verdict


async def test_readyz_names_what_is_not_ready(server: Server) -> None:
    async with server.client.get(server.url + "/readyz?verbose") as response:
        assert (await response.text()).endswith("readyz check passed\n")

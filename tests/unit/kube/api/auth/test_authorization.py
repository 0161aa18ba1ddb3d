"""What the server lets others than administrators do, and that `kubectl auth can-i` says just that."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.resources import NAMESPACES, SECRETS, SERVICEACCOUNTS
from tests.unit.kube.api.auth.test_authentication import anonymous
from tests.unit.kube.api.conftest import Server

RBAC = "/apis/rbac.authorization.k8s.io/v1"
MESH_SECRETS = "/api/v1/namespaces/istio-system/secrets"
CART = "system:serviceaccount:default:cart"
AS_CART = {"Impersonate-User": CART}
AS_ALICE = {"Impersonate-User": "alice"}


@pytest.fixture
async def guarded(server: Server) -> Server:
    """A server with a Secret of the mesh, one of another namespace, and a service account without roles."""
    for name in ("istio-system", "shop"):
        await server.registry.create(NAMESPACES, {"metadata": {"name": name}})
    await server.registry.create(SECRETS, {"metadata": {"name": "istio-ca-secret"}}, namespace="istio-system")
    await server.registry.create(SECRETS, {"metadata": {"name": "own"}}, namespace="default")
    for name, namespace in (("cart", "default"), ("istiod", "istio-system")):
        await server.registry.create(SERVICEACCOUNTS, {"metadata": {"name": name}}, namespace=namespace)
    return server


async def grant(server: Server, role: str, rules: list[dict[str, Any]], account: str = "cart") -> None:
    """A ClusterRole, bound everywhere to a service account of `default`."""
    await server.json("POST", f"{RBAC}/clusterroles", {"metadata": {"name": role}, "rules": rules}, code=201)
    bound = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}],
    }
    await server.json("POST", f"{RBAC}/clusterrolebindings", bound, code=201)


async def test_a_pods_token_does_not_open_the_secrets_of_the_mesh(guarded: Server) -> None:
    token, _ = guarded.tokens.issue("default", "cart")
    headers = {"Authorization": f"Bearer {token}"}
    async with anonymous(guarded) as client:
        async with client.get(f"{guarded.url}{MESH_SECRETS}/istio-ca-secret", headers=headers) as response:
            answer = await response.json()
        assert (response.status, answer["reason"]) == (403, "Forbidden")
        assert answer["message"] == (
            f'secrets "istio-ca-secret" is forbidden: User "{CART}" cannot get resource "secrets" '
            'in API group "" in the namespace "istio-system"'
        )
        async with client.get(f"{guarded.url}/api/v1/namespaces/default/secrets/own", headers=headers) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/secrets?watch=1"),
        ("GET", "/api/v1/secrets?fieldSelector=metadata.namespace%3Distio-system"),
        ("GET", "/api/v1/secrets?limit=1"),
        ("HEAD", f"{MESH_SECRETS}/istio-ca-secret"),
        ("GET", f"{MESH_SECRETS}?watch=1"),
        ("GET", f"{MESH_SECRETS}/istio-ca-secret?watch=1"),
        ("GET", "/api/v1/namespaces/istio%2Dsystem/secrets/istio-ca-secret"),
        ("GET", "/api/v1/namespaces/istio-system/secrets/"),
        ("PUT", f"{MESH_SECRETS}/istio-ca-secret"),
        ("PATCH", f"{MESH_SECRETS}/istio-ca-secret"),
        ("DELETE", f"{MESH_SECRETS}/istio-ca-secret"),
        ("DELETE", MESH_SECRETS),
        ("POST", MESH_SECRETS),
        ("POST", "/api/v1/namespaces/istio-system/serviceaccounts/istiod/token"),
        ("POST", "/api/v1/namespaces/istio-system/pods"),
        ("GET", "/api/v1/namespaces/istio-system/pods/istiod/exec?command=cat"),
        ("POST", f"{RBAC}/clusterrolebindings"),
        ("PATCH", "/apis/apps/v1/namespaces/istio-system/deployments/istiod"),
        ("POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"),
    ],
)
async def test_without_a_role_no_verb_and_no_other_resource_gives_the_secrets(
    guarded: Server, method: str, path: str
) -> None:
    async with guarded.client.request(method, guarded.url + path, headers=AS_CART) as response:
        assert response.status == 403


async def test_a_role_gives_its_account_access_to_the_secrets(guarded: Server) -> None:
    await grant(guarded, "reader", [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}])
    for path in (MESH_SECRETS, f"{MESH_SECRETS}/istio-ca-secret", "/api/v1/secrets"):
        await guarded.json("GET", path, headers=AS_CART)
    await guarded.json("DELETE", f"{MESH_SECRETS}/istio-ca-secret", headers=AS_CART, code=403)
    await guarded.json("DELETE", f"{RBAC}/clusterrolebindings/reader")
    await guarded.json("GET", MESH_SECRETS, headers=AS_CART, code=403)


async def test_a_role_for_one_name_lists_that_one_and_no_more(guarded: Server) -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"], "resourceNames": ["istio-ca-secret"]}
    await grant(guarded, "reader", [rule])
    only = await guarded.json("GET", f"{MESH_SECRETS}?fieldSelector=metadata.name%3Distio-ca-secret", headers=AS_CART)
    assert [item["metadata"]["name"] for item in only["items"]] == ["istio-ca-secret"]
    await guarded.json("GET", MESH_SECRETS, headers=AS_CART, code=403)
    await guarded.json("GET", f"{MESH_SECRETS}?fieldSelector=metadata.name!%3Dx", headers=AS_CART, code=403)


async def test_an_apply_that_creates_needs_the_right_to_create(guarded: Server) -> None:
    await grant(guarded, "patcher", [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["patch"]}])
    headers = {**AS_CART, "Content-Type": "application/apply-patch+yaml"}
    for name, code in (("istio-ca-secret", 200), ("new", 403)):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        await guarded.json("PATCH", f"{MESH_SECRETS}/{name}?fieldManager=t", secret, headers=headers, code=code)


async def test_a_role_grants_only_what_its_writer_has(guarded: Server) -> None:
    everything_of_rbac = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "update"]}
    await grant(guarded, "granter", [everything_of_rbac])
    role = {"metadata": {"name": "mine"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}
    refused = await guarded.json("POST", f"{RBAC}/clusterroles", role, headers=AS_CART, code=403)
    assert refused["message"].endswith(
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    bound = {
        "metadata": {"name": "mine"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "cart", "namespace": "default"}],
    }
    await guarded.json("POST", f"{RBAC}/clusterrolebindings", bound, headers=AS_CART, code=403)
    widens = {"aggregationRule": {"clusterRoleSelectors": [{}]}, "metadata": {"name": "all"}}
    await guarded.json("POST", f"{RBAC}/clusterroles", widens, headers=AS_CART, code=403)
    held = {"metadata": {"name": "held"}, "rules": [everything_of_rbac]}
    await guarded.json("POST", f"{RBAC}/clusterroles", held, headers=AS_CART, code=201)


async def test_users_may_do_only_what_their_roles_grant(guarded: Server) -> None:
    await guarded.json("GET", "/api/v1/namespaces/shop/pods", headers=AS_ALICE, code=403)
    await guarded.json("GET", "/apis", headers=AS_ALICE)
    assert (await guarded.json("GET", "/metrics", headers=AS_ALICE, code=403))["message"] == (
        'forbidden: User "alice" cannot get path "/metrics"'
    )
    bound = {
        "metadata": {"name": "alice"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await guarded.json("POST", f"{RBAC}/namespaces/shop/rolebindings", bound, code=201)
    await guarded.json("GET", "/api/v1/namespaces/shop/pods", headers=AS_ALICE)
    assert (await guarded.json("GET", "/api/v1/namespaces/shop", headers=AS_ALICE))["metadata"]["name"] == "shop"
    await guarded.json("GET", "/api/v1/namespaces/shop/secrets", headers=AS_ALICE, code=403)
    await guarded.json("GET", "/api/v1/namespaces/default/pods", headers=AS_ALICE, code=403)


async def test_impersonation_needs_a_right_to_each_part_of_the_identity(guarded: Server) -> None:
    token, _ = guarded.tokens.issue("default", "cart")
    bearer = {"Authorization": f"Bearer {token}"}
    rule = {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["alice"]}

    async def code(**headers: str) -> int:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        async with (
            anonymous(guarded) as client,
            client.get(f"{guarded.url}/apis", headers=bearer | named) as response,
        ):
            return response.status

    assert await code(Impersonate_User="alice") == 403
    await grant(guarded, "actor", [rule])
    assert await code(Impersonate_User="alice") == 200
    assert await code(Impersonate_User="kubernetes-admin") == 403
    assert await code(Impersonate_User="alice", Impersonate_Group="system:masters") == 403
    assert await code(Impersonate_User="alice", Impersonate_Uid="1") == 403
    assert await code(Impersonate_User="alice", Impersonate_Extra_Scope="x") == 403
    assert await code(Impersonate_User="system:serviceaccount:istio-system:istiod") == 403
    assert await code(Impersonate_Group="dev") == 400


@pytest.mark.parametrize(
    ("question", "may"),
    [
        (("get", "secret/istio-ca-secret", "-n", "istio-system"), False),
        (("list", "secrets", "-A"), False),
        (("get", "secrets", "-n", "default"), True),
        (("list", "pods", "-n", "istio-system"), True),
        (("create", "pods", "-n", "istio-system"), False),
        (("create", "pods", "--subresource=exec", "-n", "istio-system"), False),
        (("create", "serviceaccounts", "--subresource=token", "-n", "istio-system"), False),
        (("create", "clusterrolebindings"), False),
        (("impersonate", "users"), False),
        (("*", "secrets", "-n", "istio-system"), False),
        (("*", "*"), False),
        (("*", "configmaps"), True),
    ],
    ids=str,
)
async def test_can_i_agrees_with_the_servers_decisions(guarded: Server, question: tuple[str, ...], may: bool) -> None:
    reported = await guarded.kubectl("auth", "can-i", *question, f"--as={CART}", code=None)
    assert (reported.out.split()[0], reported.code) == (("yes", 0) if may else ("no", 1)), reported


async def test_a_review_gives_the_reason(guarded: Server) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop"}}}
    status = (await guarded.json("POST", path, review, headers=AS_CART, code=201))["status"]
    assert status["allowed"]
    assert "RBAC is not enforced for this resource in the embedded cluster" in status["reason"]
    review["spec"]["resourceAttributes"] = {"verb": "list", "resource": "secrets"}
    status = (await guarded.json("POST", path, review, headers=AS_CART, code=201))["status"]
    assert status == {"allowed": False}


async def test_the_list_of_what_one_may_do_leaves_out_what_is_enforced(guarded: Server) -> None:
    rows = (await guarded.kubectl("auth", "can-i", "--list", "-n", "istio-system", f"--as={CART}")).rows
    named = {row[0] for row in rows if row}
    assert {"configmaps", "pods/log", "services"} <= named
    assert named.isdisjoint({"secrets", "pods/exec", "serviceaccounts/token", "*.*"})
    elsewhere = {row[0] for row in (await guarded.kubectl("auth", "can-i", "--list", f"--as={CART}")).rows if row}
    assert {"secrets", "pods/exec", "serviceaccounts/token"} <= elsewhere


async def test_a_wrong_token_is_refused_where_none_is_needed(server: Server) -> None:
    async with anonymous(server) as client:
        for path in ("/version", "/readyz", "/healthz"):
            for headers, code in (({"Authorization": "Bearer nonsense"}, 401), ({}, 200)):
                async with client.get(server.url + path, headers=headers) as response:
                    assert response.status == code

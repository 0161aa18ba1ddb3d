"""Which rules roles and bindings give to a user, and what a rule allows."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.api.auth import Access, Action, Authorizer, PathAccess
from mesh_lab.kube.api.auth.enforced import enforced
from mesh_lab.kube.api.auth.escalation import covered
from mesh_lab.kube.api.auth.rbac import Rule
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.options import User
from mesh_lab.kube.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, NAMESPACES, ROLEBINDINGS, ROLES, Resource
from mesh_lab.kube.store import Store

GROUP = "rbac.authorization.k8s.io"
ALICE = User("alice", ("dev", "system:authenticated"))
CART = User(
    "system:serviceaccount:shop:cart",
    ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
)


def secrets(verb: str = "get", namespace: str = "istio-system", name: str = "s") -> Access:
    return Access(verb, "", "secrets", namespace, name)


def rule(verbs: str, resources: str, groups: str = "", **more: list[str]) -> dict[str, Any]:
    return {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": [groups], **more}


def binding(kind: str, role: str, *subjects: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": list(subjects),
    }


def group(name: str) -> dict[str, str]:
    return {"kind": "Group", "name": name, "apiGroup": GROUP}


def user(name: str) -> dict[str, str]:
    return {"kind": "User", "name": name, "apiGroup": GROUP}


def account(name: str, namespace: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


async def cluster(*objects: tuple[Resource, dict[str, Any], str]) -> Authorizer:
    registry = Registry(Store())
    await registry.bootstrap()
    for name in ("istio-system", "shop"):
        await registry.create(NAMESPACES, {"metadata": {"name": name}})
    for resource, obj, namespace in objects:
        await registry.create(resource, obj, namespace=namespace)
    return Authorizer(registry)


@pytest.mark.parametrize(
    ("granted", "action", "allowed"),
    [
        (Rule(("get",), ("",), ("pods",)), Access("get", "", "pods", "a", "p"), True),
        (Rule(("get",), ("",), ("pods",)), Access("list", "", "pods", "a"), False),
        (Rule(("*",), ("",), ("pods",)), Access("list", "", "pods", "a"), True),
        (Rule(("get",), ("",), ("pods",)), Access("get", "", "pods", "a", "p", "log"), False),
        (Rule(("get",), ("",), ("pods/log",)), Access("get", "", "pods", "a", "p", "log"), True),
        (Rule(("get",), ("",), ("*/log",)), Access("get", "", "pods", "a", "p", "log"), True),
        (Rule(("get",), ("",), ("*",)), Access("get", "", "pods", "a", "p", "log"), True),
        (Rule(("get",), ("",), ("*/log",)), Access("get", "", "pods", "a", "p"), False),
        (Rule(("get",), ("apps",), ("deployments",)), Access("get", "", "deployments", "a"), False),
        (Rule(("get",), ("*",), ("deployments",)), Access("get", "apps", "deployments", "a"), True),
        (Rule(("get",), ("",), ("pods",), ("p",)), Access("get", "", "pods", "a", "p"), True),
        (Rule(("get",), ("",), ("pods",), ("p",)), Access("get", "", "pods", "a", "q"), False),
        (Rule(("list",), ("",), ("pods",), ("p",)), Access("list", "", "pods", "a"), False),
        (Rule(("get",), urls=("/healthz/*",)), PathAccess("get", "/healthz/ping"), True),
        (Rule(("get",), urls=("/healthz/*",)), PathAccess("get", "/healthz"), False),
        (Rule(("get",), urls=("*",)), PathAccess("get", "/any"), True),
        (Rule(("*",), ("*",), ("*",)), PathAccess("get", "/any"), False),
        (Rule(("get",), urls=("*",)), Access("get", "", "pods"), False),
    ],
)
def test_a_rule_allows_what_it_names(granted: Rule, action: Action, allowed: bool) -> None:
    assert granted.allows(action) is allowed


@pytest.mark.parametrize(
    "subject", [user("alice"), group("dev"), group("system:authenticated")], ids=["user", "group", "everybody"]
)
async def test_a_binding_in_a_namespace_holds_there_and_nowhere_else(subject: dict[str, str]) -> None:
    role = {"metadata": {"name": "reader"}, "rules": [rule("get list", "secrets")]}
    authorizer = await cluster(
        (ROLES, role, "istio-system"), (ROLEBINDINGS, binding("Role", "reader", subject), "istio-system")
    )
    decision = authorizer.decide(ALICE, secrets())
    assert decision.allowed
    assert decision.reason.startswith('RBAC: allowed by RoleBinding "istio-system/reader" of Role "reader" to ')
    for other in (secrets(namespace="shop"), secrets(namespace=""), secrets("delete"), secrets("watch")):
        assert not authorizer.decide(ALICE, other).allowed
    assert not authorizer.decide(User("bob"), secrets()).allowed


async def test_a_role_of_the_cluster_holds_where_it_is_bound() -> None:
    role = {"metadata": {"name": "reader"}, "rules": [rule("get list", "secrets")]}
    everywhere = await cluster(
        (CLUSTERROLES, role, ""),
        (CLUSTERROLEBINDINGS, binding("ClusterRole", "reader", account("cart", "shop")), ""),
    )
    assert everywhere.decide(CART, secrets()).allowed
    assert everywhere.decide(CART, secrets("list", namespace="", name="")).allowed
    one = await cluster(
        (CLUSTERROLES, role, ""),
        (ROLEBINDINGS, binding("ClusterRole", "reader", account("cart", "shop")), "istio-system"),
    )
    assert one.decide(CART, secrets()).allowed
    assert not one.decide(CART, secrets("list", namespace="", name="")).allowed


async def test_an_account_of_the_same_name_in_another_namespace_has_no_rights() -> None:
    role = {"metadata": {"name": "reader"}, "rules": [rule("get", "secrets")]}
    authorizer = await cluster(
        (CLUSTERROLES, role, ""),
        (CLUSTERROLEBINDINGS, binding("ClusterRole", "reader", account("cart", "istio-system")), ""),
    )
    assert not authorizer.decide(CART, secrets()).allowed


async def test_a_binding_of_a_missing_role_grants_nothing() -> None:
    authorizer = await cluster((ROLEBINDINGS, binding("Role", "gone", user("alice")), "istio-system"))
    assert not authorizer.decide(ALICE, secrets()).allowed


async def test_an_aggregated_role_has_the_rules_of_those_that_its_labels_select() -> None:
    extra = {
        "metadata": {"name": "widgets", "labels": {f"{GROUP}/aggregate-to-view": "true"}},
        "rules": [rule("get", "widgets", "lab.test")],
    }
    authorizer = await cluster(
        (CLUSTERROLES, extra, ""), (CLUSTERROLEBINDINGS, binding("ClusterRole", "admin", user("alice")), "")
    )
    for seen in (Access("get", "", "pods", "shop", "p"), Access("get", "lab.test", "widgets", "shop", "w"), secrets()):
        assert authorizer.decide(ALICE, seen).allowed
    assert not authorizer.decide(ALICE, Access("get", "", "nodes", "", "n")).allowed


async def test_roles_that_aggregate_each_other_do_not_loop() -> None:
    label = {"lab.test/both": "true"}
    roles = [
        {
            "metadata": {"name": name, "labels": label},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": label}]},
        }
        for name in ("one", "two")
    ]
    authorizer = await cluster(
        *((CLUSTERROLES, role, "") for role in roles),
        (CLUSTERROLEBINDINGS, binding("ClusterRole", "one", user("alice")), ""),
    )
    assert not authorizer.decide(ALICE, secrets()).allowed


async def test_cluster_admin_is_everything() -> None:
    authorizer = await cluster(
        (
            CLUSTERROLEBINDINGS,
            {**binding("ClusterRole", "cluster-admin", account("cart", "shop")), "metadata": {"name": "c"}},
            "",
        )
    )
    for action in (
        secrets("deletecollection"),
        Access("bind", GROUP, "clusterroles", "", "x"),
        PathAccess("get", "/x"),
    ):
        assert authorizer.decide(CART, action).allowed


@pytest.mark.parametrize(
    "action",
    [
        *(
            secrets(verb)
            for verb in ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
        ),
        secrets("list", namespace="", name=""),
        secrets("watch", namespace="", name=""),
        Access("create", "", "serviceaccounts", "istio-system", "istiod", "token"),
        Access("create", "", "pods", "istio-system"),
        Access("patch", "", "pods", "istio-system", "istiod"),
        Access("get", "", "pods", "istio-system", "istiod", "exec"),
        Access("create", "", "pods", "istio-system", "istiod", "attach"),
        Access("create", "", "pods", "istio-system", "istiod", "portforward"),
        Access("update", "", "pods", "istio-system", "istiod", "ephemeralcontainers"),
        Access("get", "", "services", "istio-system", "istiod:15014", "proxy"),
        Access("create", "", "pods", "istio-system", "istiod", "proxy"),
        Access("patch", "apps", "deployments", "istio-system", "istiod"),
        Access("create", "apps", "replicasets", "istio-system"),
        Access("create", GROUP, "rolebindings", "istio-system"),
        Access("create", GROUP, "clusterrolebindings"),
        Access("patch", GROUP, "clusterroles", "", "view"),
        Access("create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        Access("impersonate", "", "users", name="kubernetes-admin"),
        Access("impersonate", "authentication.k8s.io", "userextras", name="x", subresource="scopes"),
    ],
    ids=str,
)
async def test_service_accounts_need_a_role_for_the_secrets_of_the_mesh_and_for_every_way_to_them(
    action: Access,
) -> None:
    authorizer = await cluster()
    assert enforced(action)
    assert not authorizer.decide(CART, action).allowed


@pytest.mark.parametrize(
    "action",
    [
        secrets(namespace="shop"),
        Access("create", "", "pods", "shop"),
        Access("get", "", "pods", "istio-system", "istiod"),
        Access("get", "", "pods", "istio-system", "istiod", "log"),
        Access("get", "apps", "deployments", "istio-system", "istiod"),
        Access("list", GROUP, "clusterroles"),
        Access("create", GROUP, "rolebindings", "shop"),
        PathAccess("get", "/apis"),
    ],
    ids=str,
)
async def test_what_is_not_enforced_is_allowed_to_service_accounts_with_that_reason(action: Action) -> None:
    decision = (await cluster()).decide(CART, action)
    assert decision.allowed
    assert "RBAC is not enforced for this resource in the embedded cluster" in decision.reason


@pytest.mark.parametrize(
    ("wanted", "owned", "is_covered"),
    [
        (
            Rule(("get", "list"), ("",), ("pods",)),
            [Rule(("get",), ("",), ("pods",)), Rule(("list",), ("",), ("*",))],
            True,
        ),
        (Rule(("get", "watch"), ("",), ("pods",)), [Rule(("get",), ("",), ("pods",))], False),
        (Rule(("*",), ("",), ("pods",)), [Rule(("get", "list"), ("",), ("pods",))], False),
        (Rule(("*",), ("*",), ("*",)), [Rule(("*",), ("*",), ("*",))], True),
        (Rule(("get",), ("",), ("pods",), ("a",)), [Rule(("get",), ("",), ("pods",))], True),
        (Rule(("get",), ("",), ("pods",)), [Rule(("get",), ("",), ("pods",), ("a",))], False),
        (Rule(("get",), ("",), ("pods/log",)), [Rule(("get",), ("",), ("*/log",))], True),
        (Rule(("get",), urls=("/a/b",)), [Rule(("get",), urls=("/a/*",))], True),
        (Rule(("get",), urls=("/a/*",)), [Rule(("get",), urls=("/a/b",))], False),
    ],
)
def test_what_is_granted_must_be_owned_part_by_part(wanted: Rule, owned: list[Rule], is_covered: bool) -> None:
    assert covered(wanted, owned) is is_covered

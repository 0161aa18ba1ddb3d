"""Validating webhooks: which requests they are shown, what they see, and what their answers and failures do."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from aiohttp import web

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.resources import (
    CONFIGMAPS,
    CRDS,
    DEPLOYMENTS,
    MUTATING_WEBHOOKS,
    PODS,
    SERVICES,
    VALIDATING_WEBHOOKS,
)
from tests.unit.kube.api.conftest import Server
from tests.unit.kube.api.webhooks.hooks import Answer, Hook, allow, config_map, configuration, patching
from tests.unit.kube.registry.manifests import deployment, pod

PATH = "/api/v1/namespaces/default/configmaps"
APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}


def rule(*resources: str, operations: tuple[str, ...] = ("*",), group: str = "", **more: Any) -> dict[str, Any]:
    return {
        "operations": [*operations],
        "apiGroups": [group],
        "apiVersions": ["*"],
        "resources": [*resources],
        **more,
    }


async def configure(server: Server, hook: Hook, *rules: dict[str, Any], name: str = "guard", **changes: Any) -> None:
    changes["rules"] = list(rules) or [rule("configmaps")]
    await server.registry.create(VALIDATING_WEBHOOKS, configuration(hook, name, **changes))


def deny(message: str = "", **status: Any) -> Answer:
    said = {"message": message, **status} if message else status
    return lambda request: {"uid": request["uid"], "allowed": False, "status": said}


def operations(hook: Hook) -> list[tuple[str, str, str]]:
    return [(asked["operation"], asked["resource"]["resource"], asked.get("subResource", "")) for asked in hook.asked]


async def test_a_denial_reaches_kubectl_in_kubernetes_words_and_nothing_is_stored(server: Server, hook: Hook) -> None:
    await configure(server, hook)
    hook.answer = deny("spec.a: no thanks")
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\n"
    for how in ((), ("--dry-run=server",), ("--server-side",)):
        done = await server.kubectl("apply", *how, "-f", "-", stdin=manifest, code=1)
        assert 'admission webhook "guard.lab.test" denied the request: spec.a: no thanks' in done.err
    assert server.registry.find(CONFIGMAPS, "cm", "default") is None


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({}, 400, "without explanation"),
        ({"reason": "Forbidden", "code": 403}, 403, "denied the request: Forbidden"),
        ({"message": "no", "code": 200}, 400, "denied the request: no"),
        ({"message": "no", "code": 422, "reason": "Invalid", "details": {"kind": "x"}}, 422, "denied the request: no"),
    ],
)
async def test_a_denial_has_the_webhooks_code_reason_and_details(
    server: Server, hook: Hook, status: dict[str, Any], code: int, message: str
) -> None:
    await configure(server, hook)
    hook.answer = deny(**status)
    answer = await server.json("POST", PATH, config_map(), code=code)
    assert message in answer["message"]
    assert (answer["reason"], answer.get("details", {})) == (status.get("reason", ""), status.get("details", {}))


async def test_every_way_to_write_is_shown_as_it_would_be_stored(server: Server, hook: Hook) -> None:
    await configure(server, hook)
    await server.json("POST", PATH, config_map(), code=201)
    await server.json("PUT", PATH + "/cm", {**config_map(), "data": {"a": "2"}})
    await server.json("PATCH", PATH + "/cm", {"data": {"a": "3"}}, headers=MERGE)
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "4"}}
    await server.json("PATCH", PATH + "/cm?fieldManager=me", applied, headers=APPLY)
    await server.json("PATCH", PATH + "/new?fieldManager=me&dryRun=All", applied, headers=APPLY, code=201)
    await server.json("DELETE", PATH)
    seen = [(each["operation"], each["name"], (each["object"] or {}).get("data")) for each in hook.asked]
    assert seen == [
        ("CREATE", "cm", {"a": "1"}),
        ("UPDATE", "cm", {"a": "2"}),
        ("UPDATE", "cm", {"a": "3"}),
        ("UPDATE", "cm", {"a": "3", "b": "4"}),
        ("CREATE", "new", {"b": "4"}),
        ("DELETE", "cm", None),
    ]
    created, *_, applied_as_dry_run, deleted = hook.asked
    assert created["object"]["metadata"]["uid"]
    assert (created["oldObject"], created["options"]["kind"]) == (None, "CreateOptions")
    assert (applied_as_dry_run["dryRun"], applied_as_dry_run["options"]["fieldManager"]) == (True, "me")
    assert (deleted["oldObject"]["data"], deleted["options"]["kind"]) == ({"a": "3", "b": "4"}, "DeleteOptions")


async def test_validating_webhooks_come_after_mutation_and_validation_and_see_generated_names(
    server: Server, hook: Hook
) -> None:
    await server.registry.create(MUTATING_WEBHOOKS, configuration(hook))
    await configure(server, hook)
    answers = iter([patching({"op": "add", "path": "/data/b", "value": "2"}), allow])

    def answer(request: dict[str, Any]) -> Any:
        return next(answers)(request)

    hook.answer = answer
    made = config_map()
    made["metadata"] = {"generateName": "cm-"}
    stored = await server.json("POST", PATH, made, code=201)
    assert [asked["object"]["data"] for asked in hook.asked] == [{"a": "1"}, {"a": "1", "b": "2"}]
    assert hook.asked[1]["name"] == stored["metadata"]["name"] != ""
    await server.registry.delete(MUTATING_WEBHOOKS, "injector")
    hook.asked.clear()
    await server.json("POST", PATH, {**config_map("other"), "data": {"not/a/key": "x"}}, code=422)
    assert hook.asked == []


async def test_all_webhooks_are_called_concurrently_and_the_first_denial_by_name_is_answered(
    server: Server, hook: Hook
) -> None:
    for name in ("b", "a", "c"):
        await configure(server, hook, name=name)
    together = asyncio.Event()

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        if len(hook.asked) == 3:
            together.set()
        async with asyncio.timeout(5):
            await together.wait()
        return {"uid": request["uid"], "allowed": False, "status": {"message": "no"}}

    hook.answer = answer
    refusal = await server.json("POST", PATH, config_map(), code=400)
    assert refusal["message"] == 'admission webhook "a.lab.test" denied the request: no'


async def test_warnings_reach_the_client_of_a_refused_request_too(server: Server, hook: Hook) -> None:
    await configure(server, hook)
    hook.answer = lambda request: {"uid": request["uid"], "allowed": False, "warnings": ["mind it"]}
    async with server.client.post(server.url + PATH, json=config_map()) as response:
        assert response.status == 400
        assert response.headers.getall("Warning") == ['299 - "mind it"']
    async with server.client.get(server.url + "/apis/nothing/v1/here") as response:
        assert "Warning" not in response.headers


async def test_warnings_are_cut_to_what_headers_hold(server: Server, hook: Hook) -> None:
    await configure(server, hook)
    hook.answer = lambda request: {**allow(request), "warnings": [f"{index} {'x' * 1000}" for index in range(100)]}
    async with server.client.post(server.url + PATH, json=config_map()) as response:
        shown = response.headers.getall("Warning")
    assert len(shown) == 16
    assert all(len(one) < 300 for one in shown)


async def fail(_request: dict[str, Any]) -> dict[str, Any]:
    raise web.HTTPInternalServerError(text="oops")


async def redirect(_request: dict[str, Any]) -> dict[str, Any]:
    raise web.HTTPFound("https://elsewhere.test/")


async def bomb(_request: dict[str, Any]) -> web.Response:
    return web.Response(body=gzip.compress(b" " * (64 << 20), 1), headers={"Content-Encoding": "gzip"})


async def stall(request: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(30)
    return allow(request)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fail, 'the server answered 500: "oops"'),
        (redirect, "the server answered 302"),
        (bomb, "the answer is not JSON"),
        (stall, "context deadline exceeded"),
        (lambda _: {"uid": "other", "allowed": True}, "expected response.uid="),
        (lambda request: {"uid": request["uid"], "allowed": "yes"}, "response.allowed"),
        (lambda request: {**allow(request), "warnings": "not a list"}, "response.warnings"),
        (lambda request: {"uid": request["uid"], "allowed": False, "status": ["no"]}, "response.status"),
        (lambda request: {**allow(request), "auditAnnotations": {"x": "y" * (9 << 20)}}, "larger than"),
    ],
)
async def test_a_failing_validating_webhook_denies_or_is_ignored(
    server: Server, hook: Hook, answer: Answer, words: str
) -> None:
    hook.answer = answer
    limit = 1 if answer is stall else 10
    await configure(server, hook, timeoutSeconds=limit)
    refusal = await server.json("POST", PATH, config_map(), code=500)
    assert refusal["message"].startswith('Internal error occurred: failed calling webhook "guard.lab.test": ')
    assert words in refusal["message"]
    await server.registry.delete(VALIDATING_WEBHOOKS, "guard")
    await configure(server, hook, timeoutSeconds=limit, failurePolicy="Ignore")
    await server.json("POST", PATH, config_map(), code=201)


@pytest.mark.parametrize(
    ("resources", "shown"),
    [
        (("deployments",), [("UPDATE", "deployments", "")]),
        (("deployments/status",), [("UPDATE", "deployments", "status")]),
        (("deployments/scale",), [("UPDATE", "deployments", "scale")]),
        (("*/status",), [("UPDATE", "deployments", "status")]),
        (("*",), [("UPDATE", "deployments", "")]),
        (("deployments/*",), [("UPDATE", "deployments", part) for part in ("", "status", "scale")]),
        (("*/*",), [("UPDATE", "deployments", part) for part in ("", "status", "scale")]),
    ],
)
async def test_rules_distinguish_a_resource_from_its_subresources(
    server: Server, hook: Hook, resources: tuple[str, ...], shown: list[tuple[str, str, str]]
) -> None:
    await server.registry.create(DEPLOYMENTS, deployment())
    await configure(server, hook, rule(*resources, operations=("UPDATE",), group="apps"))
    name = deployment()["metadata"]["name"]
    path = f"/apis/apps/v1/namespaces/default/deployments/{name}"
    await server.json("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    await server.json("PATCH", path + "/status", {"status": {"replicas": 1}}, headers=MERGE)
    await server.json("PATCH", path + "/scale", {"spec": {"replicas": 3}}, headers=MERGE)
    assert operations(hook) == shown


async def test_a_scale_is_shown_as_a_scale(server: Server, hook: Hook) -> None:
    made = await server.registry.create(DEPLOYMENTS, deployment())
    await configure(server, hook, rule("deployments/scale", group="apps"))
    hook.answer = deny("too many")
    path = f"/apis/apps/v1/namespaces/default/deployments/{made['metadata']['name']}"
    await server.json("PATCH", path + "/scale", {"spec": {"replicas": 30}}, headers=MERGE, code=400)
    (asked,) = hook.asked
    assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (asked["object"]["spec"], asked["oldObject"]["spec"]) == (
        {"replicas": 30},
        {"replicas": made["spec"]["replicas"]},
    )
    assert asked["requestResource"]["resource"] == "deployments"


async def test_a_mutating_webhook_may_change_a_scale(server: Server, hook: Hook) -> None:
    made = await server.registry.create(DEPLOYMENTS, deployment())
    rules = [rule("deployments/scale", group="apps")]
    await server.registry.create(MUTATING_WEBHOOKS, configuration(hook, rules=rules))
    hook.answer = patching({"op": "replace", "path": "/spec/replicas", "value": 4})
    path = f"/apis/apps/v1/namespaces/default/deployments/{made['metadata']['name']}"
    answer = await server.json("PATCH", path + "/scale", {"spec": {"replicas": 30}}, headers=MERGE)
    assert answer["spec"] == {"replicas": 4}
    assert (await server.json("GET", path))["spec"]["replicas"] == 4


async def test_connections_and_evictions_are_shown_with_their_options(server: Server, hook: Hook) -> None:
    await server.registry.create(PODS, pod())
    name = pod()["metadata"]["name"]
    await configure(server, hook, rule("pods/*", operations=("CONNECT", "CREATE", "DELETE")))
    hook.answer = deny("not here")
    path = f"/api/v1/namespaces/default/pods/{name}"
    done = await server.kubectl("exec", name, "--", "ls", "-l", code=1)
    assert 'admission webhook "guard.lab.test" denied the request: not here' in done.err
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    await server.json("POST", path + "/eviction", eviction, code=400)
    await server.json("GET", path + "/proxy/x/y", code=400)
    assert {each["kind"]["kind"] for each in hook.asked} == {"PodExecOptions", "Eviction", "PodProxyOptions"}
    assert hook.asked[0]["object"]["command"] == ["ls", "-l"]
    assert server.registry.find(PODS, name, "default") is not None
    hook.answer = allow
    hook.asked.clear()
    await server.json("POST", path + "/eviction", eviction, code=201)
    assert operations(hook) == [("CREATE", "pods", "eviction")]


async def test_a_namespace_selector_applies_to_namespaces_and_their_objects_only(server: Server, hook: Hook) -> None:
    nowhere = {"matchLabels": {"no": "such"}}
    await configure(server, hook, rule("namespaces", "nodes", "configmaps"), namespaceSelector=nowhere)
    await server.json("POST", PATH, config_map(), code=201)
    await server.json("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}}, code=201)
    await server.json("POST", "/api/v1/nodes", {"metadata": {"name": "one"}}, code=201)
    await server.json("POST", "/api/v1/namespaces", {"metadata": {"name": "mine", "labels": {"no": "such"}}}, code=201)
    assert [each["name"] for each in hook.asked] == ["one", "mine"]


@pytest.mark.parametrize(("scope", "names"), [("*", ["cm", "one"]), ("Cluster", ["one"]), ("Namespaced", ["cm"])])
async def test_a_rule_may_be_for_one_scope(server: Server, hook: Hook, scope: str, names: list[str]) -> None:
    await configure(server, hook, rule("*", operations=("CREATE",), scope=scope))
    await server.json("POST", PATH, config_map(), code=201)
    await server.json("POST", "/api/v1/nodes", {"metadata": {"name": "one"}}, code=201)
    assert [each["name"] for each in hook.asked] == names


CRD = {
    "metadata": {"name": "gizmos.lab.test"},
    "spec": {
        "group": "lab.test",
        "scope": "Namespaced",
        "names": {"plural": "gizmos", "kind": "Gizmo"},
        "versions": [
            {
                "name": name,
                "served": True,
                "storage": name == "v1",
                "deprecated": name == "v1alpha1",
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
            for name in ("v1", "v1alpha1")
        ],
    },
}
GIZMO = {"kind": "Gizmo", "metadata": {"name": "g"}, "spec": {"a": 1}}


@pytest.mark.parametrize(("policy", "versions"), [("Equivalent", ["v1", "v1"]), ("Exact", ["v1"])])
async def test_match_policy_equivalent_converts_objects_to_the_version_of_the_rule(
    server: Server, hook: Hook, policy: str, versions: list[str]
) -> None:
    await server.registry.create(CRDS, CRD)
    rules = {**rule("gizmos", operations=("CREATE",), group="lab.test"), "apiVersions": ["v1"]}
    await configure(server, hook, rules, matchPolicy=policy)
    for index, version in enumerate(("v1", "v1alpha1")):
        made = {**GIZMO, "apiVersion": f"lab.test/{version}", "metadata": {"name": f"g{index}"}}
        await server.json("POST", f"/apis/lab.test/{version}/namespaces/default/gizmos", made, code=201)
    assert [each["object"]["apiVersion"] for each in hook.asked] == [f"lab.test/{version}" for version in versions]
    assert [each["requestKind"]["version"] for each in hook.asked] == ["v1", "v1alpha1"][: len(versions)]


async def test_deleting_a_definition_deletes_its_objects_even_if_a_webhook_denies(server: Server, hook: Hook) -> None:
    await server.registry.create(CRDS, CRD)
    path = "/apis/lab.test/v1/namespaces/default/gizmos"
    await server.json("POST", path, {**GIZMO, "apiVersion": "lab.test/v1"}, code=201)
    await configure(server, hook, rule("gizmos", group="lab.test"))
    hook.answer = deny("stays")
    await server.json("DELETE", path + "/g", code=400)
    await server.registry.delete(CRDS, "gizmos.lab.test")
    assert server.registry.find(CRDS, "gizmos.lab.test") is None


async def test_a_webhook_for_everything_is_not_called_for_webhook_configurations(server: Server, hook: Hook) -> None:
    await configure(server, hook, {**rule("*/*"), "apiGroups": ["*"]})
    hook.answer = deny("never")
    await server.json("POST", PATH, config_map(), code=400)
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/guard"
    await server.json("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    await server.json("DELETE", path)
    await server.json("POST", PATH, config_map(), code=201)


async def test_of_two_creates_during_a_webhooks_call_the_first_keeps_the_name(server: Server, hook: Hook) -> None:
    await configure(server, hook)
    both = asyncio.Event()

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        if len(hook.asked) == 2:
            both.set()
        async with asyncio.timeout(5):
            await both.wait()
        return allow(request)

    hook.answer = answer
    made = [{**config_map(), "data": {"a": value}} for value in ("1", "2")]
    posts = [server.client.post(server.url + PATH, json=one) for one in made]
    responses = await asyncio.gather(*posts)
    assert sorted(response.status for response in responses) == [201, 409]
    winner = next(made[index] for index, response in enumerate(responses) if response.status == 201)
    assert server.registry.get(CONFIGMAPS, "cm", "default")["data"] == winner["data"]


async def test_a_change_is_retried_when_the_object_changed_during_a_webhooks_call(server: Server, hook: Hook) -> None:
    await server.json("POST", PATH, config_map(), code=201)
    await configure(server, hook)
    quick = iter([True])

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        if next(quick, False):
            await server.registry.delete(VALIDATING_WEBHOOKS, "guard")
            await server.json("PATCH", PATH + "/cm", {"data": {"b": "2"}}, headers=MERGE)
        return allow(request)

    hook.answer = answer
    stored = await server.json("PATCH", PATH + "/cm", {"data": {"c": "3"}}, headers=MERGE)
    assert stored["data"] == {"a": "1", "b": "2", "c": "3"}


async def test_services_are_shown_with_the_address_that_they_get(server: Server, hook: Hook) -> None:
    await configure(server, hook, rule("services"))
    made = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], "type": "NodePort"}}
    stored = await server.json("POST", "/api/v1/namespaces/default/services", made, code=201)
    (asked,) = hook.asked
    assert asked["object"]["spec"] == stored["spec"]
    assert server.registry.get(SERVICES, "web", "default")["spec"]["clusterIP"]


async def test_a_webhook_may_prefer_the_older_review(server: Server, hook: Hook) -> None:
    await configure(server, hook, admissionReviewVersions=["v2", "v1beta1"])
    hook.version = "v1beta1"
    await server.json("POST", PATH, config_map(), code=201)
    assert len(hook.asked) == 1


async def test_the_kind_is_served_like_the_others(server: Server, hook: Hook) -> None:
    await configure(server, hook)
    listed = await server.kubectl("get", "validatingwebhookconfigurations")
    assert listed.rows[0][:2] == ["guard", "1"]
    explained = await server.kubectl("explain", "validatingwebhookconfiguration.webhooks.matchPolicy")
    assert "Equivalent" in explained.out or "matchPolicy" in explained.out
    stored = server.registry.get(VALIDATING_WEBHOOKS, "guard")
    (webhook,) = stored["webhooks"]
    defaults = {key: webhook[key] for key in ("failurePolicy", "matchPolicy", "timeoutSeconds", "namespaceSelector")}
    assert defaults == {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "timeoutSeconds": 10,
        "namespaceSelector": {},
    }
    assert "reinvocationPolicy" not in webhook
    assert stored["metadata"]["generation"] == 1
    bad = configuration(hook, "bad", sideEffects="Some", admissionReviewVersions=["v2"])
    with pytest.raises(ApiError) as caught:
        await server.registry.create(VALIDATING_WEBHOOKS, bad)
    assert {cause.field for cause in caught.value.causes} == {
        "webhooks[0].sideEffects",
        "webhooks[0].admissionReviewVersions",
    }


CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


@pytest.mark.parametrize(
    ("expression", "policy", "code"),
    [
        ("object.metadata.name == 'other'", "Fail", 201),
        ("object.metadata.name != 'other' && request.operation == 'CREATE'", "Fail", 400),
        ("object.absent == 1", "Fail", 403),
        ("object.absent == 1", "Ignore", 201),
        ("authorizer.group('').resource('configmaps').check('get').allowed()", "Fail", 400),
    ],
)
async def test_a_webhook_is_asked_where_its_conditions_hold(
    server: Server, hook: Hook, expression: str, policy: str, code: int
) -> None:
    hook.answer = lambda request: {"uid": request["uid"], "allowed": False}
    conditions = [{"name": "x", "expression": expression}]
    made = configuration(hook, "guard", matchConditions=conditions, failurePolicy=policy)
    await server.json("POST", CONFIGURATIONS, made, code=201)
    answer = await server.json("POST", PATH, config_map(), code=code)
    if "absent" in expression and code == 403:
        assert "resulted in error: no such key: absent" in answer["message"]


async def test_conditions_that_do_not_compile_are_refused(server: Server, hook: Hook) -> None:
    made = configuration(hook, "guard", matchConditions=[{"name": "x", "expression": "object.metadata.name =="}])
    refusal = await server.json("POST", CONFIGURATIONS, made, code=422)
    assert "webhooks[0].matchConditions[0].expression: Invalid value" in refusal["message"]
    assert "compilation failed: ERROR: <input>:1:24: Syntax error" in refusal["message"]


async def test_deprecated_versions_draw_warnings(server: Server) -> None:
    await server.json(
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {**CRD, "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"},
        code=201,
    )
    reported = {}
    for version in ("v1", "v1alpha1"):
        path = f"/apis/lab.test/{version}/namespaces/default/gizmos"
        body = {**GIZMO, "apiVersion": f"lab.test/{version}", "metadata": {"name": f"g-{version}"}}
        async with server.client.post(server.url + path, json=body) as response:
            reported[version] = [response.headers.get("Warning")]
        for more in ("", f"/g-{version}", "?watch=1&timeoutSeconds=1"):
            async with server.client.get(server.url + path + more) as response:
                reported[version].append(response.headers.get("Warning"))
    assert reported == {"v1": [None] * 4, "v1alpha1": ['299 - "lab.test/v1alpha1 Gizmo is deprecated"'] * 4}

"""Mutating webhooks: who is asked, over verified TLS, and what their answers and failures do to a write."""

from __future__ import annotations

import asyncio
import base64
import copy
from typing import Any

import pytest
from aiohttp import web

from mesh_lab.kube.resources import CONFIGMAPS, ENDPOINTSLICES, MUTATING_WEBHOOKS
from tests.unit.kube.api.conftest import Server
from tests.unit.kube.api.webhooks.hooks import (
    Answer,
    Hook,
    allow,
    config_map,
    configuration,
    endpoint_slice,
    patching,
    stamp,
)

PATH = "/api/v1/namespaces/default/configmaps"


async def configure(server: Server, made: dict[str, Any]) -> None:
    await server.registry.create(MUTATING_WEBHOOKS, made)


async def test_a_webhook_changes_what_is_stored(server: Server, hook: Hook) -> None:
    await configure(server, configuration(hook))
    hook.answer = patching({"op": "add", "path": "/metadata/labels", "value": {"injected": "yes"}})
    made = await server.json("POST", PATH, config_map(), code=201)
    assert made["metadata"]["labels"] == {"injected": "yes"}
    assert server.registry.get(CONFIGMAPS, "cm", "default")["metadata"]["labels"] == {"injected": "yes"}


async def test_a_review_has_all_particulars_of_the_write(server: Server, hook: Hook) -> None:
    await configure(server, configuration(hook))
    await server.json("POST", PATH + "?dryRun=All", config_map(), code=201)
    (asked,) = hook.asked
    assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (asked["operation"], asked["namespace"], asked["name"]) == ("CREATE", "default", "cm")
    assert asked["userInfo"]["username"] == "kubernetes-admin"
    assert (asked["dryRun"], asked["oldObject"], asked["object"]["data"]) == (True, None, {"a": "1"})
    assert server.registry.find(CONFIGMAPS, "cm", "default") is None


async def test_a_denial_reaches_the_client_with_the_webhooks_message(server: Server, hook: Hook) -> None:
    await configure(server, configuration(hook))
    hook.answer = lambda request: {
        "uid": request["uid"],
        "allowed": False,
        "status": {"code": 403, "message": "no thanks", "reason": "Forbidden"},
    }
    answer = await server.json("POST", PATH, config_map(), code=403)
    assert answer["message"] == 'admission webhook "injector.lab.test" denied the request: no thanks'
    assert server.registry.find(CONFIGMAPS, "cm", "default") is None


async def test_warnings_reach_the_client(server: Server, hook: Hook) -> None:
    await configure(server, configuration(hook))
    hook.answer = lambda request: {**allow(request), "warnings": ['mind the "gap"']}
    async with server.client.post(server.url + PATH, json=config_map()) as response:
        assert response.status == 201
        assert response.headers["Warning"] == '299 - "mind the \\"gap\\""'


@pytest.mark.parametrize(
    ("changes", "metadata", "asked"),
    [
        ({}, {}, True),
        ({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]}, {}, True),
        (
            {"rules": [{"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["*"]}]},
            {},
            False,
        ),
        (
            {"rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]},
            {},
            False,
        ),
        ({"objectSelector": {"matchLabels": {"inject": "yes"}}}, {}, False),
        ({"objectSelector": {"matchLabels": {"inject": "yes"}}}, {"labels": {"inject": "yes"}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}, {}, True),
        ({"namespaceSelector": {"matchExpressions": [{"key": "no", "operator": "Exists"}]}}, {}, False),
        ({"namespaceSelector": {"matchExpressions": [{"key": "no", "operator": "DoesNotExist"}]}}, {}, True),
    ],
)
async def test_only_matching_webhooks_are_called(
    server: Server, hook: Hook, changes: dict[str, Any], metadata: dict[str, Any], asked: bool
) -> None:
    await configure(server, configuration(hook, **changes))
    await server.json("POST", PATH, config_map(**metadata), code=201)
    assert bool(hook.asked) is asked


async def test_updates_show_the_old_object_and_deletes_nothing_else(server: Server, hook: Hook) -> None:
    rules = [
        {"operations": ["UPDATE", "DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    ]
    await configure(server, configuration(hook, rules=rules))
    await server.json("POST", PATH, config_map(), code=201)
    await server.json("PUT", PATH + "/cm", {**config_map(), "data": {"a": "2"}})
    await server.json("DELETE", PATH + "/cm")
    update, delete = hook.asked
    assert (update["object"]["data"], update["oldObject"]["data"]) == ({"a": "2"}, {"a": "1"})
    assert (delete["operation"], delete["object"], delete["oldObject"]["data"]) == ("DELETE", None, {"a": "2"})


async def test_configurations_are_called_in_order_of_name_and_reinvoked_by_policy(server: Server, hook: Hook) -> None:
    for name, policy in (("b", "Never"), ("a", "IfNeeded")):
        made = configuration(hook, name, reinvocationPolicy=policy)
        await configure(server, made)
    answers = {"a": stamp("from-a"), "b": stamp("from-b")}
    order = iter(["a", "b", "a"])

    def answer(request: dict[str, Any]) -> Any:
        return answers[next(order)](request)

    hook.answer = answer
    made = await server.json("POST", PATH, config_map(), code=201)
    assert made["data"] == {"a": "1", "from-a": "a,from-a,from-b", "from-b": "a,from-a"}


async def fail(_request: dict[str, Any]) -> dict[str, Any]:
    raise web.HTTPInternalServerError(text="oops")


async def stall(request: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(30)
    return allow(request)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fail, 'the server answered 500: "oops"'),
        (stall, "context deadline exceeded"),
        (lambda _: {"uid": "other", "allowed": True}, "expected response.uid="),
        (lambda request: {**allow(request), "patch": "e30=", "patchType": "Other"}, 'unsupported patch type "Other"'),
        (lambda request: {**allow(request), "patch": "!", "patchType": "JSONPatch"}, "patch cannot be read"),
        (patching({"op": "remove", "path": "/data/nothing"}), "patch does not apply"),
    ],
)
async def test_a_failing_webhook_refuses_or_is_ignored(server: Server, hook: Hook, answer: Answer, words: str) -> None:
    hook.answer = answer
    made = configuration(hook, timeoutSeconds=1)
    await configure(server, made)
    refusal = await server.json("POST", PATH, config_map(), code=500)
    assert refusal["message"].startswith('Internal error occurred: failed calling webhook "injector.lab.test": ')
    assert words in refusal["message"]
    await server.registry.delete(MUTATING_WEBHOOKS, "injector")
    ignoring = copy.deepcopy(made)
    ignoring["webhooks"][0]["failurePolicy"] = "Ignore"
    await configure(server, ignoring)
    stored = await server.json("POST", PATH, config_map(), code=201)
    assert stored["data"] == {"a": "1"}


async def test_a_webhook_with_a_certificate_of_another_authority_is_not_trusted(server: Server, hook: Hook) -> None:
    made = configuration(hook)
    other = base64.b64encode(server.pki.authority_pem.encode()).decode()
    made["webhooks"][0]["clientConfig"]["caBundle"] = other
    await configure(server, made)
    refusal = await server.json("POST", PATH, config_map(), code=500)
    assert "certificate verify failed" in refusal["message"].lower()
    assert hook.asked == []


async def test_a_webhook_without_a_ready_endpoint_fails(server: Server, hook: Hook) -> None:
    await server.registry.delete(ENDPOINTSLICES, "injector-1", "hooks")
    await server.registry.create(ENDPOINTSLICES, endpoint_slice(hook.port, ready=False), namespace="hooks")
    await configure(server, configuration(hook))
    refusal = await server.json("POST", PATH, config_map(), code=500)
    assert 'no endpoints available for service "injector"' in refusal["message"]
    assert "https://injector.hooks.svc:443/inject?timeout=10s" in refusal["message"]


async def test_a_webhook_cannot_lock_out_its_own_configuration(server: Server, hook: Hook) -> None:
    rules = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]
    await configure(server, configuration(hook, rules=rules))
    hook.answer = fail
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/injector"
    await server.json("DELETE", path)


async def test_a_webhook_changes_only_what_its_conditions_hold_for(server: Server, hook: Hook) -> None:
    conditions = [{"name": "named", "expression": "object.metadata.name == 'other'"}]
    await configure(server, configuration(hook, matchConditions=conditions))
    await server.json("POST", PATH, config_map(), code=201)
    assert hook.asked == []
    await server.json("POST", PATH, {**config_map(), "metadata": {"name": "other"}}, code=201)
    assert len(hook.asked) == 1

"""ValidatingAdmissionPolicies: what they deny, warn of and say to the log, in Kubernetes' words."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.api.auth.authorizer import Authorizer
from mesh_lab.kube.api.context import WARNINGS
from mesh_lab.kube.api.policies.admission import Policies
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.options import Open, User, WriteOptions
from mesh_lab.kube.store import Store

CONFIGMAPS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
ALICE = WriteOptions(user=User("alice", ("developers",)))


@pytest.fixture
async def registry() -> Registry:
    made = Registry(Store())
    made.admission = Policies(Open(), made, Authorizer(made))
    await made.bootstrap()
    return made


async def enforce(
    registry: Registry, *expressions: Any, binding: dict[str, Any] | None = None, name: str = "p", **spec: Any
) -> None:
    validations = [one if isinstance(one, dict) else {"expression": one} for one in expressions]
    constraints = {"matchConstraints": {"resourceRules": [CONFIGMAPS]}}
    policy = {"metadata": {"name": name}, "spec": {**constraints, "validations": validations, **spec}}
    await registry.create(kinds.POLICIES, policy)
    bound = {"policyName": name, "validationActions": ["Deny"], **(binding or {})}
    await registry.create(kinds.POLICY_BINDINGS, {"metadata": {"name": f"{name}-b"}, "spec": bound})


async def write(registry: Registry, name: str = "c", options: WriteOptions = ALICE, **data: str) -> str:
    """Create a ConfigMap; what the denial says, empty when there is none."""
    obj = {"metadata": {"name": name, "namespace": "default", "labels": {"app": name}}, "data": data}
    try:
        await registry.create(kinds.CONFIGMAPS, obj, options=options)
    except ApiError as error:
        return f"{error.code} {error.reason}: {error.message}"
    return ""


async def test_a_denial_names_the_policy_and_its_binding(registry: Registry) -> None:
    await enforce(registry, {"expression": "object.data.size() < 2", "message": " too much "})
    assert await write(registry, a="1") == ""
    assert await write(registry, "d", a="1", b="2") == (
        '422 Invalid: configmaps "d" is forbidden: '
        "ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: too much"
    )
    assert registry.find(kinds.CONFIGMAPS, "d", "default") is None


async def test_without_a_binding_a_policy_is_not_in_force(registry: Registry) -> None:
    await enforce(registry, "false", binding={"policyName": "other"})
    assert await write(registry) == ""


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        ({"expression": "false"}, "422 Invalid: .*failed expression: false"),
        ({"expression": "false", "reason": "Forbidden", "message": "no"}, "403 Forbidden: .*denied request: no"),
        ({"expression": "false", "reason": "Unauthorized"}, "401 Unauthorized: "),
        ({"expression": "false", "reason": "RequestEntityTooLarge"}, "413 RequestEntityTooLarge: "),
        ({"expression": "false", "messageExpression": "'no ' + object.metadata.name"}, "denied request: no c$"),
        ({"expression": "false", "messageExpression": "object.absent", "message": "no"}, "denied request: no$"),
        (
            {"expression": "object.absent == 1"},
            "expression 'object.absent == 1' resulted in error: no such key: absent$",
        ),
    ],
)
async def test_the_words_of_a_denial(registry: Registry, validation: dict[str, str], expected: str) -> None:
    import re

    await enforce(registry, validation)
    assert re.search(expected, await write(registry))


async def test_an_error_counts_as_the_failure_policy_says(registry: Registry) -> None:
    await enforce(registry, "object.absent == 1", failurePolicy="Ignore")
    assert await write(registry) == ""


async def test_expressions_see_the_request_its_objects_and_its_namespace(registry: Registry) -> None:
    await enforce(
        registry,
        "request.operation == 'CREATE' ? oldObject == null : oldObject.data.a != object.data.a",
        "request.userInfo.username == 'alice' && 'developers' in request.userInfo.groups",
        "request.name == object.metadata.name && request.__namespace__ == 'default'",
        "request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps' && !request.dryRun",
        "namespaceObject.metadata.name == 'default' && namespaceObject.status.phase == 'Active'",
    )
    assert await write(registry, a="1") == ""
    with pytest.raises(ApiError, match=r"failed expression: request\.operation"):
        await registry.change(kinds.CONFIGMAPS, "c", "default", lambda obj: {**obj, "immutable": False}, options=ALICE)


async def test_variables_are_evaluated_when_they_are_read(registry: Registry) -> None:
    variables = [
        {"name": "a", "expression": "object.data.a"},
        {"name": "twice", "expression": "variables.a + variables.a"},
        {"name": "bad", "expression": "object.absent"},
    ]
    await enforce(registry, "variables.twice == 'xx'", "true || variables.bad == 1", variables=variables)
    assert await write(registry, a="x") == ""
    assert 'composited variable "a" fails to evaluate: no such key: a' in await write(registry, "d")


async def test_match_conditions_come_first(registry: Registry) -> None:
    conditions = [{"name": "not-me", "expression": "request.userInfo.username != 'alice'"}]
    await enforce(registry, "false", matchConditions=conditions)
    assert await write(registry) == ""
    assert "denied" in await write(registry, "d", options=WriteOptions(user=User("bob")))


async def test_a_condition_without_a_value_fails_closed(registry: Registry) -> None:
    await enforce(registry, "true", matchConditions=[{"name": "x", "expression": "object.absent == 1"}])
    assert "resulted in error: no such key: absent" in await write(registry)


async def test_bindings_narrow_what_a_policy_is_about(registry: Registry) -> None:
    binding = {"matchResources": {"objectSelector": {"matchLabels": {"app": "d"}}}}
    await enforce(registry, "false", binding=binding)
    assert await write(registry, "c") == ""
    assert "denied" in await write(registry, "d")


async def test_excluded_resources_and_names_are_left_out(registry: Registry) -> None:
    excluded = {**CONFIGMAPS, "resourceNames": ["c"]}
    constraints = {"resourceRules": [CONFIGMAPS], "excludeResourceRules": [excluded]}
    await enforce(registry, "false", matchConstraints=constraints)
    assert await write(registry, "c") == ""
    assert "denied" in await write(registry, "d")


async def test_a_policy_is_judged_with_each_of_its_parameters(registry: Registry) -> None:
    for name, most in (("few", "1"), ("many", "3")):
        limits = {
            "metadata": {"name": name, "namespace": "default", "labels": {"limit": "yes"}},
            "data": {"most": most},
        }
        await registry.create(kinds.CONFIGMAPS, limits)
    reference = {"selector": {"matchLabels": {"limit": "yes"}}, "parameterNotFoundAction": "Deny"}
    await enforce(
        registry,
        {"expression": "object.data.size() <= int(params.data.most)", "messageExpression": "params.metadata.name"},
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": reference},
    )
    assert await write(registry, a="1") == ""
    assert (await write(registry, "d", a="1", b="2")).endswith("denied request: few")


@pytest.mark.parametrize(("action", "denied"), [("Deny", True), ("Allow", False)])
async def test_parameters_that_are_not_there_deny_or_allow(registry: Registry, action: str, denied: bool) -> None:
    await enforce(
        registry,
        "params != null",
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": {"name": "absent", "parameterNotFoundAction": action}},
    )
    said = await write(registry)
    assert ("failed to configure binding: no params found" in said) is denied
    assert bool(said) is denied


async def test_warn_and_audit_let_the_request_through(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    await enforce(
        registry,
        {"expression": "false", "message": "no"},
        auditAnnotations=[{"key": "who", "valueExpression": "request.userInfo.username"}],
        binding={"validationActions": ["Warn", "Audit"]},
    )
    warnings: list[str] = []
    token = WARNINGS.set(warnings)
    try:
        with caplog.at_level(logging.INFO):
            assert await write(registry) == ""
    finally:
        WARNINGS.reset(token)
    assert warnings == ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-b': no"]
    assert "audit annotation p/who: alice" in caplog.text
    assert '"validationActions": ["Warn", "Audit"]' in caplog.text


async def test_expressions_may_ask_what_the_user_may_do(registry: Registry) -> None:
    await enforce(
        registry,
        "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()",
        "authorizer.requestResource.check('create').allowed() && authorizer.path('/healthz').check('get').allowed()",
    )
    assert "failed expression: authorizer.group" in await write(registry)
    master = WriteOptions(user=User("root", ("system:masters",)))
    assert await write(registry, options=master) == ""


async def test_a_text_with_a_nul_is_not_judged_by_its_beginning(registry: Registry) -> None:
    await enforce(registry, "object.data.a == 'ok'")
    assert "a text with a NUL cannot be evaluated" in await write(registry, a="ok\0not")


async def test_no_policy_locks_out_those_who_could_mend_it(registry: Registry) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    await enforce(registry, "false", matchConstraints={"resourceRules": [everything]})
    assert "denied" in await write(registry)
    await registry.delete(kinds.POLICY_BINDINGS, "p-b")
    assert await write(registry) == ""

"""ValidatingAdmissionPolicies and bindings: defaults, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry

RULE = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}


def policy(**spec: Any) -> Object:
    usual = {
        "matchConstraints": {"resourceRules": [RULE]},
        "validations": [{"expression": "object.spec.replicas <= 5"}],
    }
    return {"metadata": {"name": "p"}, "spec": {**usual, **spec}}


def binding(**spec: Any) -> Object:
    return {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"], **spec}}


async def test_defaults_and_status(registry: Registry) -> None:
    stored = await registry.create(kinds.POLICIES, policy())
    assert stored["spec"]["failurePolicy"] == "Fail"
    constraints = stored["spec"]["matchConstraints"]
    assert constraints["matchPolicy"] == "Equivalent"
    assert (constraints["namespaceSelector"], constraints["objectSelector"]) == ({}, {})
    assert constraints["resourceRules"][0]["scope"] == "*"
    assert stored["status"] == {"observedGeneration": 1, "typeChecking": {}}

    def ignore(obj: Object) -> Object:
        obj["spec"]["failurePolicy"] = "Ignore"
        return obj

    changed = await registry.modify(kinds.POLICIES, "p", "", ignore)
    assert changed is not None
    assert changed["metadata"]["generation"] == changed["status"]["observedGeneration"] == 2


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"matchConstraints": None}, "spec.matchConstraints: Required value"),
        ({"matchConstraints": {}}, "spec.matchConstraints.resourceRules: Required value"),
        ({"validations": []}, "validations or auditAnnotations must contain at least one item"),
        ({"validations": [{"expression": " "}]}, "spec.validations[0].expression: Required value"),
        (
            {"validations": [{"expression": "object.x =="}]},
            'spec.validations[0].expression: Invalid value: "object.x ==": compilation failed: ERROR: <input>:1:12',
        ),
        ({"validations": [{"expression": "params.x == 1"}]}, "undeclared reference to 'params'"),
        ({"validations": [{"expression": "request.nmae == ''"}]}, "undefined field 'nmae'"),
        (
            {"validations": [{"expression": "'x'"}]},
            "spec.validations[0].expression: Invalid value: \"'x'\": must evaluate to bool",
        ),
        ({"validations": [{"expression": "true", "messageExpression": "1"}]}, "must evaluate to string"),
        ({"validations": [{"expression": "true\n", "message": "a\nb"}]}, "message must not contain line breaks"),
        (
            {"validations": [{"expression": "true &&\ntrue"}]},
            "message must be specified if expression contains line breaks",
        ),
        (
            {"validations": [{"expression": "true", "reason": "Bad"}]},
            'spec.validations[0].reason: Unsupported value: "Bad"',
        ),
        ({"variables": [{"name": "a b", "expression": "1"}]}, "name is not a valid CEL identifier"),
        ({"variables": [{"name": "a", "expression": "variables.b"}]}, "undefined field 'b'"),
        ({"matchConditions": [{"name": "x", "expression": "1"}]}, "spec.matchConditions[0].expression: Invalid value"),
        ({"matchConditions": [{"name": "", "expression": "true"}]}, "spec.matchConditions[0].name: Required value"),
        ({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]}, "must evaluate to string or null_type"),
        ({"paramKind": {"kind": "ConfigMap"}}, "spec.paramKind.apiVersion: Required value"),
        (
            {"failurePolicy": "Maybe"},
            'spec.failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"',
        ),
    ],
)
async def test_what_is_wrong_with_a_policy(registry: Registry, spec: dict[str, Any], expected: str) -> None:
    with pytest.raises(ApiError) as raised:
        await registry.create(kinds.POLICIES, policy(**spec))
    assert expected in raised.value.message


async def test_what_belongs_together_is_taken(registry: Registry) -> None:
    await registry.create(
        kinds.POLICIES,
        policy(
            paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
            variables=[{"name": "a", "expression": "params.data.a"}, {"name": "b", "expression": "variables.a + 'x'"}],
            validations=[{"expression": "variables.b == 'x' && authorizer.requestResource.check('x').allowed()"}],
            auditAnnotations=[{"key": "k", "valueExpression": "string(object.spec.replicas)"}],
        ),
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"policyName": ""}, "spec.policyName: Required value"),
        ({"validationActions": []}, "spec.validationActions: Required value"),
        ({"validationActions": ["Deny", "Warn"]}, "must not contain both Deny and Warn"),
        ({"validationActions": ["Audit", "Audit"]}, 'spec.validationActions[1]: Duplicate value: "Audit"'),
        ({"validationActions": ["Stop"]}, 'Unsupported value: "Stop": supported values: "Audit", "Deny", "Warn"'),
        ({"paramRef": {"parameterNotFoundAction": "Deny"}}, "spec.paramRef: Required value"),
        ({"paramRef": {"name": "x"}}, "spec.paramRef.parameterNotFoundAction: Required value"),
        (
            {"paramRef": {"name": "x", "selector": {}, "parameterNotFoundAction": "Deny"}},
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
        ),
    ],
)
async def test_what_is_wrong_with_a_binding(registry: Registry, spec: dict[str, Any], expected: str) -> None:
    with pytest.raises(ApiError) as raised:
        await registry.create(kinds.POLICY_BINDINGS, binding(**spec))
    assert expected in raised.value.message

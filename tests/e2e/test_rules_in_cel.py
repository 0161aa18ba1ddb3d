"""Rules in CEL: of a CustomResourceDefinition, and of a ValidatingAdmissionPolicy. They hold on any Kubernetes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mesh_lab.testing import Mesh

pytestmark = pytest.mark.mesh_injection(False)


def definition(group: str, rule: str) -> dict[str, Any]:
    spec = {
        "type": "object",
        "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
        "x-kubernetes-validations": [
            {"rule": rule, "message": "low must not be above high"},
            {"rule": "self.high >= oldSelf.high", "messageExpression": "'high was ' + string(oldSelf.high)"},
        ],
    }
    schema = {"type": "object", "properties": {"spec": spec}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"ranges.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "ranges", "kind": "Range"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def write(mesh: Mesh, obj: dict[str, Any]) -> str:
    """Apply an object; what kubectl says to standard error."""
    return mesh.api.try_kubectl("-n", mesh.namespace, "apply", "-f", "-", stdin=json.dumps(obj)).stderr


@pytest.fixture
def group(mesh: Mesh) -> Iterator[str]:
    """An API group of this test's own, without definitions in the end."""
    name = f"{mesh.namespace}.example.com"
    yield name
    mesh.api.kubectl("delete", "crd", f"ranges.{name}", "--ignore-not-found")


def test_a_definitions_rules_hold_for_its_objects(mesh: Mesh, group: str) -> None:
    refused = write(mesh, definition(group, "self.low <= self.hihg"))
    assert "compilation failed: ERROR: <input>:1:17: undefined field 'hihg'" in refused
    assert write(mesh, definition(group, "self.low <= self.high")) == ""
    mesh.api.kubectl("wait", "--for=condition=Established", f"crd/ranges.{group}")

    def put(low: int, high: int) -> str:
        spec = {"low": low, "high": high}
        return write(mesh, {"apiVersion": f"{group}/v1", "kind": "Range", "metadata": {"name": "r"}, "spec": spec})

    assert "low must not be above high" in put(3, 2)
    assert put(1, 2) == ""
    assert "high was 2" in put(1, 1)
    assert put(2, 3) == ""


@pytest.fixture
def policy(mesh: Mesh) -> Iterator[dict[str, Any]]:
    """A policy about this test's namespace, and its binding; both go in the end."""
    name = f"{mesh.namespace}-no-secrets"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": mesh.namespace}}
    yield {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicy",
                "metadata": {"name": name},
                "spec": {
                    "matchConstraints": {"resourceRules": [rule], "namespaceSelector": here},
                    "matchConditions": [{"name": "ours", "expression": "object.metadata.name.startsWith('ours')"}],
                    "variables": [{"name": "bad", "expression": "object.data.filter(k, k.contains('password'))"}],
                    "validations": [
                        {"expression": "size(variables.bad) == 0", "messageExpression": "'no ' + variables.bad[0]"}
                    ],
                },
            },
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": {"name": name},
                "spec": {"policyName": name, "validationActions": ["Deny"]},
            },
        ],
    }
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        mesh.api.kubectl("delete", kind, name, "--ignore-not-found")


def test_a_policy_denies_what_it_is_about(mesh: Mesh, policy: dict[str, Any]) -> None:
    def put(name: str, key: str) -> str:
        return write(mesh, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: "x"}})

    assert write(mesh, policy) == ""
    # A cluster of several API servers learns of a policy after a while; the lab knows it at once.
    until = time.monotonic() + 30
    while (said := put("ours", "db-password")) == "" and time.monotonic() < until:
        mesh.api.kubectl("-n", mesh.namespace, "delete", "configmap", "ours")
    assert "denied request: no db-password" in said
    assert put("ours", "user") == ""
    assert put("theirs", "db-password") == ""

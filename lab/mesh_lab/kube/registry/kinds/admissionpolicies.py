"""ValidatingAdmissionPolicies and their bindings. Who holds requests to them: `mesh_lab.kube.api.policies`.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import Behaviour, Cluster
from mesh_lab.kube.registry.cel.admission import AdmissionChecker
from mesh_lab.kube.registry.cel.expressions import CompileError
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part
from mesh_lab.kube.registry.rules.causes import duplicates, forbidden, invalid, required
from mesh_lab.kube.registry.rules.conditions import check_conditions, check_expression
from mesh_lab.kube.registry.rules.fields import Rules, one_of
from mesh_lab.kube.registry.rules.labels import check_selector
from mesh_lab.kube.registry.syntax.names import qualified_name_problem, subdomain_problem
from mesh_lab.kube.resources import POLICIES, POLICY_BINDINGS

_RULE_FIELDS = ("operations", "apiGroups", "apiVersions", "resources")
_TWICE = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
    "headers serves no purpose)"
)
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_MATCHING: Rules = {
    ("MatchResources", "matchPolicy"): one_of("Equivalent", "Exact"),
    ("NamedRuleWithOperations", "operations"): one_of("*", "CONNECT", "CREATE", "DELETE", "UPDATE"),
    ("NamedRuleWithOperations", "scope"): one_of("*", "Cluster", "Namespaced"),
}
_OF_POLICIES: Rules = {
    **_MATCHING,
    ("ValidatingAdmissionPolicySpec", "failurePolicy"): one_of("Fail", "Ignore"),
    ("Validation", "reason"): one_of("Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge"),
}
_OF_BINDINGS: Rules = {
    **_MATCHING,
    ("ValidatingAdmissionPolicyBindingSpec", "validationActions"): one_of("Audit", "Deny", "Warn"),
    ("ParamRef", "parameterNotFoundAction"): one_of("Allow", "Deny"),
}


def _fill_policy(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    _fill_matching(spec.get("matchConstraints"))


def _fill_binding(binding: Object) -> None:
    _fill_matching((binding.get("spec") or {}).get("matchResources"))


def _fill_matching(matching: dict[str, Any] | None) -> None:
    if matching is None:
        return
    matching.setdefault("matchPolicy", "Equivalent")
    matching.setdefault("namespaceSelector", {})
    matching.setdefault("objectSelector", {})
    for rule in (*(matching.get("resourceRules") or ()), *(matching.get("excludeResourceRules") or ())):
        rule.setdefault("scope", "*")


def _check_policy(policy: Object) -> Iterator[Cause]:
    """Everything that is wrong with a ValidatingAdmissionPolicy."""
    spec = policy.get("spec") or {}
    if (kind := spec.get("paramKind")) is not None:
        for field in ("apiVersion", "kind"):
            if not kind.get(field):
                yield required(f"spec.paramKind.{field}")
    if spec.get("matchConstraints") is None:
        yield required("spec.matchConstraints")
    else:
        yield from _check_matching(spec["matchConstraints"], "spec.matchConstraints", needed=True)
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        for field in ("validations", "auditAnnotations"):
            yield required(f"spec.{field}", "validations or auditAnnotations must contain at least one item")
    checker = AdmissionChecker(of_policy=True, params=spec.get("paramKind") is not None)
    yield from check_conditions(spec.get("matchConditions") or (), "spec.matchConditions", checker)
    yield from _check_variables(spec.get("variables") or (), checker)
    for index, validation in enumerate(spec.get("validations") or ()):
        yield from _check_validation(validation, f"spec.validations[{index}]", checker)
    annotations = spec.get("auditAnnotations") or ()
    for index, annotation in enumerate(annotations):
        yield from _check_annotation(annotation, f"spec.auditAnnotations[{index}]", checker)
    yield from duplicates((one.get("key") for one in annotations), "spec.auditAnnotations", "key")


def _check_variables(variables: Any, checker: AdmissionChecker) -> Iterator[Cause]:
    for index, variable in enumerate(variables):
        path, called, text = f"spec.variables[{index}]", variable.get("name", ""), variable.get("expression", "")
        if not called:
            yield required(f"{path}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(called):
            yield invalid(f"{path}.name", called, "name is not a valid CEL identifier")
        if not text.strip():
            yield required(f"{path}.expression", "expression is not specified")
            continue
        try:
            checker.check(text)
        except CompileError as error:
            yield invalid(f"{path}.expression", text, f"compilation failed: {error}")
        if _IDENTIFIER.fullmatch(called):
            checker.declare(called)
    yield from duplicates((variable.get("name") for variable in variables), "spec.variables", "name")


def _check_validation(validation: Mapping[str, Any], path: str, checker: AdmissionChecker) -> Iterator[Cause]:
    text, message = validation.get("expression", "").strip(), validation.get("message", "")
    if not text:
        yield required(f"{path}.expression", "expression is not specified")
    else:
        yield from check_expression(validation["expression"], f"{path}.expression", checker, ("BOOL",))
    if message and not message.strip():
        yield invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif "\n" in message.strip():
        yield invalid(f"{path}.message", message, "message must not contain line breaks")
    elif "\n" in text and not message:
        yield required(f"{path}.message", "message must be specified if expression contains line breaks")
    if (expression := validation.get("messageExpression", "")) and not expression.strip():
        yield invalid(f"{path}.messageExpression", expression, "must be non-empty if specified")
    elif expression:
        yield from check_expression(expression, f"{path}.messageExpression", checker, ("STRING",))


def _check_annotation(annotation: Mapping[str, Any], path: str, checker: AdmissionChecker) -> Iterator[Cause]:
    key = annotation.get("key", "")
    if not key:
        yield required(f"{path}.key")
    elif problem := qualified_name_problem(key):
        yield invalid(f"{path}.key", key, problem)
    text = annotation.get("valueExpression", "")
    yield from check_expression(text, f"{path}.valueExpression", checker, ("STRING", "NULL"))


def _check_matching(matching: Mapping[str, Any], path: str, *, needed: bool) -> Iterator[Cause]:
    rules = matching.get("resourceRules") or ()
    if needed and not rules:
        yield required(f"{path}.resourceRules")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(matching.get(field) or ()):
            for part_of in _RULE_FIELDS:
                if not rule.get(part_of):
                    yield required(f"{path}.{field}[{index}].{part_of}")
    for field in ("namespaceSelector", "objectSelector"):
        yield from check_selector(matching.get(field) or {}, f"{path}.{field}")


def _check_binding(binding: Object) -> Iterator[Cause]:
    """Everything that is wrong with a ValidatingAdmissionPolicyBinding."""
    spec = binding.get("spec") or {}
    policy, actions = spec.get("policyName", ""), spec.get("validationActions") or ()
    if not policy:
        yield required("spec.policyName")
    elif problem := subdomain_problem(policy):
        yield invalid("spec.policyName", policy, problem)
    if not actions:
        yield required("spec.validationActions", "at least one validation action is required")
    yield from duplicates(actions, "spec.validationActions")
    if "Deny" in actions and "Warn" in actions:
        why = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response"
        )
        yield invalid("spec.validationActions", actions, f"{why} and headers serves no purpose)")
    if (reference := spec.get("paramRef")) is not None:
        yield from _check_reference(reference)
    if spec.get("matchResources") is not None:
        yield from _check_matching(spec["matchResources"], "spec.matchResources", needed=False)


def _check_reference(reference: Mapping[str, Any]) -> Iterator[Cause]:
    called, selector = reference.get("name"), reference.get("selector")
    if called and selector is not None:
        for field in ("name", "selector"):
            yield forbidden(f"spec.paramRef.{field}", "name and selector are mutually exclusive")
    elif not called and selector is None:
        yield required("spec.paramRef", "one of name or selector must be specified")
    elif selector is not None:
        yield from check_selector(selector, "spec.paramRef.selector")
    if not reference.get("parameterNotFoundAction"):
        yield required("spec.paramRef.parameterNotFoundAction")


def _allocate(_cluster: Cluster, policy: Object, old: Object | None) -> None:
    """Say that the policy as written is the one in force: its expressions were checked in the same write."""
    before = (old or {}).get("metadata", {}).get("generation", 0)
    changed = old is None or old.get("spec") != policy.get("spec")
    policy["status"] = {"observedGeneration": before + changed, "typeChecking": {}}


def _policy_row(obj: Mapping[str, Any], now: datetime) -> Cells:
    spec = part(obj, "spec")
    kind = spec.get("paramKind") or {}
    shown = f"{kind['apiVersion']}/{kind['kind']}" if kind else "<unset>"
    return [name(obj), len(spec.get("validations") or ()), shown, age(obj, now)]


def _binding_row(obj: Mapping[str, Any], now: datetime) -> Cells:
    spec = part(obj, "spec")
    reference = spec.get("paramRef") or {}
    shown = "/".join(filter(None, (reference.get("namespace"), reference.get("name")))) if reference else "<unset>"
    return [name(obj), spec.get("policyName", ""), shown or "*", age(obj, now)]


POLICY = Behaviour(
    POLICIES,
    fill_defaults=_fill_policy,
    fields=_OF_POLICIES,
    check=_check_policy,
    allocate=_allocate,
    counts_generations=True,
    names_what_it_replaces=False,
    printer=Printer((NAME, Column("Validations", "integer"), Column("ParamKind"), AGE), _policy_row),
)
BINDING = Behaviour(
    POLICY_BINDINGS,
    fill_defaults=_fill_binding,
    fields=_OF_BINDINGS,
    check=_check_binding,
    counts_generations=True,
    printer=Printer((NAME, Column("PolicyName"), Column("ParamRef"), AGE), _binding_row),
)

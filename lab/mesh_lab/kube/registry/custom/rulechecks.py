"""The rules in CEL of a definition's schema, checked when the definition is applied.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.cel.declared import Declared, declare, escaped
from mesh_lab.kube.registry.cel.expressions import Checker, CompileError, parse
from mesh_lab.kube.registry.cel.messages import Messages
from mesh_lab.kube.registry.cel.trees import identifiers
from mesh_lab.kube.registry.custom import fieldpaths, oldself
from mesh_lab.kube.registry.custom.validations import REASONS
from mesh_lab.kube.registry.rules.causes import invalid, required, unsupported
from mesh_lab.kube.schemas import Form, Schema, Validation

_LINE_BREAK = re.compile(r"[\n\r]")


@dataclass(frozen=True)
class _Node:
    """A schema that has rules, the type of its values, and the list above it that cannot tell its items apart."""

    schema: Schema
    declared: Declared | None
    path: str
    unknown_again: str = ""


def check(schema: Schema, path: str) -> Iterator[Cause]:
    """Everything that is wrong with the rules of a version's schema; `path` is where it stands."""
    if not schema.has_validations:
        return
    nodes = list(_nodes(_Node(schema, declare(schema, root=True), path)))
    causes = [cause for node in nodes for each in node.schema.validations for cause in _check_form(node, each)]
    yield from causes
    # Expressions over a schema that is wrong would be told wrong things.
    if not causes:
        yield from _check_expressions(nodes)


def _nodes(node: _Node) -> Iterator[_Node]:
    schema, declared = node.schema, node.declared
    if schema.validations:
        yield node
    for name, one in schema.properties.items():
        if one.has_validations:
            below = declared.fields.get(escaped(name)) if declared is not None else None
            yield from _nodes(_Node(one, below or declare(one), f"{node.path}.properties[{name}]", node.unknown_again))
    if schema.values is not None and schema.values.has_validations:
        below = (declared.element if declared is not None else None) or declare(schema.values)
        is_list = schema.form is Form.LIST
        forgotten = node.unknown_again or (node.path if is_list and schema.list_type != "map" else "")
        step = "items" if is_list else "additionalProperties"
        yield from _nodes(_Node(schema.values, below, f"{node.path}.{step}", forgotten))


def _check_form(node: _Node, validation: Validation) -> Iterator[Cause]:
    """What is wrong with a rule before anybody reads its expressions."""
    path = f"{node.path}.{validation.place}"
    rule, message = validation.rule.strip(), validation.message.strip()
    if not rule:
        yield required(f"{path}.rule", "rule is not specified")
    elif validation.message and not message:
        yield invalid(f"{path}.message", validation.message, "must be non-empty if specified")
    elif _LINE_BREAK.search(message):
        yield invalid(f"{path}.message", validation.message, "must not contain line breaks")
    elif _LINE_BREAK.search(rule) and not message:
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    if validation.message_expression and not validation.message_expression.strip():
        yield required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if validation.reason and validation.reason not in REASONS:
        yield unsupported(f"{path}.reason", validation.reason, REASONS)
    if validation.field_path and not validation.field_path.strip():
        yield invalid(f"{path}.fieldPath", validation.field_path, "must be non-empty if specified")
    elif _LINE_BREAK.search(validation.field_path):
        yield invalid(f"{path}.fieldPath", validation.field_path, "must not contain line breaks")
    elif validation.field_path and not fieldpaths.is_valid(validation.field_path, node.schema):
        yield invalid(f"{path}.fieldPath", validation.field_path, "must be a valid path")


def _check_expressions(nodes: list[_Node]) -> Iterator[Cause]:
    messages = Messages()
    variables = {
        f"self{index}": messages.type_of(node.declared) for index, node in enumerate(nodes) if node.declared is not None
    }
    # One environment for all: each rule sees its own variable under the name `self`.
    checker = Checker(variables, messages.file)
    for index, node in enumerate(nodes):
        for validation in node.schema.validations:
            yield from _check_rule(checker, f"self{index}", node, validation)


def _check_rule(checker: Checker, variable: str, node: _Node, validation: Validation) -> Iterator[Cause]:
    path = f"{node.path}.{validation.place}"
    if node.declared is None:
        why = "the values of this schema have no type that a rule could read: x-kubernetes-preserve-unknown-fields"
        yield invalid(f"{path}.rule", validation.rule, f"compilation failed: {why}")
        return
    try:
        if _type_of(checker, variable, validation, validation.rule) not in ("BOOL", "DYN"):
            yield invalid(f"{path}.rule", validation.rule, "cel expression must evaluate to a bool")
    except CompileError as error:
        yield invalid(f"{path}.rule", validation.rule, f"compilation failed: {error}")
        return
    yield from _check_message(checker, variable, validation, path)
    compares = oldself.OLD in identifiers(parse(validation.rule))
    if compares and node.unknown_again:
        why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {node.unknown_again}"
        yield invalid(f"{path}.rule", validation.rule, why)
    elif not compares and validation.optional_old_self is not None:
        why = "may not be set if oldSelf is not used in rule"
        yield invalid(f"{path}.optionalOldSelf", validation.optional_old_self, why)


def _check_message(checker: Checker, variable: str, validation: Validation, path: str) -> Iterator[Cause]:
    text = validation.message_expression
    if not text:
        return
    try:
        if _type_of(checker, variable, validation, text) not in ("STRING", "DYN"):
            yield invalid(f"{path}.messageExpression", text, "messageExpression must evaluate to a string")
    except CompileError as error:
        yield invalid(f"{path}.messageExpression", text, f"messageExpression compilation failed: {error}")


def _type_of(checker: Checker, variable: str, validation: Validation, text: str) -> str:
    old = f"optional.of({variable})" if validation.optional_old_self else variable
    return checker.check(text, f"cel.bind(self, {variable}, cel.bind({oldself.OLD}, {old},", "))")

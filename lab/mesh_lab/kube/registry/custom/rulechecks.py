"""The rules in CEL of a definition's schema, checked when the definition is applied.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.cel.declared import declare
from mesh_lab.kube.registry.cel.expressions import Checker, CompileError, parse, program
from mesh_lab.kube.registry.cel.messages import Messages
from mesh_lab.kube.registry.cel.trees import identifiers
from mesh_lab.kube.registry.custom import fieldpaths, oldself, rulecosts
from mesh_lab.kube.registry.custom.rulenodes import Node, nodes
from mesh_lab.kube.registry.custom.validations import REASONS
from mesh_lab.kube.registry.rules.causes import invalid, required, unsupported
from mesh_lab.kube.schemas import Schema, Validation

_LINE_BREAK = re.compile(r"[\n\r]")


def check(schema: Schema, path: str) -> Iterator[Cause]:
    """Everything that is wrong with the rules of a version's schema; `path` is where it stands."""
    if not schema.has_validations:
        return
    found = list(nodes(Node(schema, declare(schema, root=True), path)))
    causes = [cause for node in found for each in node.schema.validations for cause in _check_form(node, each)]
    yield from causes
    # Expressions over a schema that is wrong would be told wrong things.
    if not causes:
        yield from _check_expressions(found, path)


def _check_form(node: Node, validation: Validation) -> Iterator[Cause]:
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


def _check_expressions(found: list[Node], root: str) -> Iterator[Cause]:
    messages = Messages()
    variables = {
        f"self{index}": messages.type_of(node.declared) for index, node in enumerate(found) if node.declared is not None
    }
    # One environment for all: each rule sees its own variable under the name `self`.
    checker = Checker(variables, messages.file)
    causes = [
        cause
        for index, node in enumerate(found)
        for validation in node.schema.validations
        for cause in _check_rule(checker, f"self{index}", node, validation)
    ]
    yield from causes
    if not causes:
        yield from rulecosts.check(found, root)


def _check_rule(checker: Checker, variable: str, node: Node, validation: Validation) -> Iterator[Cause]:
    path = f"{node.path}.{validation.place}"
    if node.declared is None:
        why = "the values of this schema have no type that a rule could read: x-kubernetes-preserve-unknown-fields"
        yield invalid(f"{path}.rule", validation.rule, f"compilation failed: {why}")
        return
    try:
        if _type_of(checker, variable, validation, validation.rule) not in ("BOOL", "DYN"):
            yield invalid(f"{path}.rule", validation.rule, "cel expression must evaluate to a bool")
        # It is made now, beside the loop, and not when the first object has to wait for it.
        program(oldself.text_of(validation, validation.rule))
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

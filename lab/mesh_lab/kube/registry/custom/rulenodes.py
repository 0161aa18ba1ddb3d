"""Where a definition's schema has rules in CEL, and what the rules there are about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mesh_lab.kube.registry.cel.declared import Declared, declare, escaped
from mesh_lab.kube.schemas import Form, Schema


@dataclass(frozen=True)
class Node:
    """A schema that has rules, the type of its values, and the list above it (if any) that cannot tell items apart."""

    schema: Schema
    declared: Declared | None
    path: str
    unknown_again: str = ""
    times: int | None = 1
    """At how many places there may be values of it at most; None: the lists and maps above have no limits."""


def nodes(node: Node) -> Iterator[Node]:
    """The node and those below it, as far as they have rules."""
    schema, declared = node.schema, node.declared
    if schema.validations:
        yield node
    for name, one in schema.properties.items():
        if one.has_validations:
            below = declared.fields.get(escaped(name)) if declared is not None else None
            yield from nodes(Node(one, below or declare(one), f"{node.path}.properties[{name}]", node.unknown_again))
    if schema.values is not None and schema.values.has_validations:
        below = (declared.element if declared is not None else None) or declare(schema.values)
        is_list = schema.form is Form.LIST
        forgotten = node.unknown_again or (node.path if is_list and schema.list_type != "map" else "")
        step = "items" if is_list else "additionalProperties"
        most = schema.rules.get("maxItems" if is_list else "maxProperties")
        times = None if node.times is None or most is None else node.times * most
        yield from nodes(Node(schema.values, below, f"{node.path}.{step}", forgotten, times))

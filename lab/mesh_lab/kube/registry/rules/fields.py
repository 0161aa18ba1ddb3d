"""Rules of single fields: enumerated, a port, a minimum, a mode, required.

A table of them maps (Go type, field) to a rule. Each kind has a table (`Behaviour.fields`), which includes that of
`mesh_lab.kube.registry.podspec.fields` where the kind makes pods. `SHARED` holds for all kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.rules.causes import invalid, required, unsupported
from mesh_lab.kube.registry.syntax.names import port_name_problem
from mesh_lab.kube.schemas import Form, Schema

# The status is the system's own, and the metadata has rules for all kinds alike.
_SKIPPED = frozenset({"metadata", "status", "apiVersion", "kind"})
_TEXT_OR_PARTS = (Form.STRING, Form.OBJECT, Form.MAP, Form.LIST)
_PORT_RANGE = "must be between 1 and 65535, inclusive"
_MODE_RANGE = "must be a number between 0 and 0777 (octal), both inclusive"


def _enum(supported: tuple[str, ...], value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, list):
        for index, one in enumerate(value):
            if one not in supported:
                yield unsupported(f"{path}[{index}]", one, supported)
    elif value and value not in supported:
        yield unsupported(path, value, supported)


def _port(value: int | str, path: str, *, needed: bool) -> Iterator[Cause]:
    if isinstance(value, str):
        if problem := port_name_problem(value):
            yield invalid(path, value, problem)
    elif not 1 <= value <= 65535 and (needed or value):
        yield invalid(path, value, _PORT_RANGE)


def _minimum(minimum: int, value: int, path: str) -> Iterator[Cause]:
    if value < minimum:
        yield invalid(path, value, f"must be greater than or equal to {minimum}")


def _mode(value: int, path: str) -> Iterator[Cause]:
    if not 0 <= value <= 0o777:
        yield invalid(path, value, _MODE_RANGE)


def _any_value(value: Any, path: str) -> Iterator[Cause]:  # noqa: ARG001
    return iter(())


@dataclass(frozen=True)
class Rule:
    """What one field may hold."""

    check: Callable[[Any, str], Iterator[Cause]] = _any_value
    """What is wrong with the value at a path."""
    may_be_empty: bool = False
    """Whether the field may be absent or empty although the schema requires it: its zero value means something."""
    not_empty: bool = False
    """Whether a required list must have items."""
    why: str = ""
    """The words for a required list that has none."""


def one_of(*values: str) -> Rule:
    """One of these words. An empty value passes: where it is not allowed, the field is required or has a default."""
    return Rule(partial(_enum, values))


def at_least(minimum: int) -> Rule:
    """A number of this size or larger."""
    return Rule(partial(_minimum, minimum))


def not_empty(why: str = "") -> Rule:
    """A list with items, and the words that say so."""
    return Rule(not_empty=True, why=why)


PORT = Rule(partial(_port, needed=True), may_be_empty=True)
"""A port, by number or by name where the field takes both."""
OPTIONAL_PORT = Rule(partial(_port, needed=False), may_be_empty=True)
"""The same, or 0."""
MODE = Rule(_mode)
"""The mode of a file in a volume."""
MAY_BE_EMPTY = Rule(may_be_empty=True)
PROTOCOL = one_of("SCTP", "TCP", "UDP")
TAINT_EFFECT = one_of("NoExecute", "NoSchedule", "PreferNoSchedule")

Rules = Mapping[tuple[str, str], Rule]
SHARED: Rules = {
    ("LabelSelectorRequirement", "operator"): one_of("DoesNotExist", "Exists", "In", "NotIn"),
    ("ServiceReference", "port"): OPTIONAL_PORT,
}
"""Of types that kinds use which have nothing else in common, such as workloads, roles and webhooks.

They are keyed by type and not said by each kind: a kind that left one out would take what a real API server refuses.
"""


def check(schema: Schema, obj: Object, rules: Rules) -> Iterator[Cause]:
    """Everything that the rules find wrong with an object."""
    if (status := schema.properties.get("status")) is not None and "status" in obj:
        yield from _status(status, obj["status"], rules)
    yield from _fields(schema, obj, "", rules, skipped=_SKIPPED)


def _status(schema: Schema, value: dict[str, Any], rules: Rules) -> Iterator[Cause]:
    owner = schema.go_type.rpartition(".")[2]
    for name, item in value.items():
        if (rule := rules.get((owner, name))) is not None:
            yield from rule.check(item, f"status.{name}")


def _fields(
    schema: Schema, value: dict[str, Any], path: str, rules: Rules, skipped: frozenset[str] = frozenset()
) -> Iterator[Cause]:
    owner = schema.go_type.rpartition(".")[2]
    prefix = f"{path}." if path else ""
    for name in schema.required:
        if name not in skipped:
            rule = rules.get((owner, name), _NO_RULE)
            if _is_missing(schema.properties[name], rule, name, value):
                yield required(prefix + name, rule.why)
    for name, item in value.items():
        if name in skipped or name not in schema.properties:
            continue
        where = prefix + name
        if (found := rules.get((owner, name))) is not None:
            yield from found.check(item, where)
        yield from _within(schema.properties[name], item, where, rules)


def _within(schema: Schema, value: Any, path: str, rules: Rules) -> Iterator[Cause]:
    if schema.form is Form.OBJECT:
        yield from _fields(schema, value, path, rules)
    elif schema.values is not None and schema.values.form in (Form.OBJECT, Form.LIST, Form.MAP):
        if schema.form is Form.LIST:
            for index, item in enumerate(value):
                yield from _within(schema.values, item, f"{path}[{index}]", rules)
        elif schema.form is Form.MAP:
            for key, item in value.items():
                yield from _within(schema.values, item, f"{path}[{key}]", rules)


_NO_RULE = Rule()


def _is_missing(schema: Schema, rule: Rule, name: str, value: dict[str, Any]) -> bool:
    if rule.may_be_empty or schema.form not in _TEXT_OR_PARTS:
        return False
    if schema.form is Form.STRING or rule.not_empty:
        return not value.get(name)
    return name not in value

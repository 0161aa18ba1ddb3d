"""Custom resources held to the rules in CEL of their schema.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules

What was stored before and has not changed may go on breaking a rule: the client is warned, not refused ("ratcheting").
Rules that compare with `oldSelf` hold always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.cel.expressions import CompileError, EvaluationError, Program, program
from mesh_lab.kube.registry.cel.values import FormatError, to_cel
from mesh_lab.kube.registry.custom import oldself
from mesh_lab.kube.registry.rules.causes import shown
from mesh_lab.kube.schemas import Form, Schema, Validation

_NO_OVERLOAD = "call arguments did not match a supported operator, function or macro signature for rule"
_LONGEST_MESSAGE = 5 * 1024
_REASONS = {
    "": "Invalid value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}
REASONS = tuple(sorted(reason for reason in _REASONS if reason))
"""The reasons that a rule may give."""


@dataclass(frozen=True)
class _Place:
    """A value, the one that it was before (None: there is none), and whether a broken rule may stay broken."""

    schema: Schema
    value: Any
    old: Any
    path: str
    unchanged: bool
    root: bool = False


def check(schema: Schema, new: Any, old: Any, warn: Callable[[str], None]) -> Iterator[Cause]:
    """The rules that an object breaks; what it broke before in the same places is only warned of."""
    return _check(_Place(schema, new, old, "", old is not None and new == old, root=True), warn)


def _check(place: _Place, warn: Callable[[str], None]) -> Iterator[Cause]:
    schema, value = place.schema, place.value
    if value is None or not schema.has_validations:
        return
    if schema.validations:
        yield from _check_here(place, warn)
    for child in _children(place):
        yield from _check(child, warn)


def _children(place: _Place) -> Iterator[_Place]:
    schema, value = place.schema, place.value
    if isinstance(value, dict):
        before = place.old if isinstance(place.old, dict) else {}
        for key, item in value.items():
            named = schema.properties.get(key)
            one = named or schema.values
            if one is not None and one.has_validations and not (place.root and key == "metadata"):
                path = (f"{place.path}.{key}" if place.path else key) if named else f"{place.path}[{key}]"
                yield _child(place, one, item, before.get(key), path)
    elif isinstance(value, list) and schema.values is not None:
        for index, item in enumerate(value):
            yield _child(place, schema.values, item, _item_before(schema, item, place.old), f"{place.path}[{index}]")


def _child(parent: _Place, schema: Schema, value: Any, old: Any, path: str) -> _Place:
    return _Place(schema, value, old, path, parent.unchanged if old is None else value == old)


def _item_before(schema: Schema, item: Any, old: Any) -> Any:
    """The item of the same keys; items of lists that are no maps are not known again."""
    if schema.list_type != "map" or not isinstance(item, dict) or not isinstance(old, list):
        return None
    keys = [item.get(name) for name in schema.map_keys]
    return next(
        (one for one in old if isinstance(one, dict) and [one.get(name) for name in schema.map_keys] == keys), None
    )


def _check_here(place: _Place, warn: Callable[[str], None]) -> Iterator[Cause]:
    data = _Data(place)
    for validation in place.schema.validations:
        if not validation.rule.strip():
            continue
        try:
            rule = program(oldself.text_of(validation, validation.rule))
            compares = oldself.OLD in rule.reads
            if compares and place.old is None and not validation.optional_old_self:
                continue
            if rule.evaluate(data.of(validation, compares)) is True:
                continue
            cause = _broken(place, validation, data, compares)
        except (CompileError, EvaluationError, FormatError) as error:
            yield _failed(place, validation, error)
            continue
        if place.unchanged and not compares:
            warn(f"{cause.field}: {cause.message}" if cause.field else cause.message)
        else:
            yield cause


class _Data:
    """What the rules of one place read; values are converted once."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._made: dict[bool, tuple[Any, Any]] = {}

    def of(self, validation: Validation, compares: bool) -> dict[str, Any]:
        if compares not in self._made:
            place = self._place
            self._made[compares] = (
                to_cel(place.schema, place.value, root=place.root, ordered=not compares),
                to_cel(place.schema, place.old, root=place.root, ordered=False) if compares else None,
            )
        now, before = self._made[compares]
        return {"self": now, **(oldself.data_of(validation, before) if compares else {})}


def _broken(place: _Place, validation: Validation, data: _Data, compares: bool) -> Cause:
    message = _message(validation, data, compares)
    path = _joined(place.path, validation.field_path)
    words = _REASONS.get(validation.reason, "Invalid value")
    scalar = place.schema.form not in (Form.OBJECT, Form.MAP, Form.LIST)
    if scalar and words in ("Invalid value", "Duplicate value"):
        words += f": {shown(place.value)}"
    if validation.reason != "FieldValueDuplicate":
        words += f": {message}"
    return Cause(path, words, validation.reason or "FieldValueInvalid")


def _message(validation: Validation, data: _Data, compares: bool) -> str:
    """What the rule says of itself; an expression that gives no message of one line does not count."""
    if validation.message_expression:
        try:
            expression: Program = program(oldself.text_of(validation, validation.message_expression))
            reads_old = compares or oldself.OLD in expression.reads
            text = expression.evaluate(data.of(validation, reads_old))
        except (CompileError, EvaluationError, FormatError):
            text = ""
        if isinstance(text, str):
            text = text.strip()
            if text and "\n" not in text and len(text.encode()) <= _LONGEST_MESSAGE:
                return text
    return validation.message.strip() or f"failed rule: {validation.rule.strip()}"


def _failed(place: _Place, validation: Validation, error: Exception) -> Cause:
    """A rule that has no value is broken, whatever was stored before."""
    rule = validation.message.strip() or validation.rule.strip()
    kind = place.schema.go_type or place.schema.form.value
    if isinstance(error, CompileError):
        why = f"rule compile error: {error}"
    elif str(error).startswith("no such overload"):
        why = f"'{error}': {_NO_OVERLOAD}: {rule}"
    elif str(error).startswith("operation cancelled"):
        why = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule}"
    else:
        why = f"{error} evaluating rule: {rule}"
    return Cause(place.path, f"Invalid value: {shown(kind)}: {why}", "FieldValueInvalid")


def _joined(path: str, field_path: str) -> str:
    below = field_path.strip().removeprefix(".")
    if not below or not path:
        return path or below
    return f"{path}{below}" if below.startswith("[") else f"{path}.{below}"

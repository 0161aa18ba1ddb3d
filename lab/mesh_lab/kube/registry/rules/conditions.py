"""Match conditions in CEL, of webhooks and of admission policies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.cel.admission import AdmissionChecker
from mesh_lab.kube.registry.cel.expressions import CompileError
from mesh_lab.kube.registry.rules.causes import duplicates, invalid, required
from mesh_lab.kube.registry.syntax.names import qualified_name_problem

_MOST = 64


def check_conditions(conditions: Sequence[dict[str, Any]], path: str, checker: AdmissionChecker) -> Iterator[Cause]:
    """Everything that is wrong with `matchConditions`."""
    if len(conditions) > _MOST:
        yield Cause(path, f"Too many: {len(conditions)}: must have at most {_MOST} items", "FieldValueTooMany")
    for index, condition in enumerate(conditions):
        where, name = f"{path}[{index}]", condition.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif problem := qualified_name_problem(name):
            yield invalid(f"{where}.name", name, problem)
        yield from check_expression(condition.get("expression", ""), f"{where}.expression", checker, ("BOOL",))
    yield from duplicates((condition.get("name") for condition in conditions), path, "name")


def check_expression(text: str, path: str, checker: AdmissionChecker, types: Sequence[str]) -> Iterator[Cause]:
    """What is wrong with an expression whose value must have one of the types."""
    if not text.strip():
        yield required(path)
        return
    try:
        found = checker.check(text)
    except CompileError as error:
        yield invalid(path, text, f"compilation failed: {error}")
        return
    if found not in (*types, "DYN"):
        yield invalid(path, text, f"must evaluate to {' or '.join(_WORDS[one] for one in types)}")


_WORDS = {"BOOL": "bool", "STRING": "string", "NULL": "null_type"}

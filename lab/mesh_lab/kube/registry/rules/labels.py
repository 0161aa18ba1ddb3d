"""Labels and label selectors inside objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.rules.causes import forbidden, invalid, required
from mesh_lab.kube.registry.syntax import names


def validate_labels(labels: dict[str, str], path: str) -> Iterator[Cause]:
    """Everything that is wrong with a map of labels at `path`."""
    for key, value in labels.items():
        if problem := names.qualified_name_problem(key):
            yield Cause(path, f'Invalid value: "{key}": {problem}')
        if problem := names.label_value_problem(value):
            yield Cause(path, f'Invalid value: "{value}": {problem}')


def check_selector(selector: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Everything that is wrong with a label selector."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if problem := names.qualified_name_problem(key):
            yield invalid(f"{path}.matchLabels", key, problem)
        if problem := names.label_value_problem(value):
            yield invalid(f"{path}.matchLabels", value, problem)
    for index, term in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = term.get("operator"), term.get("values") or []
        if operator in ("In", "NotIn") and not values:
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        if operator in ("Exists", "DoesNotExist") and values:
            yield forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        if (key := term.get("key")) and (problem := names.qualified_name_problem(key)):
            yield invalid(f"{where}.key", key, problem)

"""The fields that a field selector may name.

Name and namespace everywhere, those of the kind, and those that a CustomResourceDefinition adds
(`selectableFields`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mesh_lab.kube.errors import bad_request
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.registry.selectors import FieldSelector
from mesh_lab.kube.resources import Resource

COMMON = ("metadata.name", "metadata.namespace")


def reader(resource: Resource, selector: FieldSelector, more: tuple[str, ...] = ()) -> Callable[[Any, str], str]:
    """How the fields that `selector` names are read off objects of `resource`; `more` are further known fields.

    Raises:
        ApiError: 400, the selector names a field that cannot be selected by.
    """
    labels = {label.name: label for label in behaviour_of(resource).field_labels}
    known = {*COMMON, *labels, *more}
    for path, _, _ in selector.terms:
        if path not in known:
            raise bad_request(f"field label not supported: {path}")

    def read(obj: Any, path: str) -> str:
        label = labels.get(path)
        return _read(obj, label.path or path, label.absent) if label else _read(obj, path, "")

    return read


def _read(obj: Mapping[str, Any], path: str, absent: str) -> str:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return absent
    return str(value).lower() if isinstance(value, bool) else str(value)

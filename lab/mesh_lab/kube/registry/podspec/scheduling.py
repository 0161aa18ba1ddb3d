"""Rules of what a pod asks of its node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.metadata import validate_labels
from mesh_lab.kube.registry.rules.causes import invalid


def check_scheduling(spec: dict[str, Any], path: str) -> Iterator[Cause]:
    """Everything that is wrong with where a pod wants to run."""
    yield from validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _check_toleration(toleration, f"{path}.tolerations[{index}]")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        if (skew := constraint.get("maxSkew", 0)) <= 0:
            yield invalid(f"{path}.topologySpreadConstraints[{index}].maxSkew", skew, "must be greater than zero")


def _check_toleration(toleration: dict[str, Any], path: str) -> Iterator[Cause]:
    operator, effect = toleration.get("operator", "Equal"), toleration.get("effect", "")
    if not toleration.get("key") and operator != "Exists":
        words = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{path}.operator", operator, words)
    if operator == "Exists" and toleration.get("value"):
        yield invalid(f"{path}.operator", operator, "value must be empty when `operator` is 'Exists'")
    if "tolerationSeconds" in toleration and effect != "NoExecute":
        yield invalid(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")

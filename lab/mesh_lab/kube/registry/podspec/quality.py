"""A pod's quality of service class.

https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab.kube.registry import quantities

_COUNTED = ("cpu", "memory")


def qos_class(spec: Mapping[str, Any]) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    parts = [container.get("resources") or {} for container in containers]
    asked = [_amounts(part, field) for part in parts for field in ("requests", "limits")]
    if not any(asked):
        return "BestEffort"
    if all(len(_amounts(part, "limits")) == len(_COUNTED) for part in parts) and all(
        _amounts(part, "requests") == _amounts(part, "limits") for part in parts
    ):
        return "Guaranteed"
    return "Burstable"


def _amounts(part: Mapping[str, Any], field: str) -> dict[str, Any]:
    found = {name: quantities.parse(str(amount)) for name, amount in (part.get(field) or {}).items()}
    return {name: amount for name, amount in found.items() if name in _COUNTED and amount}

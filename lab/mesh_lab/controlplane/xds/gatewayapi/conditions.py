"""Conditions of the Gateway API's objects, without the times of their transitions."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.xds.gatewayapi.sources import Verdict

Object = dict[str, Any]


def condition(resource: Resource[Any], kind: str, wrong: Verdict | None, good: str = "", message: str = "") -> Object:
    """A condition that holds, or does not for what is `wrong`. The reason for its holding is the type, by default."""
    return {
        "type": kind,
        "status": "False" if wrong is not None else "True",
        "reason": wrong.reason if wrong is not None else good or kind,
        "message": wrong.message if wrong is not None else message,
        "observedGeneration": resource.origin.generation,
    }

"""Whether a machine is well, as its WorkloadEntry says: only for those whose health is checked.

Source: `isHealthy` in pilot/pkg/serviceregistry/serviceentry/conversion.go of Istio 1.30.
https://istio.io/latest/docs/reference/config/networking/workload-group/#ReadinessProbe
"""

from __future__ import annotations

from collections.abc import Mapping

from mesh_lab.controlplane.world.annotations import parse_boolean
from mesh_lab.controlplane.world.kubernetes import Object

ANNOTATION = "proxy.istio.io/health-checks-enabled"
HEALTHY = "Healthy"
"""The condition that is made of what the machine reports. Until it has reported, it is not healthy."""


def is_healthy(entry: Object) -> bool:
    """Whether requests may be sent to it; what is not of the form is left out, since any client may write a status."""
    annotations = entry["metadata"].get("annotations") or {}
    if parse_boolean(annotations.get(ANNOTATION, "")) is not True:
        return True
    status = entry.get("status")
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    known = conditions if isinstance(conditions, list) else []
    return any(isinstance(c, Mapping) and c.get("type") == HEALTHY and c.get("status") == "True" for c in known)

"""From the JSON of an Istio resource's spec to what holds of it, and why that is not what it says."""

from __future__ import annotations

from typing import Any, NamedTuple

from mesh_lab.controlplane.istiokinds import decode, fail_closed, validate
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Origin


class Read(NamedTuple):
    """What is made of a spec: None when it cannot be used, with the reasons."""

    spec: Spec | None
    findings: tuple[Finding, ...] = ()
    any_workload: bool = False


def read(kind: str, spec: Any, origin: Origin) -> Read:
    """The typed spec; of a policy in error, what holds instead."""
    try:
        decoded = decode(kind, spec)
        wrong = [(path, message) for severity, path, message in validate(decoded) if severity == "error"]
    except DecodeError as error:
        wrong = [(error.path, error.message)]
    else:
        if not wrong:
            return Read(decoded)
    errors = [
        Finding("error", "IST0106", f"Schema validation error: {path}: {message}", path, origin)
        for path, message in wrong
    ]
    closed = fail_closed(kind, spec)
    if closed is None:
        return Read(None, tuple(errors))
    text = f"Schema validation error: until it is put right, the policy fails closed: {closed.effect}"
    return Read(closed.spec, (*errors, Finding("error", "IST0106", text, "spec", origin)), closed.any_workload)

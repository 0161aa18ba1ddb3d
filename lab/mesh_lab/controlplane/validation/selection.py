"""Rules for what a policy is for: pods by their labels, or resources by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mesh_lab.controlplane.model.base import PolicyTargetReference, WorkloadSelector
from mesh_lab.controlplane.validation.common import Problem, error, warning, workload_selector

# What a policy can be attached to by name, as (group, kind).
_TARGETS = (
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("", "Service"),
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
)


def selection(
    selector: WorkloadSelector | None,
    target_ref: PolicyTargetReference | None,
    target_refs: Sequence[PolicyTargetReference],
) -> Iterator[Problem]:
    """Problems of a `selector` and of the targets, of which a policy has one at most."""
    yield from workload_selector(selector)
    single = [("spec.targetRef", target_ref)] if target_ref is not None else []
    several = [(f"spec.targetRefs[{index}]", target) for index, target in enumerate(target_refs)]
    if (selector is not None) + bool(single) + bool(several) > 1:
        yield error("spec.targetRefs", "only one of targetRefs or workloadSelector can be set")
    elif single or several:
        text = "waypoints and gateways of the Gateway API, of which there are none here: use a selector"
        yield warning("spec.targetRefs", f"a policy with targetRefs is for {text}")
    for path, target in (*single, *several):
        yield from _target(path, target)


def _target(path: str, target: PolicyTargetReference) -> Iterator[Problem]:
    if target.namespace:
        yield error(f"{path}.namespace", "targetRef namespace must not be set; cross namespace is not supported")
    if (target.group, target.kind) not in _TARGETS:
        known = ", ".join(f"{group or 'core'}/{kind}" for group, kind in _TARGETS if group != "core")
        yield error(f"{path}.kind", f"targetRef must be to one of {known}, but was {target.group}/{target.kind}")

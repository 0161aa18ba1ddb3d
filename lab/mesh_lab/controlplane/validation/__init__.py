"""What can be wrong within one resource although its types are right: Istio's own rules, as pure functions.

A resource with an error is not translated; where there was a good version of it before, that one stays. Of a policy
holds what `fail_closed` makes of it. The wording is Istio's where it has one, since people will search for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from mesh_lab.controlplane.model import (
    AuthorizationPolicy,
    DestinationRule,
    Gateway,
    PeerAuthentication,
    Sidecar,
    VirtualService,
)
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.common import Problem
from mesh_lab.controlplane.validation.edge import gateway, sidecar
from mesh_lab.controlplane.validation.failclosed import Closed, fail_closed
from mesh_lab.controlplane.validation.policies import destination_rule
from mesh_lab.controlplane.validation.routing import virtual_service
from mesh_lab.controlplane.validation.security import authorization_policy, peer_authentication

_CHECKS: Mapping[type[Spec], Callable[[Any], Iterator[Problem]]] = {
    VirtualService: virtual_service,
    DestinationRule: destination_rule,
    Gateway: gateway,
    PeerAuthentication: peer_authentication,
    AuthorizationPolicy: authorization_policy,
    Sidecar: sidecar,
}


# The analysis asks again with each snapshot, for specs that are mostly those of the one before.
@lru_cache(maxsize=1024)
def validate(spec: Spec) -> tuple[Problem, ...]:
    """All problems of a spec, in the order of its fields."""
    check = _CHECKS.get(type(spec))
    return (*bounds(spec), *(check(spec) if check is not None else ()))


__all__ = ["Closed", "Problem", "fail_closed", "validate"]

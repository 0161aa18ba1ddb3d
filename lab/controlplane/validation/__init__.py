"""What can be wrong within one resource although its types are right: Istio's own rules, as pure functions.

A resource with an error is not translated; where there was a good version of it before, that one stays. The wording
is Istio's where it has one, since people will search for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lab.controlplane.model import (
    AuthorizationPolicy,
    DestinationRule,
    Gateway,
    PeerAuthentication,
    Sidecar,
    VirtualService,
)
from lab.controlplane.model.base import Spec
from lab.controlplane.validation.bounds import bounds
from lab.controlplane.validation.common import Problem
from lab.controlplane.validation.edge import gateway, sidecar
from lab.controlplane.validation.policies import destination_rule
from lab.controlplane.validation.routing import virtual_service
from lab.controlplane.validation.security import authorization_policy, peer_authentication

_CHECKS: Mapping[type[Spec], Callable[[Any], Iterator[Problem]]] = {
    VirtualService: virtual_service,
    DestinationRule: destination_rule,
    Gateway: gateway,
    PeerAuthentication: peer_authentication,
    AuthorizationPolicy: authorization_policy,
    Sidecar: sidecar,
}


def validate(spec: Spec) -> tuple[Problem, ...]:
    """All problems of a spec, in the order of its fields."""
    check = _CHECKS.get(type(spec))
    return (*bounds(spec), *(check(spec) if check is not None else ()))


__all__ = ["Problem", "validate"]

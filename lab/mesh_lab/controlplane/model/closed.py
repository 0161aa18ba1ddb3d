"""What holds in the place of a policy that cannot be carried out: it never lets in more than the policy would."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.security import AuthorizationPolicy, MutualTLS, PeerAuthentication, Rule


def closed(spec: Spec) -> Spec | None:
    """The same policy, denying everything, for the same workloads; None for a resource that grants no access."""
    match spec:
        case AuthorizationPolicy(action="AUDIT"):
            return None
        case AuthorizationPolicy(action="ALLOW"):
            return structs.replace(spec, rules=[])
        case AuthorizationPolicy():
            return structs.replace(spec, action="DENY", provider=None, rules=[Rule()])
        case PeerAuthentication():
            return structs.replace(spec, mtls=MutualTLS("STRICT"), port_level_mtls={})
        case _:
            return None


def unread(kind: str) -> Spec | None:
    """What holds in the place of a policy of which nothing could be read: for all workloads that it might select."""
    policy = _STRICTEST.get(kind)
    return closed(policy) if policy is not None else None


_STRICTEST: Mapping[str, Spec] = {
    "AuthorizationPolicy": AuthorizationPolicy(action="DENY"),
    "PeerAuthentication": PeerAuthentication(),
}

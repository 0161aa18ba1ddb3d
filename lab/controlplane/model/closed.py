"""What holds in the place of a policy that cannot be carried out: it never lets in more than the policy would."""

from __future__ import annotations

from msgspec import structs

from lab.controlplane.model.base import Spec
from lab.controlplane.model.security import AuthorizationPolicy, MutualTLS, PeerAuthentication, Rule


def closed(spec: Spec) -> Spec | None:
    """The same policy with its doors shut, for the same workloads; None for a resource that lets nobody in."""
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

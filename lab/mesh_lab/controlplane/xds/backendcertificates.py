"""The certificate that a gateway's own pods show to servers that a policy for backends asks TLS of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from msgspec import structs

from mesh_lab.controlplane.model.destinationrule import ClientTLSSettings
from mesh_lab.controlplane.model.internal import BackendTLS, ServiceGateway
from mesh_lab.controlplane.world.snapshot import Table
from mesh_lab.controlplane.xds.attachment import GatewayServer
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.policies import HostRules
from mesh_lab.controlplane.xds.scope import Scope


@memoised
def shown(scope: Scope, servers: Iterable[GatewayServer]) -> Scope:
    """What a gateway sees, with the certificate that it shows in the rules for its servers.

    Where a pod serves several Gateways it is the oldest's that names one: connections are shared.
    """
    specs = (each.config.spec for each in servers)
    name = next((spec.certificate for spec in specs if isinstance(spec, ServiceGateway) and spec.certificate), "")
    if not name:
        return scope
    return replace(scope, rules=Table({host: _showing(each, name) for host, each in scope.rules.items()}))


@memoised
def _showing(rules: HostRules, certificate: str) -> HostRules:
    policy = rules.policy
    settings = [policy.tls, *(each.tls for each in policy.port_level_settings)] if policy is not None else []
    if policy is None or not any(isinstance(each, BackendTLS) for each in settings):
        return rules
    ports = [structs.replace(each, tls=_with(each.tls, certificate)) for each in policy.port_level_settings]
    shown = structs.replace(policy, tls=_with(policy.tls, certificate), port_level_settings=ports)
    return replace(rules, policy=shown)


def _with(settings: ClientTLSSettings | None, certificate: str) -> ClientTLSSettings | None:
    return structs.replace(settings, certificate=certificate) if isinstance(settings, BackendTLS) else settings

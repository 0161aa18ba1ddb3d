"""Secrets as Envoy takes them: a proxy's own certificate, the roots it trusts, and those a gateway names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import CertificateValidationContext, TlsCertificate
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from mesh_lab.controlplane.model import DestinationRule, Gateway
from mesh_lab.controlplane.model.internal import ServiceGateway
from mesh_lab.controlplane.trust.ca import Leaf
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import Config, Snapshot
from mesh_lab.controlplane.xds.built import Built, build, wire
from mesh_lab.controlplane.xds.gatewayapi import backendtls
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources
from mesh_lab.controlplane.xds.gatewaytls import AUTHORITY_SUFFIX, authority_of, credentials_of
from mesh_lab.controlplane.xds.ingress import gateways
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.typeurls import SDS

OWN = "default"
ROOTS = "ROOTCA"
GATEWAY_PREFIX = "kubernetes://"
POLICY_PREFIX = "backendtlspolicy://"


def own(leaf: Leaf) -> Built:
    """The certificate of a proxy's own identity."""
    return _certificate(OWN, leaf.chain, leaf.key, ())


@lru_cache(maxsize=4)
def roots(pem: bytes) -> Built:
    """What the mesh's certificates are verified with: each push gives it to each proxy."""
    return _authority(ROOTS, pem, ())


def credential(snapshot: Snapshot, proxy: Proxy, name: str) -> Built | None:
    """The Secret that a `credentialName` names, in the proxy's own namespace; None when there is none.

    A gateway is given those that Gateways and DestinationRules name; a sidecar those that DestinationRules of its
    namespace name which select it: others are for gateways, and a sidecar waits for what it is not given.

    `NAME-cacert` is what client certificates are verified with: the Secret of that name, or the authority within NAME.
    """
    if name.startswith(POLICY_PREFIX):
        return _of_policy(snapshot, name)
    if not name.startswith(GATEWAY_PREFIX):
        return None
    wanted = name.removeprefix(GATEWAY_PREFIX)
    if "/" in wanted:
        return _of_listener(snapshot, proxy, name, wanted)
    ruling = tuple(_rules_naming(snapshot, proxy, wanted))
    if proxy.kind != "router" and not ruling:
        return None
    named_by = (*_named_by(snapshot, wanted), *ruling)
    exact = snapshot.secrets.get((proxy.namespace, wanted))
    if wanted.endswith(AUTHORITY_SUFFIX):
        secret = exact or snapshot.secrets.get((proxy.namespace, wanted.removesuffix(AUTHORITY_SUFFIX)))
        return _authority(name, secret.ca, (secret.origin, *named_by), secret.crl) if secret and secret.ca else None
    if exact is None or not exact.certificate:
        return None
    return _certificate(name, exact.certificate, exact.private_key, (exact.origin, *named_by))


def _of_policy(snapshot: Snapshot, name: str) -> Built | None:
    """The authorities that a BackendTLSPolicy names: any client may have them, since they are no secret."""
    found = backendtls.authorities_of(Sources.of(snapshot), name.removeprefix(POLICY_PREFIX))
    return _authority(name, found.authorities.encode(), (found.resource.origin,)) if found is not None else None


def _of_listener(snapshot: Snapshot, proxy: Proxy, name: str, wanted: str) -> Built | None:
    """What a Gateway of the Gateway API's names, with its namespace: for the pods of that Gateway only.

    Whether the Gateway may name it has been looked at before (ReferenceGrant): else nothing of it does.
    """
    behind = {
        f"{service.namespace}/{service.name}"
        for service in snapshot.services.values()
        if service.namespace == proxy.namespace and service.selector and selects(service.selector, proxy.labels)
    }
    named_by = tuple(
        config.origin
        for config in gateways(snapshot).values()
        if isinstance(config.spec, ServiceGateway) and not behind.isdisjoint(config.spec.services)
        if wanted in _named_in(config.spec)
    )
    if not named_by or proxy.kind != "router":
        return None
    namespace, _, own = wanted.partition("/")
    if not wanted.endswith(AUTHORITY_SUFFIX):
        secret = snapshot.secrets.get((namespace, own))
        return (
            _certificate(name, secret.certificate, secret.private_key, (secret.origin, *named_by)) if secret else None
        )
    key = (namespace, own.removesuffix(AUTHORITY_SUFFIX))
    for each in (snapshot.secrets.get((namespace, own)), snapshot.secrets.get(key)):
        if each is not None and each.ca:
            return _authority(name, each.ca, (each.origin, *named_by), each.crl)
    found = snapshot.config_maps.get(key)
    if found is None or not found.certificates:
        return None
    return _authority(name, found.certificates.encode(), (found.origin, *named_by))


def _named_in(spec: ServiceGateway) -> Iterator[str]:
    """The Secrets that a Gateway names: for clients, and the certificate for servers."""
    yield spec.certificate
    for server in spec.servers:
        if server.tls is not None:
            yield from credentials_of(server.tls)
            yield authority_of(server.tls)


def _names_in(config: Config[DestinationRule]) -> set[str]:
    """The Secrets that a DestinationRule names."""
    policies = [config.spec.traffic_policy, *(subset.traffic_policy for subset in config.spec.subsets)]
    known = [policy for policy in policies if policy is not None]
    settings = [policy.tls for policy in known] + [own.tls for policy in known for own in policy.port_level_settings]
    return {each.credential_name for each in settings if each is not None and each.credential_name}


def _named_by(snapshot: Snapshot, wanted: str) -> Iterator[Origin]:
    """The Gateways and DestinationRules that name a Secret: the result of pushing it is reported on them."""
    for config in snapshot.of(Gateway).values():
        settings = [server.tls for server in config.spec.servers if server.tls is not None]
        if any(wanted in (*credentials_of(each), authority_of(each)) for each in settings):
            yield config.origin
    for rule in snapshot.of(DestinationRule).values():
        if wanted.removesuffix(AUTHORITY_SUFFIX) in _names_in(rule):
            yield rule.origin


def _rules_naming(snapshot: Snapshot, proxy: Proxy, wanted: str) -> Iterator[Origin]:
    """The DestinationRules that select a proxy and name a Secret."""
    for config in snapshot.of(DestinationRule).values():
        selector = config.spec.workload_selector
        if selector is None or config.namespace != proxy.namespace or not selects(selector.match_labels, proxy.labels):
            continue
        if {wanted, wanted.removesuffix(AUTHORITY_SUFFIX)} & _names_in(config):
            yield config.origin


def _certificate(name: str, chain: bytes, key: bytes, origins: tuple[Origin, ...]) -> Built:
    certificate = TlsCertificate(
        certificate_chain=DataSource(inline_bytes=chain), private_key=DataSource(inline_bytes=key)
    )
    return build(SDS, name, wire(Secret(name=name, tls_certificate=certificate)), origins)


def _authority(name: str, pem: bytes, origins: tuple[Origin, ...], crl: bytes = b"") -> Built:
    context = CertificateValidationContext(trusted_ca=DataSource(inline_bytes=pem))
    if crl:
        context.crl.inline_bytes = crl
    return build(SDS, name, wire(Secret(name=name, validation_context=context)), origins)

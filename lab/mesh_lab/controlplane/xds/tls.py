"""Transport sockets: mutual TLS with the mesh's own certificates, and TLS as resources configure it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from envoy.config.core.v3 import base_pb2, config_source_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.wrappers_pb2 import BoolValue
from msgspec import structs

from mesh_lab.controlplane.model.destinationrule import ClientTLSSettings
from mesh_lab.controlplane.model.internal import BackendTLS
from mesh_lab.controlplane.model.mesh import TLSConfig
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.built import any_of

# The ALPN of a client's sidecar; it shows the server's that the peer is of the mesh, and the protocol within.
ALPN_TCP = "istio"
ALPN_HTTP1 = "istio-http/1.1"
ALPN_HTTP2 = "istio-h2"
MESH_ALPN = (ALPN_TCP, "istio-peer-exchange", "istio-http/1.0", ALPN_HTTP1, ALPN_HTTP2)
HTTP_ALPN = ("h2", "http/1.1")

# Where distributions keep the authorities that they trust: in the proxy's container what is on the machine, as here.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/certs/ca-bundle.crt",
)
SYSTEM_AUTHORITIES = next((path for path in _AUTHORITIES if Path(path).exists()), _AUTHORITIES[0])

# The digest that no certificate's key has (SHA-256 in base64): who must show it is not trusted.
_NO_KEY = base64.b64encode(bytes(32)).decode()
_TLS = "envoy.transport_sockets.tls"
_RAW = "envoy.transport_sockets.raw_buffer"


def ads() -> config_source_pb2.ConfigSource:
    """The source of resources that come from the control plane: the ADS stream."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.ApiVersion.V3
    )


def secret(name: str) -> secret_pb2.SdsSecretConfig:
    """A reference to a secret that the control plane sends."""
    return secret_pb2.SdsSecretConfig(name=name, sds_config=ads())


def raw_buffer() -> base_pb2.TransportSocket:
    """No encryption."""
    return base_pb2.TransportSocket(name=_RAW, typed_config=any_of(raw_buffer_pb2.RawBuffer()))


def _versions(low: int, high: int) -> common_pb2.TlsParameters:
    return common_pb2.TlsParameters(tls_minimum_protocol_version=low, tls_maximum_protocol_version=high)


def mesh_versions() -> common_pb2.TlsParameters:
    """What sidecars speak among themselves: TLS 1.2 and 1.3."""
    return _versions(common_pb2.TlsParameters.TLSv1_2, common_pb2.TlsParameters.TLSv1_3)


def _exact_names(names: Iterable[str]) -> list[common_pb2.SubjectAltNameMatcher]:
    """What a certificate must name: URIs, which have a scheme, or hosts."""
    kinds = common_pb2.SubjectAltNameMatcher
    return [
        kinds(
            san_type=kinds.URI if "://" in name else kinds.DNS,
            matcher=string_pb2.StringMatcher(exact=name),
        )
        for name in names
    ]


def _mesh_context(alpn: Iterable[str], principals: Iterable[str]) -> tls_pb2.CommonTlsContext:
    """This proxy's own certificate, and the trust in the mesh's authority; `principals` restricts the servers."""
    return tls_pb2.CommonTlsContext(
        alpn_protocols=list(alpn),
        tls_params=mesh_versions(),
        tls_certificate_sds_secret_configs=[secret(names.DEFAULT_SECRET)],
        combined_validation_context=tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
            default_validation_context=common_pb2.CertificateValidationContext(
                match_typed_subject_alt_names=_exact_names(principals)
            ),
            validation_context_sds_secret_config=secret(names.ROOT_SECRET),
        ),
    )


def mutual_upstream(sni: str, principals: Iterable[str], alpn: Iterable[str]) -> base_pb2.TransportSocket:
    """To a sidecar whose certificate names one of `principals` (SPIFFE; none given: anyone in the mesh)."""
    context = tls_pb2.UpstreamTlsContext(common_tls_context=_mesh_context(alpn, principals), sni=sni)
    return base_pb2.TransportSocket(name=_TLS, typed_config=any_of(context))


def mesh_downstream_context(alpn: Iterable[str]) -> tls_pb2.DownstreamTlsContext:
    """TLS with a client of the mesh, whose certificate is required."""
    return tls_pb2.DownstreamTlsContext(
        common_tls_context=_mesh_context(alpn, ()), require_client_certificate=BoolValue(value=True)
    )


def restrict(parameters: common_pb2.TlsParameters, settings: TLSConfig | None) -> None:
    """What the mesh's settings demand of TLS (`meshMTLS`, `tlsDefaults`), where they say anything."""
    if settings is None:
        return
    if settings.min_protocol_version != "TLS_AUTO":
        newest = settings.min_protocol_version == "TLSV1_3"
        oldest = common_pb2.TlsParameters.TLSv1_3 if newest else common_pb2.TlsParameters.TLSv1_2
        parameters.tls_minimum_protocol_version = oldest
    if settings.cipher_suites:
        parameters.cipher_suites[:] = settings.cipher_suites
    if settings.ecdh_curves:
        parameters.ecdh_curves[:] = settings.ecdh_curves


def mutual_downstream(
    alpn: Iterable[str], trust_domains: Iterable[str], settings: TLSConfig | None = None
) -> base_pb2.TransportSocket:
    """From a sidecar whose identity is in one of these trust domains."""
    context = mesh_downstream_context(alpn)
    restrict(context.common_tls_context.tls_params, settings)
    accepted = context.common_tls_context.combined_validation_context.default_validation_context
    accepted.match_typed_subject_alt_names.extend(
        common_pb2.SubjectAltNameMatcher(
            san_type=common_pb2.SubjectAltNameMatcher.URI,
            matcher=string_pb2.StringMatcher(prefix=f"spiffe://{domain}/"),
        )
        for domain in trust_domains
    )
    return downstream(context)


def validation(subject_alt_names: Iterable[str], authorities: str) -> common_pb2.CertificateValidationContext:
    """Certificates for one of these hosts and URIs (any, if there are none), by the authorities in a file, if named."""
    context = common_pb2.CertificateValidationContext(match_typed_subject_alt_names=_exact_names(subject_alt_names))
    if authorities:
        context.trusted_ca.filename = authorities
    return context


def settings_upstream(
    settings: ClientTLSSettings,
    alpn: Iterable[str],
    subject_alt_names: Iterable[str],
    defaults: TLSConfig | None = None,
) -> base_pb2.TransportSocket:
    """As a DestinationRule configures it: SIMPLE or MUTUAL, from files or from a Secret.

    The names in the server's certificate are the rule's, or those of the ServiceEntry where the rule has none.
    """
    context = tls_pb2.CommonTlsContext(alpn_protocols=list(alpn), tls_params=mesh_versions())
    if defaults is not None:
        # As in Istio, `minProtocolVersion` is for servers.
        restrict(context.tls_params, structs.replace(defaults, min_protocol_version="TLS_AUTO"))
    if isinstance(settings, BackendTLS):
        _as_policies_ask(context, settings, validation(subject_alt_names, ""))
        return _upstream(context, settings.sni)
    authorities = "" if settings.credential_name else settings.ca_certificates or SYSTEM_AUTHORITIES
    trust = validation(subject_alt_names, authorities)
    if settings.ca_crl and not settings.credential_name:
        trust.crl.filename = settings.ca_crl
    if settings.credential_name:
        credential = names.gateway_secret(settings.credential_name)
        if settings.mode == "MUTUAL":
            context.tls_certificate_sds_secret_configs.append(secret(credential))
        if not settings.insecure_skip_verify:
            context.combined_validation_context.default_validation_context.CopyFrom(trust)
            context.combined_validation_context.validation_context_sds_secret_config.CopyFrom(
                secret(f"{credential}-cacert")
            )
    else:
        if settings.mode == "MUTUAL":
            context.tls_certificates.append(
                common_pb2.TlsCertificate(
                    certificate_chain=base_pb2.DataSource(filename=settings.client_certificate),
                    private_key=base_pb2.DataSource(filename=settings.private_key),
                )
            )
        if not settings.insecure_skip_verify:
            context.validation_context.CopyFrom(trust)
    return _upstream(context, settings.sni)


def _as_policies_ask(
    context: tls_pb2.CommonTlsContext, settings: BackendTLS, trust: common_pb2.CertificateValidationContext
) -> None:
    """The authorities of a policy, or the system's; and the certificate that the client shows."""
    if settings.certificate:
        context.tls_certificate_sds_secret_configs.append(secret(names.gateway_secret(settings.certificate)))
    if settings.trusts_nobody:
        trust.verify_certificate_spki.append(_NO_KEY)
    elif settings.authority:
        context.combined_validation_context.default_validation_context.CopyFrom(trust)
        context.combined_validation_context.validation_context_sds_secret_config.CopyFrom(
            secret(names.policy_secret(settings.authority))
        )
        return
    else:
        trust.trusted_ca.filename = SYSTEM_AUTHORITIES
    context.validation_context.CopyFrom(trust)


def _upstream(context: tls_pb2.CommonTlsContext, sni: str) -> base_pb2.TransportSocket:
    upstream = tls_pb2.UpstreamTlsContext(common_tls_context=context, sni=sni)
    return base_pb2.TransportSocket(name=_TLS, typed_config=any_of(upstream))


def downstream(context: Any) -> base_pb2.TransportSocket:
    """A transport socket with a context that the caller has made."""
    return base_pb2.TransportSocket(name=_TLS, typed_config=any_of(context))

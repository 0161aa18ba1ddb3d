"""TLS that ends at a gateway: with Secrets beside its pod, files in it, or the mesh's own certificates."""

from __future__ import annotations

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    TlsCertificate,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext

from mesh_lab.controlplane.model.gateway import ServerTLSSettings
from mesh_lab.controlplane.model.mesh import TLSConfig
from mesh_lab.controlplane.world.certificates import TlsSecret
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Table
from mesh_lab.controlplane.xds import names, tls
from mesh_lab.controlplane.xds.memo import memoised

AUTHORITY_SUFFIX = "-cacert"
_VERSIONS = {
    "TLSV1_0": TlsParameters.TLSv1_0,
    "TLSV1_1": TlsParameters.TLSv1_1,
    "TLSV1_2": TlsParameters.TLSv1_2,
    "TLSV1_3": TlsParameters.TLSv1_3,
}


def credentials_of(settings: ServerTLSSettings) -> list[str]:
    """The Secrets that a server names."""
    return list(settings.credential_names) or ([settings.credential_name] if settings.credential_name else [])


def authority_of(settings: ServerTLSSettings) -> str:
    """The SDS name of the authority for client certificates: `NAME-cacert`. Empty where it is no Secret."""
    if settings.mode not in ("MUTUAL", "OPTIONAL_MUTUAL"):
        return ""
    name = settings.ca_cert_credential_name or next(iter(credentials_of(settings)), "")
    return authority_name(name) if name else ""


def authority_name(secret: str) -> str:
    """The SDS name of the authority in a Secret: the Secret's own, if it is called `NAME-cacert` itself."""
    return f"{secret.removesuffix(AUTHORITY_SUFFIX)}{AUTHORITY_SUFFIX}"


@memoised
def credentials_in(secrets: Table[ObjectKey, TlsSecret], namespace: str) -> frozenset[str]:
    """The names under which a gateway of that namespace is given a certificate, or an authority."""
    found = [secret for secret in secrets.values() if secret.namespace == namespace]
    certificates = (secret.name for secret in found if secret.certificate)
    return frozenset([*certificates, *(authority_name(secret.name) for secret in found if secret.ca)])


def has_credentials(settings: ServerTLSSettings, known: frozenset[str]) -> bool:
    """Whether the Secrets that a server names are there. What is named with its namespace has been looked up before."""
    wanted = (name for name in (*credentials_of(settings), authority_of(settings)) if name and "/" not in name)
    return settings.mode == "ISTIO_MUTUAL" or known.issuperset(wanted)


def downstream_context(
    settings: ServerTLSSettings, alpn: tuple[str, ...] = tls.HTTP_ALPN, defaults: TLSConfig | None = None
) -> DownstreamTlsContext:
    """How TLS is terminated: with Secrets beside the gateway's pod, files in it, or the mesh's own certificates.

    `defaults` are the mesh's, for what the server itself does not say.
    """
    context = CommonTlsContext(alpn_protocols=alpn, tls_params=tls.mesh_versions())
    parameters = context.tls_params
    tls.restrict(parameters, defaults)
    if (low := _VERSIONS.get(settings.min_protocol_version or "")) is not None:
        parameters.tls_minimum_protocol_version = low
    if (high := _VERSIONS.get(settings.max_protocol_version or "")) is not None:
        parameters.tls_maximum_protocol_version = high
    if settings.cipher_suites:
        parameters.cipher_suites[:] = settings.cipher_suites
    if settings.mode == "ISTIO_MUTUAL":
        return tls.mesh_downstream_context(alpn)
    for name in credentials_of(settings):
        context.tls_certificate_sds_secret_configs.append(tls.secret(names.gateway_secret(name)))
    if not credentials_of(settings):
        context.tls_certificates.extend(_from_files(chain, key) for chain, key in _files_of(settings))
    result = DownstreamTlsContext(common_tls_context=context)
    if settings.mode in ("MUTUAL", "OPTIONAL_MUTUAL"):
        _verify_clients(result, settings)
    return result


def _files_of(settings: ServerTLSSettings) -> list[tuple[str, str]]:
    """The files of certificates, each with that of its key."""
    given = [(each.server_certificate, each.private_key) for each in settings.tls_certificates]
    return given or ([(settings.server_certificate, settings.private_key)] if settings.server_certificate else [])


def _from_files(chain: str, key: str) -> TlsCertificate:
    return TlsCertificate(certificate_chain=DataSource(filename=chain), private_key=DataSource(filename=key))


def _verify_clients(result: DownstreamTlsContext, settings: ServerTLSSettings) -> None:
    result.require_client_certificate.value = settings.mode == "MUTUAL"
    context = result.common_tls_context
    trusted = authority_of(settings)
    of_files = next((each.ca_certificates for each in settings.tls_certificates if each.ca_certificates), "")
    authorities = settings.ca_certificates or of_files
    validation = tls.validation(settings.subject_alt_names, authorities if not trusted else "")
    if settings.insecure_skip_verify:
        validation.trust_chain_verification = CertificateValidationContext.ACCEPT_UNTRUSTED
    validation.verify_certificate_spki.extend(settings.verify_certificate_spki)
    validation.verify_certificate_hash.extend(settings.verify_certificate_hash)
    if settings.ca_crl:
        validation.crl.filename = settings.ca_crl
    if trusted:
        context.combined_validation_context.default_validation_context.CopyFrom(validation)
        context.combined_validation_context.validation_context_sds_secret_config.CopyFrom(
            tls.secret(names.gateway_secret(trusted))
        )
    else:
        context.validation_context.CopyFrom(validation)

"""TLS of a Gateway's listeners: which certificates they show, and what they ask of clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mesh_lab.controlplane.model.gateway import ServerTLSSettings
from mesh_lab.controlplane.model.gatewayapi import Gateway, Listener, ListenerSet, ObjectReference, SecretReference
from mesh_lab.controlplane.model.gatewayapi.gateway import FrontendValidation
from mesh_lab.controlplane.world.certificates import authorities_problem
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.xds.gatewayapi import grants
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources, Verdict, spec_of

_MODE = "gateway.istio.io/tls-terminate-mode"
_CIPHERS = "gateway.istio.io/tls-cipher-suites"
_MODES = ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL")

Owner = Resource[Gateway] | Resource[ListenerSet]


class ListenerTLS(NamedTuple):
    """How TLS is ended or passed on; without settings the listener cannot be served, for what is `unresolved`."""

    settings: ServerTLSSettings | None
    unresolved: Verdict | None = None
    refused: Verdict | None = None
    remark: str = ""


def of(
    gateway: Resource[Gateway], owner: Owner, listener: Listener, sources: Sources, known: grants.Index
) -> ListenerTLS:
    """The settings of a listener for HTTPS or TLS."""
    tls = listener.tls
    if tls is None:
        return ListenerTLS(None, Verdict("InvalidCertificateRef", f"{listener.protocol} needs tls.certificateRefs"))
    if tls.mode == "Passthrough":
        if listener.protocol == "HTTPS":
            text = "tls.mode Passthrough leaves no requests to route: it is for the protocol TLS"
            return ListenerTLS(None, refused=Verdict("UnsupportedProtocol", text))
        return ListenerTLS(ServerTLSSettings(mode="PASSTHROUGH"))
    unknown = sorted(name for name in tls.options if name not in (_MODE, _CIPHERS))
    remark = f"tls.options without effect: {', '.join(unknown)}" if unknown else ""
    mode = tls.options.get(_MODE, "SIMPLE")
    if mode not in _MODES:
        return ListenerTLS(None, Verdict("Invalid", f"tls.options {_MODE}: {mode!r} is none of {', '.join(_MODES)}"))
    ciphers = [each.strip() for each in tls.options.get(_CIPHERS, "").split(",") if each.strip()]
    if mode == "ISTIO_MUTUAL":
        return ListenerTLS(ServerTLSSettings(mode="ISTIO_MUTUAL"), remark=remark)
    names: list[str] = []
    problems: list[Verdict] = []
    for ref in tls.certificate_refs:
        verdict = certificate_problem(ref, owner, sources, known)
        if verdict is None:
            names.append(f"{ref.namespace or owner.namespace}/{ref.name}")
        else:
            problems.append(verdict)
    unresolved = problems[0] if problems else None
    if not names:
        missing = Verdict("InvalidCertificateRef", "tls.certificateRefs names no certificate")
        return ListenerTLS(None, unresolved or missing, remark=remark)
    settings: dict[str, Any] = {"mode": mode, "credential_names": names, "cipher_suites": ciphers}
    validation = _validation(gateway, listener.port)
    if validation is not None:
        authority = _first_authority(validation, gateway, sources, known)
        if isinstance(authority, Verdict):
            refused = Verdict("NoValidCACertificate", authority.message)
            return ListenerTLS(None, authority, refused, remark)
        lenient = validation.mode == "AllowInsecureFallback"
        settings |= {
            "mode": "OPTIONAL_MUTUAL" if lenient else "MUTUAL",
            "insecure_skip_verify": lenient,
            "ca_cert_credential_name": authority.name,
        }
        unresolved = unresolved or authority.unresolved
    return ListenerTLS(ServerTLSSettings(**settings), unresolved, remark=remark)


def certificate_problem(
    ref: SecretReference, owner: Owner, sources: Sources, known: grants.Index, reason: str = "InvalidCertificateRef"
) -> Verdict | None:
    """Why a certificate cannot be used. Whether a Secret that may not be named is there is not told."""
    if (ref.group, ref.kind) != ("", "Secret"):
        return Verdict(reason, f"{ref.kind} {ref.name}: only Secrets hold certificates")
    namespace = ref.namespace or owner.namespace
    where = f"Secret {namespace}/{ref.name}"
    if not grants.allowed(known, _referrer(owner), grants.Referent("", "Secret", namespace, ref.name)):
        return Verdict("RefNotPermitted", f"{where}: no ReferenceGrant in namespace {namespace} allows it")
    secret = sources.secrets.get((namespace, ref.name))
    if secret is None:
        return Verdict(reason, f"{where}: there is none with a certificate and a key")
    return Verdict(reason, f"{where}: {secret.problem}") if secret.problem else None


def _referrer(owner: Owner) -> grants.Referrer:
    return grants.Referrer("ListenerSet" if owner.origin.kind == "ListenerSet" else "Gateway", owner.namespace)


def _validation(gateway: Resource[Gateway], port: int) -> FrontendValidation | None:
    """What is asked of the clients of a port: its own rule, or that of all."""
    spec = spec_of(gateway)
    frontend = spec.tls.frontend if spec is not None and spec.tls is not None else None
    if frontend is None:
        return None
    own = next((each.tls for each in frontend.per_port if each.port == port), frontend.default)
    return own.validation


class _Authority(NamedTuple):
    name: str
    unresolved: Verdict | None


def _first_authority(
    validation: FrontendValidation, gateway: Resource[Gateway], sources: Sources, known: grants.Index
) -> _Authority | Verdict:
    """The authority of clients' certificates; or why there is none."""
    problems: list[Verdict] = []
    names: list[str] = []
    for ref, verdict in _authorities(validation, gateway, sources, known):
        if verdict is None:
            names.append(f"{ref.namespace or gateway.namespace}/{ref.name}")
        else:
            problems.append(verdict)
    if len(names) > 1:
        problems.append(Verdict("InvalidCACertificateRef", f"of several authorities only {names[0]} is used"))
    if names:
        return _Authority(names[0], problems[0] if problems else None)
    return problems[0] if problems else Verdict("InvalidCACertificateRef", "caCertificateRefs names no authority")


def _authorities(
    validation: FrontendValidation, gateway: Resource[Gateway], sources: Sources, known: grants.Index
) -> Iterator[tuple[ObjectReference, Verdict | None]]:
    for ref in validation.ca_certificate_refs:
        yield ref, authority_problem(ref, grants.Referrer("Gateway", gateway.namespace), sources, known)


def authority_problem(
    ref: ObjectReference, by: grants.Referrer, sources: Sources, known: grants.Index
) -> Verdict | None:
    """Why a ConfigMap or Secret with authorities cannot be used."""
    namespace = ref.namespace or by.namespace
    where = f"{ref.kind} {namespace}/{ref.name}"
    if ref.group or ref.kind not in ("ConfigMap", "Secret"):
        return Verdict("InvalidCACertificateKind", f"{where}: only ConfigMaps and Secrets hold authorities")
    if not grants.allowed(known, by, grants.Referent("", ref.kind, namespace, ref.name)):
        return Verdict("RefNotPermitted", f"{where}: no ReferenceGrant in namespace {namespace} allows it")
    pem = authority_of(ref.kind, namespace, ref.name, sources)
    if not pem:
        return Verdict("InvalidCACertificateRef", f"{where}: there is none with certificates under the key ca.crt")
    problem = authorities_problem(pem)
    return Verdict("InvalidCACertificateRef", f"{where}: {problem}") if problem else None


def authority_of(kind: str, namespace: str, name: str, sources: Sources) -> str:
    """The certificates of authorities in a ConfigMap or Secret; empty where there are none."""
    if kind == "ConfigMap":
        found = sources.config_maps.get((namespace, name))
        return found.certificates if found is not None else ""
    secret = sources.secrets.get((namespace, name))
    return secret.ca.decode(errors="replace") if secret is not None else ""

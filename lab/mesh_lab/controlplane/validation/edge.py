"""Rules for Gateway, and for the TLS settings of servers."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model import Gateway
from mesh_lab.controlplane.model.gateway import Server, ServerTLSSettings
from mesh_lab.controlplane.validation.common import Problem, camel, error, warning
from mesh_lab.controlplane.validation.names import (
    HTTP_PROTOCOLS,
    PROTOCOLS,
    TLS_PROTOCOLS,
    UNIX,
    is_address,
    scoped_host,
    unix_socket,
)

_CIPHER_SUITES = frozenset(
    {
        "AES128-GCM-SHA256",
        "AES128-SHA",
        "AES256-GCM-SHA384",
        "AES256-SHA",
        "DES-CBC3-SHA",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-SHA",
        "ECDHE-RSA-CHACHA20-POLY1305",
    }
)


def gateway(spec: Gateway) -> Iterator[Problem]:
    """Problems of a Gateway."""
    if not spec.servers:
        yield error("spec.servers", "gateway must have at least one server")
    seen: set[str] = set()
    for index, server in enumerate(spec.servers):
        path = f"spec.servers[{index}]"
        if server.port.name in seen:
            yield error(f"{path}.port.name", f"port names in servers must be unique: duplicate name {server.port.name}")
        seen.add(server.port.name)
        protocol = server.port.protocol.upper()
        if protocol not in PROTOCOLS:
            yield error(
                f"{path}.port.protocol",
                f"invalid protocol {server.port.protocol!r}: one of {', '.join(sorted(PROTOCOLS))}",
            )
        yield from _bind(path, server)
        if not server.hosts:
            yield error(f"{path}.hosts", "server config must contain at least one host")
        for number, host in enumerate(server.hosts):
            yield from scoped_host(f"{path}.hosts[{number}]", host, gateway=True)
        if not server.port.name:
            yield error(f"{path}.port.name", "port name must be set")
        if server.port.target_port:
            yield error(f"{path}.port.targetPort", "targetPort has no impact on Gateways")
        yield from _server_tls(path, server, protocol)


def _bind(path: str, server: Server) -> Iterator[Problem]:
    """Where a server listens: at a port of an address, or at a socket."""
    socket, number = server.bind.startswith(UNIX), server.port.number
    if socket:
        yield from unix_socket(f"{path}.bind", server.bind)
    elif server.bind and not is_address(server.bind):
        yield error(f"{path}.bind", f"{server.bind} is not a valid IP, nor unix:// and a path")
    if socket and number:
        yield error(f"{path}.port.number", "port number must be 0 for a unix domain socket")
    elif not socket and not 1 <= number <= 65535:
        yield error(f"{path}.port.number", f"port number {number} must be in the range 1..65535")


def _server_tls(path: str, server: Server, protocol: str) -> Iterator[Problem]:
    tls = server.tls
    if tls is None:
        if protocol in TLS_PROTOCOLS:
            yield error(f"{path}.tls", "server must have TLS settings for HTTPS/TLS protocols")
        return
    files = tls.server_certificate or tls.private_key or tls.ca_certificates
    if protocol not in TLS_PROTOCOLS and not (protocol in HTTP_PROTOCOLS and _passes(tls) and not files):
        yield error(f"{path}.tls.mode", f"server cannot have TLS settings for a port of protocol {protocol}")
    if tls.https_redirect and protocol not in HTTP_PROTOCOLS:
        yield warning(f"{path}.tls.httpsRedirect", "tls.httpsRedirect should only be used with http servers")
    yield from tls_settings(f"{path}.tls", tls)


def tls_settings(path: str, tls: ServerTLSSettings) -> Iterator[Problem]:
    """Problems of a server's TLS settings, whatever its port."""
    if tls.min_protocol_version in ("TLSV1_0", "TLSV1_1") and not tls.cipher_suites:
        text = "TLS versions below TLSV1_2 need cipherSuites, since the default ones do not suit them"
        yield warning(f"{path}.minProtocolVersion", text)
    for index, suite in enumerate(tls.cipher_suites):
        if suite not in _CIPHER_SUITES:
            yield warning(f"{path}.cipherSuites[{index}]", f"ignoring invalid cipher suite {suite}")
        elif suite in tls.cipher_suites[:index]:
            yield warning(f"{path}.cipherSuites[{index}]", f"ignoring duplicate cipher suite {suite}")
    named = any(getattr(tls, name) for name in (*_SOURCES, "ca_crl"))
    if _passes(tls) and named:
        mode = tls.mode or "PASSTHROUGH"
        yield warning(path, f"{mode} mode does not use certificates, they will be ignored")
    if tls.mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL") and not (tls.credential_name or tls.credential_names):
        given = [(each.server_certificate, each.private_key) for each in tls.tls_certificates]
        for certificate, key in given or [(tls.server_certificate, tls.private_key)]:
            if not certificate:
                yield error(path, f"{tls.mode} TLS requires a server certificate, or a credentialName")
            if not key:
                yield error(path, f"{tls.mode} TLS requires a private key, or a credentialName")
    yield from _certificates(path, tls)


def _passes(tls: ServerTLSSettings) -> bool:
    return tls.mode in (None, "PASSTHROUGH", "AUTO_PASSTHROUGH")


_SOURCES = (
    "server_certificate",
    "private_key",
    "ca_certificates",
    "credential_name",
    "credential_names",
    "tls_certificates",
)


def _certificates(path: str, tls: ServerTLSSettings) -> Iterator[Problem]:
    """Where certificates come from: the mesh, Secrets or files, and never two of these."""
    if tls.mode == "ISTIO_MUTUAL":
        for name in _SOURCES:
            if getattr(tls, name):
                yield error(f"{path}.{camel(name)}", f"ISTIO_MUTUAL TLS cannot have associated {camel(name)}")
    files = bool(tls.server_certificate and tls.private_key)
    if sum(map(bool, (files, tls.credential_name, tls.credential_names, tls.tls_certificates))) > 1:
        text = "only one of credentialName, credentialNames, tlsCertificates, serverCertificate and privateKey"
        yield error(path, f"{text} should be specified")
    from_secret = tls.credential_name or tls.credential_names
    if tls.mode in ("MUTUAL", "OPTIONAL_MUTUAL") and not from_secret and not tls.ca_certificates:
        yield error(f"{path}.caCertificates", f"{tls.mode} TLS requires a client CA bundle")
    if tls.ca_crl and (from_secret or tls.mode == "SIMPLE"):
        yield error(f"{path}.caCrl", "a CRL is read from a file only, beside caCertificates, with mode MUTUAL")

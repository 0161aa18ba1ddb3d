"""Rules for Gateway and Sidecar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lab.controlplane.model import Gateway, Sidecar
from lab.controlplane.validation.common import Problem, camel, error, host_name, ip_address, warning

_PROTOCOLS = frozenset({"HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "TCP", "TLS", "MONGO", "MYSQL", "REDIS"})


def gateway(spec: Gateway) -> Iterator[Problem]:
    """Problems of a Gateway."""
    if not spec.servers:
        yield error("spec.servers", "gateway must have at least one server")
    if not spec.selector:
        yield warning("spec.selector", "without a selector, no gateway's pod takes this up")
    seen: set[str] = set()
    for index, server in enumerate(spec.servers):
        path = f"spec.servers[{index}]"
        if server.port.name in seen:
            yield error(f"{path}.port.name", f"port names in servers must be unique: duplicate name {server.port.name}")
        seen.add(server.port.name)
        protocol = server.port.protocol.upper()
        if protocol not in _PROTOCOLS:
            yield error(
                f"{path}.port.protocol",
                f"invalid protocol {server.port.protocol!r}: one of {', '.join(sorted(_PROTOCOLS))}",
            )
        if not 1 <= server.port.number <= 65535:
            yield error(f"{path}.port.number", f"port number {server.port.number} must be in the range 1..65535")
        if not server.hosts:
            yield error(f"{path}.hosts", "server config must contain at least one host")
        for number, host in enumerate(server.hosts):
            namespace, _, name = host.rpartition("/")
            yield from host_name(f"{path}.hosts[{number}]", name)
            if namespace and not re.match(r"^([.*]|[a-z0-9-]+)$", namespace):
                yield error(f"{path}.hosts[{number}]", f"namespace {namespace!r} must be a namespace, '.' or '*'")
        if server.bind:
            yield from ip_address(f"{path}.bind", server.bind)
        if server.default_endpoint:
            yield warning(f"{path}.defaultEndpoint", "defaultEndpoint has no effect on gateways")
        if server.port.target_port:
            yield error(f"{path}.port.targetPort", "targetPort has no impact on Gateways")
        yield from _server_tls(path, server, protocol)


def _server_tls(path: str, server: Any, protocol: str) -> Iterator[Problem]:
    tls = server.tls
    if tls is None or (tls.mode is None and not tls.https_redirect):
        if protocol in ("HTTPS", "TLS"):
            yield error(f"{path}.tls", "server must have TLS settings for HTTPS/TLS protocols")
        return
    if tls.mode not in (None, "PASSTHROUGH", "AUTO_PASSTHROUGH") and protocol not in ("HTTPS", "TLS"):
        yield error(f"{path}.tls.mode", f"server cannot have TLS settings for a port of protocol {protocol}")
    if tls.https_redirect and protocol in ("HTTPS", "TLS", "TCP"):
        yield error(f"{path}.tls.httpsRedirect", "httpsRedirect should only be used with http servers")
    if tls.mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL") and not (tls.credential_name or tls.credential_names):
        if not tls.server_certificate:
            yield error(f"{path}.tls", f"{tls.mode} TLS requires a server certificate, or a credentialName")
        if not tls.private_key:
            yield error(f"{path}.tls", f"{tls.mode} TLS requires a private key, or a credentialName")
    yield from _certificates(path, tls)
    if tls.mode == "AUTO_PASSTHROUGH":
        yield error(
            f"{path}.tls.mode", "AUTO_PASSTHROUGH is for several clusters, which this control plane does not join"
        )


def _certificates(path: str, tls: Any) -> Iterator[Problem]:
    """Where certificates come from: the mesh, Secrets or files, and never two of these."""
    named = ("server_certificate", "private_key", "ca_certificates", "credential_name", "credential_names")
    if tls.mode == "ISTIO_MUTUAL":
        for name in named:
            if getattr(tls, name):
                yield error(f"{path}.tls.{camel(name)}", f"ISTIO_MUTUAL TLS cannot have associated {camel(name)}")
    sources = (tls.server_certificate and tls.private_key, tls.credential_name, tls.credential_names)
    if sum(bool(source) for source in sources) > 1:
        yield error(
            f"{path}.tls",
            "only one of credentialName, credentialNames, serverCertificate and privateKey should be specified",
        )
    from_secret = tls.credential_name or tls.credential_names
    if tls.mode in ("MUTUAL", "OPTIONAL_MUTUAL") and not from_secret and not tls.ca_certificates:
        yield error(f"{path}.tls.caCertificates", f"{tls.mode} TLS requires a client CA bundle")
    if tls.ca_crl and (from_secret or tls.mode == "SIMPLE"):
        yield error(f"{path}.tls.caCrl", "a CRL is read from a file only, beside caCertificates, with mode MUTUAL")


def sidecar(spec: Sidecar) -> Iterator[Problem]:
    """Problems of a Sidecar."""
    for index, listener in enumerate(spec.egress):
        if listener.port is not None or listener.bind:
            yield warning(
                f"spec.egress[{index}].port", "an egress listener's hosts are taken for all ports by this control plane"
            )
        for number, host in enumerate(listener.hosts):
            if "/" not in host:
                yield error(f"spec.egress[{index}].hosts[{number}]", f'"{host}" is not of the form namespace/dnsName')
        if listener.capture_mode == "NONE":
            yield warning(f"spec.egress[{index}].captureMode", "what a pod sends is redirected all the same")
    if spec.inbound_connection_pool is not None:
        yield warning("spec.inboundConnectionPool", "inboundConnectionPool has no effect with this control plane")
    if spec.ingress:
        yield warning("spec.ingress", "ingress has no effect with this control plane")

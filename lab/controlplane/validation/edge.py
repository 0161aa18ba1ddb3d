"""Rules for Gateway and Sidecar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lab.controlplane.model import Gateway, Sidecar
from lab.controlplane.validation.common import Problem, error, host_name, warning

_PROTOCOLS = frozenset({"HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "TCP", "TLS", "MONGO", "MYSQL", "REDIS"})


def gateway(spec: Gateway) -> Iterator[Problem]:
    """Problems of a Gateway."""
    if not spec.servers:
        yield error("spec.servers", "gateway must have at least one server")
    if not spec.selector:
        yield warning("spec.selector", "without a selector, no gateway's pod takes this up")
    for index, server in enumerate(spec.servers):
        path = f"spec.servers[{index}]"
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
        yield from _server_tls(path, server, protocol)


def _server_tls(path: str, server: Any, protocol: str) -> Iterator[Problem]:
    tls = server.tls
    if tls is None or (tls.mode is None and not tls.https_redirect):
        if protocol in ("HTTPS", "TLS"):
            yield error(f"{path}.tls", "server must have TLS settings for HTTPS/TLS protocols")
        return
    if tls.https_redirect and protocol in ("HTTPS", "TLS", "TCP"):
        yield error(f"{path}.tls.httpsRedirect", "httpsRedirect should only be used with http servers")
    if tls.mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL") and not (tls.credential_name or tls.credential_names):
        if not tls.server_certificate:
            yield error(f"{path}.tls", f"{tls.mode} TLS requires a server certificate, or a credentialName")
        if not tls.private_key:
            yield error(f"{path}.tls", f"{tls.mode} TLS requires a private key, or a credentialName")
    if tls.mode == "AUTO_PASSTHROUGH":
        yield error(
            f"{path}.tls.mode", "AUTO_PASSTHROUGH is for several clusters, which this control plane does not join"
        )


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
    if spec.ingress:
        yield warning("spec.ingress", "ingress has no effect with this control plane")

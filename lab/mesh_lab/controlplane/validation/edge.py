"""Rules for Gateway and Sidecar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mesh_lab.controlplane.model import Gateway, Sidecar
from mesh_lab.controlplane.model.sidecar import IstioEgressListener, IstioIngressListener
from mesh_lab.controlplane.validation.common import Problem, camel, error, warning
from mesh_lab.controlplane.validation.names import is_address, scoped_host, workload_labels
from mesh_lab.controlplane.validation.policies import connection_pool

_PROTOCOLS = frozenset({"HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "TCP", "TLS", "MONGO", "MYSQL", "REDIS"})


_HTTP = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})


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
            yield from scoped_host(f"{path}.hosts[{number}]", host, gateway=True)
        if not server.port.name:
            yield error(f"{path}.port.name", "port name must be set")
        if server.bind and not is_address(server.bind):
            yield error(f"{path}.bind", f"{server.bind} is not a valid IP: gateways bind to nothing else here")
        if server.default_endpoint:
            yield warning(f"{path}.defaultEndpoint", "defaultEndpoint has no effect on gateways")
        if server.port.target_port:
            yield error(f"{path}.port.targetPort", "targetPort has no impact on Gateways")
        yield from _server_tls(path, server, protocol)


def _server_tls(path: str, server: Any, protocol: str) -> Iterator[Problem]:
    tls = server.tls
    if tls is None:
        if protocol in ("HTTPS", "TLS"):
            yield error(f"{path}.tls", "server must have TLS settings for HTTPS/TLS protocols")
        return
    passes = tls.mode in (None, "PASSTHROUGH", "AUTO_PASSTHROUGH")
    files = tls.server_certificate or tls.private_key or tls.ca_certificates
    if protocol not in ("HTTPS", "TLS") and not (protocol in _HTTP and passes and not files):
        yield error(f"{path}.tls.mode", f"server cannot have TLS settings for a port of protocol {protocol}")
    if tls.https_redirect and protocol not in _HTTP:
        yield warning(f"{path}.tls.httpsRedirect", "tls.httpsRedirect should only be used with http servers")
    if passes and (files or tls.ca_crl or tls.credential_name or tls.credential_names):
        mode = tls.mode or "PASSTHROUGH"
        yield warning(f"{path}.tls", f"{mode} mode does not use certificates, they will be ignored")
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
    if not (spec.egress or spec.ingress or spec.outbound_traffic_policy or spec.inbound_connection_pool):
        yield error("spec", "sidecar: empty configuration provided")
    if spec.workload_selector is not None:
        yield from workload_labels("spec.workloadSelector", spec.workload_selector.labels)
    yield from _egress_ports(spec.egress)
    for index, listener in enumerate(spec.egress):
        if not listener.hosts:
            yield error(f"spec.egress[{index}].hosts", "sidecar: egress listener must contain at least one host")
        if listener.port is not None or listener.bind:
            yield warning(
                f"spec.egress[{index}].port", "an egress listener's hosts are taken for all ports by this control plane"
            )
        for number, host in enumerate(listener.hosts):
            yield from scoped_host(f"spec.egress[{index}].hosts[{number}]", host, gateway=False)
        if listener.capture_mode == "NONE":
            yield warning(f"spec.egress[{index}].captureMode", "what a pod sends is redirected all the same")
    if spec.inbound_connection_pool is not None:
        yield from connection_pool("spec.inboundConnectionPool", spec.inbound_connection_pool)
    yield from _ingress_ports(spec.ingress)
    if spec.ingress:
        yield warning("spec.ingress", "ingress has no effect with this control plane")


def _egress_ports(listeners: Sequence[IstioEgressListener]) -> Iterator[Problem]:
    """A listener without a port takes what no other does, so it is the last one."""
    seen: set[int] = set()
    for index, listener in enumerate(listeners):
        path = f"spec.egress[{index}].port"
        if listener.port is not None and not listener.bind.startswith(_UNIX):
            yield from _port(path, listener.port.number, listener.port.protocol, seen)
        elif listener.port is None and index < len(listeners) - 1:
            text = "sidecar: the egress listener with empty port should be the last listener in the list"
            yield error(path, text)


def _ingress_ports(listeners: Sequence[IstioIngressListener]) -> Iterator[Problem]:
    seen: set[int] = set()
    for index, listener in enumerate(listeners):
        path, endpoint = f"spec.ingress[{index}]", listener.default_endpoint
        if listener.port.target_port:
            yield error(f"{path}.port.targetPort", "targetPort has no impact on Sidecars")
        yield from _port(f"{path}.port", listener.port.number, listener.port.protocol, seen)
        host, _, port = endpoint.rpartition(":")
        if endpoint and not endpoint.startswith(_UNIX) and (host not in _OWN_ADDRESSES or not port.isdecimal()):
            text = "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>,0.0.0.0:<port>,[::1]:port,[::]:port"
            yield error(f"{path}.defaultEndpoint", text)


def _port(path: str, number: int, protocol: str, seen: set[int]) -> Iterator[Problem]:
    if protocol and protocol.upper() not in _PROTOCOLS:
        yield error(f"{path}.protocol", f"unsupported protocol: {protocol}")
    if not 1 <= number <= 65535:
        yield error(f"{path}.number", f"port number {number} must be in the range 1..65535")
    elif number in seen:
        yield error(f"{path}.number", "sidecar: ports on IP bound listeners must be unique")
    seen.add(number)


_UNIX = "unix://"
_OWN_ADDRESSES = ("", "127.0.0.1", "0.0.0.0", "[::1]", "[::]")

"""Rules for Sidecar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mesh_lab.controlplane.model import Sidecar
from mesh_lab.controlplane.model.gateway import ServerTLSSettings
from mesh_lab.controlplane.model.sidecar import (
    IstioEgressListener,
    IstioIngressListener,
    OutboundTrafficPolicy,
    SidecarPort,
)
from mesh_lab.controlplane.validation.common import Problem, camel, error, is_port, warning
from mesh_lab.controlplane.validation.destinations import destination
from mesh_lab.controlplane.validation.edge import tls_settings
from mesh_lab.controlplane.validation.names import (
    HTTP_PROTOCOLS,
    TLS_PROTOCOLS,
    UNIX,
    fqdn,
    is_address,
    port_name,
    protocol,
    scoped_host,
    unix_socket,
    workload_labels,
)
from mesh_lab.controlplane.validation.policies import connection_pool

_OWN_ADDRESSES = ("", "127.0.0.1", "0.0.0.0", "[::1]", "[::]")
_NOT_ON_INGRESS = (
    "subject_alt_names",
    "https_redirect",
    "credential_name",
    "credential_names",
    "ca_cert_credential_name",
    "tls_certificates",
)


def sidecar(spec: Sidecar) -> Iterator[Problem]:
    """Problems of a Sidecar."""
    if not (spec.egress or spec.ingress or spec.outbound_traffic_policy or spec.inbound_connection_pool):
        yield error("spec", "sidecar: empty configuration provided")
    if spec.workload_selector is not None:
        yield from workload_labels("spec.workloadSelector", spec.workload_selector.labels)
    seen: set[int] = set()
    for index, ingress in enumerate(spec.ingress):
        path, number = f"spec.ingress[{index}]", ingress.port.number
        if number in seen:
            yield error(f"{path}.port.number", "sidecar: ports on IP bound listeners must be unique")
        seen.add(number)
        yield from _ingress(path, ingress)
    if spec.inbound_connection_pool is not None:
        yield from connection_pool("spec.inboundConnectionPool", spec.inbound_connection_pool)
    yield from _egress_ports(spec.egress)
    for index, egress in enumerate(spec.egress):
        yield from _hosts(f"spec.egress[{index}].hosts", egress.hosts)
    if spec.outbound_traffic_policy is not None:
        yield from _outbound("spec.outboundTrafficPolicy", spec.outbound_traffic_policy)


def _ingress(path: str, listener: IstioIngressListener) -> Iterator[Problem]:
    port, kind = listener.port, listener.port.protocol.upper()
    yield from _port(f"{path}.port", port)
    if not 1 <= port.number <= 65535:
        yield error(f"{path}.port.number", f"port number {port.number} must be in the range 1..65535")
    if listener.bind and not is_address(listener.bind):
        yield error(f"{path}.bind", f"{listener.bind} is not a valid IP")
    yield from _endpoint(f"{path}.defaultEndpoint", listener.default_endpoint)
    if listener.tls is not None:
        yield from _ingress_tls(f"{path}.tls", listener.tls, kind)
    if listener.connection_pool is not None:
        yield from connection_pool(f"{path}.connectionPool", listener.connection_pool)
        if listener.connection_pool.http is not None and kind not in HTTP_PROTOCOLS:
            text = f"the port's protocol is not HTTP but {kind or 'not given'}: only the settings of TCP apply"
            yield warning(f"{path}.connectionPool.http", text)


def _endpoint(path: str, endpoint: str) -> Iterator[Problem]:
    """Where the workload itself listens: a port of its own, or a socket."""
    host, _, number = endpoint.rpartition(":")
    if endpoint.startswith(UNIX):
        yield from unix_socket(path, endpoint)
    elif endpoint and (host not in _OWN_ADDRESSES or not is_port(number)):
        forms = "127.0.0.1:<port>,0.0.0.0:<port>,[::1]:port,[::]:port,unix://filepath"
        yield error(path, f"sidecar: defaultEndpoint must be of form {forms} or unset")


def _ingress_tls(path: str, tls: ServerTLSSettings, kind: str) -> Iterator[Problem]:
    for name in _NOT_ON_INGRESS:
        if getattr(tls, name):
            yield error(f"{path}.{camel(name)}", f"sidecar: {camel(name)} is not supported in ingress tls")
    if tls.mode in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
        yield error(f"{path}.mode", f"cannot set mode to {tls.mode} in sidecar ingress tls")
    if kind not in TLS_PROTOCOLS:
        yield error(path, "server cannot have TLS settings for non HTTPS/TLS ports")
    yield from tls_settings(path, tls)


def _egress_ports(listeners: Sequence[IstioEgressListener]) -> Iterator[Problem]:
    """A listener without a port takes what no other does, so it is the last one."""
    numbers: set[int] = set()
    sockets: set[str] = set()
    for index, listener in enumerate(listeners):
        path, port = f"spec.egress[{index}]", listener.port
        if port is None:
            if index < len(listeners) - 1:
                text = "sidecar: the egress listener with empty port should be the last listener in the list"
                yield error(f"{path}.port", text)
            continue
        yield from _port(f"{path}.port", port)
        if port.number == 0:
            yield from _socket(path, listener)
            if listener.bind in sockets:
                yield error(f"{path}.bind", "sidecar: unix domain socket values for listeners must be unique")
            sockets.add(listener.bind)
            continue
        if port.number > 65535:
            yield error(f"{path}.port.number", f"port number {port.number} must be in the range 1..65535")
        if listener.bind and not is_address(listener.bind):
            yield error(f"{path}.bind", f"{listener.bind} is not a valid IP")
        if port.number in numbers:
            yield error(f"{path}.port.number", "sidecar: ports on IP bound listeners must be unique")
        numbers.add(port.number)


def _socket(path: str, listener: IstioEgressListener) -> Iterator[Problem]:
    if listener.bind.startswith(UNIX):
        yield from unix_socket(f"{path}.bind", listener.bind)
    else:
        text = "sidecar: ports with 0 value must have a unix domain socket bind address"
        yield error(f"{path}.port.number", text)
    if listener.capture_mode == "IPTABLES":
        text = "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners"
        yield error(f"{path}.captureMode", text)


def _hosts(path: str, hosts: Sequence[str]) -> Iterator[Problem]:
    if not hosts:
        yield error(path, "sidecar: egress listener must contain at least one host")
    known: dict[str, set[str]] = {}
    for index, host in enumerate(hosts):
        yield from scoped_host(f"{path}[{index}]", host, gateway=False)
        namespace, slash, name = host.partition("/")
        if not slash or namespace.startswith("~"):
            continue
        names = known.setdefault(namespace, set())
        if name in names or "*" in names or (name == "*" and names):
            yield warning(f"{path}[{index}]", f"duplicated egress host: {host}")
        names.add(name)
    if "*" in known.get("*", ()) and len(known) > 1:
        yield warning(path, "*/* selects all hosts: no others need be given")


def _outbound(path: str, policy: OutboundTrafficPolicy) -> Iterator[Problem]:
    proxy = policy.egress_proxy
    if proxy is None:
        return
    if policy.mode != "ALLOW_ANY":
        yield error(f"{path}.egressProxy", "sidecar: egressProxy must be set only with mode ALLOW_ANY")
    yield from fqdn(f"{path}.egressProxy.host", proxy.host)
    if proxy.port is None:
        yield error(f"{path}.egressProxy.port", "sidecar: egressProxy must have a port")
    yield from destination(f"{path}.egressProxy", proxy)


def _port(path: str, port: SidecarPort) -> Iterator[Problem]:
    if port.target_port:
        yield error(f"{path}.targetPort", "targetPort has no impact on Sidecars")
    if port.name:
        yield from port_name(f"{path}.name", port.name)
    yield from protocol(f"{path}.protocol", port.protocol)

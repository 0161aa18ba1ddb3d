"""Rules for WorkloadEntry and WorkloadGroup."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model import WorkloadEntry, WorkloadGroup
from mesh_lab.controlplane.model.workloads import ReadinessProbe
from mesh_lab.controlplane.validation.common import Problem, error, warning
from mesh_lab.controlplane.validation.names import UNIX, fqdn, is_address, labels, port_name, unix_socket

_LONGEST_PORT_NAME = 62


def workload_entry(spec: WorkloadEntry) -> Iterator[Problem]:
    """Problems of a WorkloadEntry that stands by itself: whether its address is to be resolved is not known."""
    yield from address("spec", spec)
    yield from fields("spec", spec)


def address(path: str, entry: WorkloadEntry) -> Iterator[Problem]:
    """Problems of where a workload is: at an IP address, at a host's name, or at a socket."""
    where = entry.address
    if not where and not entry.network:
        yield error(f"{path}.address", "address is required")
    elif not where:
        yield warning(f"{path}.address", f'address is unset with network "{entry.network}"')
    elif not where.startswith(UNIX) and not is_address(where) and any(fqdn("", where)):
        yield error(f"{path}.address", f'endpoint address "{where}" is not a valid FQDN or an IP address')


def fields(path: str, entry: WorkloadEntry) -> Iterator[Problem]:
    """Problems of what an entry and a template have in common."""
    if entry.address.startswith(UNIX):
        yield from unix_socket(f"{path}.address", entry.address)
    for name in entry.ports:
        yield from port_name(f"{path}.ports[{name}]", name)
        if len(name) > _LONGEST_PORT_NAME:
            yield error(f"{path}.ports[{name}]", f"a port's name has at most {_LONGEST_PORT_NAME} characters here")
    if entry.address.startswith(UNIX) and entry.ports:
        yield error(f"{path}.ports", f"unix endpoint {entry.address} must not include ports")
    yield from labels(f"{path}.labels", entry.labels)


def workload_group(spec: WorkloadGroup) -> Iterator[Problem]:
    """Problems of a WorkloadGroup. Its template needs no address: each workload brings its own."""
    yield from fields("spec.template", spec.template)
    if spec.metadata is not None:
        yield from labels("spec.metadata.labels", spec.metadata.labels)
    if spec.probe is not None:
        yield from _probe("spec.probe", spec.probe)


def _probe(path: str, probe: ReadinessProbe) -> Iterator[Problem]:
    checks = {"httpGet": probe.http_get, "tcpSocket": probe.tcp_socket, "exec": probe.exec, "grpc": probe.grpc}
    given = [name for name, check in checks.items() if check is not None]
    if len(given) != 1:
        yield error(path, f"one of {', '.join(checks)} must be given, not {' and '.join(given) or 'none'}")
    if probe.grpc is not None:
        # Istio's webhook knows no other check; its API has the field all the same.
        yield error(f"{path}.grpc", "health checks by gRPC are refused by Istio: use httpGet, tcpSocket or exec")
    if probe.http_get is not None:
        if probe.http_get.scheme not in ("", "HTTP", "HTTPS"):
            yield error(f"{path}.httpGet.scheme", "scheme must be HTTP or HTTPS")
        for index, header in enumerate(probe.http_get.http_headers):
            if not header.name:
                yield error(f"{path}.httpGet.httpHeaders[{index}].name", "header name cannot be empty")
    if probe.exec is not None and not probe.exec.command:
        yield error(f"{path}.exec.command", "exec.command is required")

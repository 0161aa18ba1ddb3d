"""Rules of containers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.rules.causes import duplicate, duplicates, forbidden, invalid, missing, required
from mesh_lab.kube.registry.syntax import quantities
from mesh_lab.kube.registry.syntax.names import env_name_problem, label_problem, port_name_problem, subdomain_problem

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
_SUBSCRIPTED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_RESOURCES = ("cpu", "memory", "ephemeral-storage", "pods", "storage")


def check_container(container: dict[str, Any], path: str, volumes: set[str | None]) -> Iterator[Cause]:
    """Everything that is wrong with a container, given the names of the pod's volumes."""
    yield from _check_common(container, path, volumes)
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(field)) is not None:
            yield from _check_handler(probe, f"{path}.{field}")
            if field != "readinessProbe" and probe.get("successThreshold", 1) != 1:
                yield invalid(f"{path}.{field}.successThreshold", probe["successThreshold"], "must be 1")
    for hook in ("postStart", "preStop"):
        if (handler := (container.get("lifecycle") or {}).get(hook)) is not None:
            yield from _check_handler(handler, f"{path}.lifecycle.{hook}")


def check_init_container(container: dict[str, Any], path: str, volumes: set[str | None]) -> Iterator[Cause]:
    """The same for an init container. With `restartPolicy: Always` it is a sidecar, and may have probes."""
    if container.get("restartPolicy") == "Always":
        yield from check_container(container, path, volumes)
        return
    yield from _check_common(container, path, volumes)
    for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if field in container:
            yield forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")


def _check_common(container: dict[str, Any], path: str, volumes: set[str | None]) -> Iterator[Cause]:
    name, image = container.get("name"), container.get("image")
    if name and (problem := label_problem(name)):
        yield invalid(f"{path}.name", name, problem)
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from _check_ports(container.get("ports") or [], f"{path}.ports")
    yield from _check_env(container, path)
    yield from _check_mounts(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    yield from check_resources(container.get("resources") or {}, f"{path}.resources")


def _check_ports(ports: list[dict[str, Any]], path: str) -> Iterator[Cause]:
    names = set()
    for index, port in enumerate(ports):
        if "containerPort" not in port:
            yield required(f"{path}[{index}].containerPort")
        name = port.get("name")
        if not name:
            continue
        if problem := port_name_problem(name):
            yield invalid(f"{path}[{index}].name", name, problem)
        elif name in names:
            yield duplicate(f"{path}[{index}].name", name)
        names.add(name)


def _check_env(container: dict[str, Any], path: str) -> Iterator[Cause]:
    for index, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}]"
        name = variable.get("name")
        if name and (problem := env_name_problem(name)):
            yield invalid(f"{where}.name", name, problem)
        if (source := variable.get("valueFrom")) is not None:
            if variable.get("value"):
                yield invalid(f"{where}.valueFrom", "", "may not be specified when `value` is not empty")
            yield from _check_source(source, f"{where}.valueFrom")
    for index, group in enumerate(container.get("envFrom") or ()):
        where = f"{path}.envFrom[{index}]"
        sources = [field for field in ("configMapRef", "secretRef") if field in group]
        if not sources:
            yield invalid(where, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(sources) > 1:
            yield invalid(where, "", "may not have more than one field specified at a time")
        for field in sources:
            if not group[field].get("name"):
                yield required(f"{where}.{field}.name")


def _check_source(source: dict[str, Any], path: str) -> Iterator[Cause]:
    given = [field for field in _ENV_SOURCES if field in source]
    if not given:
        yield invalid(path, "", f"must specify one of: {', '.join(f'`{s}`' for s in _ENV_SOURCES[:-1])}")
    elif len(given) > 1:
        yield invalid(path, "", "may not have more than one field specified at a time")
    for field in ("configMapKeyRef", "secretKeyRef"):
        if field in source and not source[field].get("name"):
            yield required(f"{path}.{field}.name")
    field_path = (source.get("fieldRef") or {}).get("fieldPath")
    if field_path and field_path not in _FIELDS and not _SUBSCRIPTED.fullmatch(field_path):
        why = f"error converting fieldPath: field label not supported: {field_path}"
        yield invalid(f"{path}.fieldRef.fieldPath", field_path, why)


def _check_mounts(mounts: list[dict[str, Any]], path: str, volumes: set[str | None]) -> Iterator[Cause]:
    for index, mount in enumerate(mounts):
        where = f"{path}[{index}]"
        if (name := mount.get("name")) and name not in volumes:
            yield missing(f"{where}.name", name)
        yield from check_relative(mount.get("subPath") or "", f"{where}.subPath")
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid(
                f"{where}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
            )
    paths = [mount.get("mountPath") for mount in mounts]
    for cause in duplicates(paths, path, "mountPath"):
        yield Cause(cause.field, cause.message.replace("Duplicate", "Invalid", 1) + ": must be unique")


def check_relative(value: str, path: str) -> Iterator[Cause]:
    """A path inside a volume: relative, and never out of it."""
    if value.startswith("/"):
        yield invalid(path, value, "must be a relative path")
    elif ".." in value.split("/"):
        yield invalid(path, value, "must not contain '..'")


def _check_handler(handler: dict[str, Any], path: str) -> Iterator[Cause]:
    given = [field for field in _HANDLERS if field in handler]
    if not given:
        yield required(path, "must specify a handler type")
    for field in given[1:]:
        yield forbidden(f"{path}.{field}", "may not specify more than 1 handler type")
    if "exec" in handler and not handler["exec"].get("command"):
        yield required(f"{path}.exec.command")
    for field in ("httpGet", "tcpSocket", "grpc"):
        if field in handler and "port" not in handler[field]:
            yield required(f"{path}.{field}.port")


def check_resources(resources: dict[str, Any], path: str) -> Iterator[Cause]:
    """Requests and limits: known names, no negative amounts, no request above its limit."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            where = f"{path}.{field}[{name}]"
            plain = name in _RESOURCES or name.startswith("hugepages-")
            if not plain and ("/" not in name or subdomain_problem(name.partition("/")[0])):
                yield invalid(where, name, "must be a standard resource type or fully qualified")
            if quantities.parse(amount) < 0:
                yield invalid(where, amount, "must be greater than or equal to 0")
    for name, amount in requests.items():
        if name in limits and quantities.parse(amount) > quantities.parse(limits[name]):
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid(f"{path}.requests", amount, why)

"""The core kinds in a table, but for pods."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.api.tables.columns import (
    AGE,
    NAME,
    NONE,
    Cells,
    Column,
    Printer,
    age,
    items,
    joined,
    labels_text,
    name,
    part,
    wide,
)
from mesh_lab.kube.api.tables.durations import UNKNOWN, since

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def _namespace(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), part(obj, "status").get("phase", ""), age(obj, now)]


def _config_map(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), len(part(obj, "data")) + len(part(obj, "binaryData")), age(obj, now)]


def _secret(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), obj.get("type", ""), len(part(obj, "data")), age(obj, now)]


def _service_account(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), len(items(obj, "secrets")), age(obj, now)]


def _service(obj: Mapping[str, Any], now: datetime) -> Cells:
    spec = part(obj, "spec")
    ips = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
    return [
        name(obj),
        spec.get("type", ""),
        ips[0] or NONE,
        _external(obj),
        joined([_port(port) for port in spec.get("ports") or []]),
        age(obj, now),
        labels_text(spec.get("selector")),
    ]


def _external(service: Mapping[str, Any]) -> str:
    spec = part(service, "spec")
    fixed = list(spec.get("externalIPs") or [])
    kind = spec.get("type", "ClusterIP")
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        ingress = items(service, "status", "loadBalancer", "ingress")
        return ",".join([i.get("ip") or i.get("hostname", "") for i in ingress] + fixed) or "<pending>"
    return joined(fixed)


def _port(port: Mapping[str, Any]) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"


def _node(obj: Mapping[str, Any], now: datetime) -> Cells:
    info = part(obj, "status", "nodeInfo")
    return [
        name(obj),
        _node_status(obj),
        _roles(obj["metadata"].get("labels") or {}),
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(node: Mapping[str, Any]) -> str:
    ready = next((c for c in items(node, "status", "conditions") if c.get("type") == "Ready"), None)
    word = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return word + (",SchedulingDisabled" if part(node, "spec").get("unschedulable") else "")


def _roles(labels: Mapping[str, str]) -> str:
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles |= {labels[_ROLE_LABEL]} if labels.get(_ROLE_LABEL) else set()
    return joined(sorted(role for role in roles if role))


def _address(node: Mapping[str, Any], kind: str) -> str:
    return next((a["address"] for a in items(node, "status", "addresses") if a.get("type") == kind), NONE)


def _event(obj: Mapping[str, Any], now: datetime) -> Cells:
    target, series = part(obj, "involvedObject"), part(obj, "series")
    first = since(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    count = series.get("count") or obj.get("count") or 1
    last = obj.get("lastTimestamp") or obj.get("eventTime")
    if series:
        last = series.get("lastObservedTime") or last
    seen = since(last, now) if last else first
    if count > 1:
        seen = f"{seen} (x{count} over {first})"
    source = [part(obj, "source").get("component") or obj.get("reportingComponent", "")]
    source += [part(obj, "source").get("host") or obj.get("reportingInstance", "")]
    return [
        seen,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{str(target.get('kind', '')).lower()}/{target.get('name', '')}",
        target.get("fieldPath", ""),
        ", ".join(word for word in source if word),
        str(obj.get("message", "")).strip(),
        first,
        count,
        name(obj),
    ]


NAMESPACES = Printer((NAME, Column("Status", description="The namespace's phase."), AGE), _namespace)
CONFIG_MAPS = Printer((NAME, Column("Data", description="How many entries there are."), AGE), _config_map)
SECRETS = Printer((NAME, Column("Type"), Column("Data", description="How many entries there are."), AGE), _secret)
SERVICE_ACCOUNTS = Printer((NAME, Column("Secrets"), AGE), _service_account)
SERVICES = Printer(
    (NAME, Column("Type"), Column("Cluster-IP"), Column("External-IP"), Column("Port(s)"), AGE, *wide("Selector")),
    _service,
)
NODES = Printer(
    (
        NAME,
        Column("Status"),
        Column("Roles"),
        AGE,
        Column("Version", description="The version that the node reports."),
        *wide("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
    ),
    _node,
)
EVENTS = Printer(
    (
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        *wide("Subobject", "Source"),
        Column("Message"),
        *wide("First Seen", "Count"),
        Column("Name", format="name", priority=1),
    ),
    _event,
)

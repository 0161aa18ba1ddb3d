"""The kinds of the other groups in a table: workloads, endpoint slices, leases, definitions, webhooks, roles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.api.tables.columns import (
    AGE,
    CREATED,
    NAME,
    Cells,
    Column,
    Printer,
    age,
    items,
    name,
    part,
    selector_text,
    wide,
)

_SHOWN = 3


def _deployment(obj: Mapping[str, Any], now: datetime) -> Cells:
    status, wanted = part(obj, "status"), part(obj, "spec").get("replicas", 1)
    return [
        name(obj),
        f"{status.get('readyReplicas', 0)}/{wanted}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *_template(obj),
    ]


def _scale(obj: Mapping[str, Any], now: datetime) -> Cells:
    wanted, present = part(obj, "spec").get("replicas", 0), part(obj, "status").get("replicas", 0)
    return [name(obj), wanted, present, age(obj, now)]


def _replica_set(obj: Mapping[str, Any], now: datetime) -> Cells:
    status = part(obj, "status")
    return [
        name(obj),
        part(obj, "spec").get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        *_template(obj),
    ]


def _template(obj: Mapping[str, Any]) -> list[str]:
    containers = items(obj, "spec", "template", "spec", "containers")
    return [
        ",".join(c["name"] for c in containers),
        ",".join(c.get("image", "") for c in containers),
        selector_text(part(obj, "spec").get("selector")),
    ]


def _endpoint_slice(obj: Mapping[str, Any], now: datetime) -> Cells:
    ports = [str(port.get("port", "*")) for port in obj.get("ports") or []]
    addresses = [address for endpoint in obj.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    return [name(obj), obj.get("addressType", ""), _some(ports), _some(addresses), age(obj, now)]


def _some(parts: list[str]) -> str:
    more = f" + {len(parts) - _SHOWN} more..." if len(parts) > _SHOWN else ""
    return ",".join(parts[:_SHOWN]) + more or "<unset>"


def _lease(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), part(obj, "spec").get("holderIdentity", ""), age(obj, now)]


def _webhook_configuration(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), len(obj.get("webhooks") or []), age(obj, now)]


def _created(obj: Mapping[str, Any], _now: datetime) -> Cells:
    return [name(obj), obj["metadata"].get("creationTimestamp", "")]


def _role_binding(obj: Mapping[str, Any], now: datetime) -> Cells:
    reference = part(obj, "roleRef")
    subjects = items(obj, "subjects")

    def of(kind: str) -> str:
        return ", ".join(
            f"{s['namespace']}/{s['name']}" if s.get("namespace") else s["name"] for s in subjects if s["kind"] == kind
        )

    role = f"{reference.get('kind', '')}/{reference.get('name', '')}"
    return [name(obj), role, age(obj, now), of("User"), of("Group"), of("ServiceAccount")]


_TEMPLATE = wide("Containers", "Images", "Selector")
DEPLOYMENTS = Printer(
    (
        NAME,
        Column("Ready", description="How many of the wanted pods are ready."),
        Column("Up-to-date", description="How many pods have the latest template."),
        Column("Available", description="How many pods have been ready for long enough."),
        AGE,
        *_TEMPLATE,
    ),
    _deployment,
)
REPLICA_SETS = Printer(
    (NAME, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"), AGE, *_TEMPLATE),
    _replica_set,
)
ENDPOINT_SLICES = Printer(
    (NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE),
    _endpoint_slice,
)
SCALES = Printer((NAME, Column("Desired", "integer"), Column("Available", "integer"), AGE), _scale)
LEASES = Printer((NAME, Column("Holder"), AGE), _lease)
WEBHOOK_CONFIGURATIONS = Printer((NAME, Column("Webhooks", "integer"), AGE), _webhook_configuration)
DEFINITIONS = Printer((NAME, CREATED), _created)
ROLES = Printer((NAME, CREATED), _created)
ROLE_BINDINGS = Printer((NAME, Column("Role"), AGE, *wide("Users", "Groups", "ServiceAccounts")), _role_binding)

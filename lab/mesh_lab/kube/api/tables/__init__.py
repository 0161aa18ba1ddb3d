"""Server-side printing: objects as the rows of a `meta.k8s.io/v1 Table`, which is what `kubectl get` asks for.

One `Printer` a kind, found by the resource's key; custom resources bring their columns in their definition.
https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mesh_lab.kube import resources
from mesh_lab.kube.api.tables import core, groups, pods
from mesh_lab.kube.api.tables.columns import Printer
from mesh_lab.kube.api.tables.custom import PLAIN, printer
from mesh_lab.kube.registry.table import PrinterColumn

API_VERSION = "meta.k8s.io/v1"

_BUILTIN: Mapping[str, Printer] = {
    resources.NAMESPACES.key: core.NAMESPACES,
    resources.NODES.key: core.NODES,
    resources.PODS.key: pods.PODS,
    resources.SERVICES.key: core.SERVICES,
    resources.CONFIGMAPS.key: core.CONFIG_MAPS,
    resources.SECRETS.key: core.SECRETS,
    resources.SERVICEACCOUNTS.key: core.SERVICE_ACCOUNTS,
    resources.EVENTS.key: core.EVENTS,
    resources.LEASES.key: groups.LEASES,
    resources.ENDPOINTSLICES.key: groups.ENDPOINT_SLICES,
    resources.DEPLOYMENTS.key: groups.DEPLOYMENTS,
    resources.REPLICASETS.key: groups.REPLICA_SETS,
    resources.CRDS.key: groups.DEFINITIONS,
    resources.MUTATING_WEBHOOKS.key: groups.WEBHOOK_CONFIGURATIONS,
    resources.VALIDATING_WEBHOOKS.key: groups.WEBHOOK_CONFIGURATIONS,
    resources.ROLES.key: groups.ROLES,
    resources.CLUSTERROLES.key: groups.ROLES,
    resources.ROLEBINDINGS.key: groups.ROLE_BINDINGS,
    resources.CLUSTERROLEBINDINGS.key: groups.ROLE_BINDINGS,
}


def printer_for(key: str, custom_columns: Sequence[PrinterColumn] = ()) -> Printer:
    """How a resource is shown; `custom_columns` are those that a custom one asks for."""
    return _BUILTIN.get(key) or (printer(custom_columns) if custom_columns else PLAIN)


def table(
    shown: Printer,
    objects: Iterable[Mapping[str, Any]],
    metadata: Mapping[str, Any],
    *,
    include: str = "Metadata",
    headers: bool = True,
    now: datetime | None = None,
) -> dict[str, Any]:
    """The objects as a Table. `metadata` is the list's (or the object's own resourceVersion).

    `include` says what a row carries of its object: `None`, `Metadata` or `Object`. `headers` false leaves the columns'
    definitions out, as in a watch after its first event.
    """
    moment = now or datetime.now(UTC)
    return {
        "kind": "Table",
        "apiVersion": API_VERSION,
        "metadata": dict(metadata),
        "columnDefinitions": [column.definition() for column in shown.columns] if headers else [],
        "rows": [_row(shown, obj, include, moment) for obj in objects],
    }


def partial(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object's metadata alone, as a `PartialObjectMetadata`."""
    return {"kind": "PartialObjectMetadata", "apiVersion": API_VERSION, "metadata": obj["metadata"]}


def _row(shown: Printer, obj: Mapping[str, Any], include: str, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": shown.row(obj, now)}
    if shown.finished(obj):
        row["conditions"] = [
            {"type": "Completed", "status": "True", "reason": "Completed", "message": "The pod has come to its end."}
        ]
    if include == "Object":
        row["object"] = obj
    elif include == "Metadata":
        row["object"] = partial(obj)
    return row

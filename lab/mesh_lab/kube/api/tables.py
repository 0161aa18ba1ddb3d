"""Server-side printing: objects as the rows of a `meta.k8s.io/v1 Table`, which `kubectl get` requests.

A built-in kind has a `Printer` in its `Behaviour`; the definition of a custom one names its columns
(`additionalPrinterColumns`), the value of each by a JSONPath.
https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mesh_lab.kube.api.jsonpath import Path, PathError, as_text, compile_path
from mesh_lab.kube.registry.custom.definitions import PrinterColumn
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.registry.printing.columns import NAME, PLAIN, Cell, Cells, Column, Printer, name
from mesh_lab.kube.registry.printing.durations import since
from mesh_lab.kube.resources import Resource

API_VERSION = "meta.k8s.io/v1"


def printer_for(resource: Resource, custom_columns: Sequence[PrinterColumn] = ()) -> Printer:
    """How a resource is shown; `custom_columns` are those of a custom one's definition."""
    return _custom_printer(custom_columns) if custom_columns else behaviour_of(resource).printer


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
    """The object's metadata, as a `PartialObjectMetadata`."""
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


def _custom_printer(columns: Sequence[PrinterColumn]) -> Printer:
    """The printer of a version's columns; a column whose path cannot be read is left out."""
    chosen: list[tuple[Column, Path]] = []
    for entry in columns:
        try:
            path = compile_path(entry.path)
        except PathError:
            continue
        chosen.append((Column(entry.name, entry.type, entry.priority, entry.format, entry.description), path))
    if not chosen:
        return PLAIN

    def row(obj: Mapping[str, Any], now: datetime) -> Cells:
        return [name(obj), *(_custom_cell(column, path.find(obj), now) for column, path in chosen)]

    return Printer((NAME, *(column for column, _ in chosen)), row)


def _custom_cell(column: Column, found: list[Any], now: datetime) -> Cell:
    if not found:
        return None
    first = found[0]
    if column.type == "date":
        return since(first if isinstance(first, str) else None, now)
    if column.type in ("integer", "number"):
        return first if isinstance(first, int | float) and not isinstance(first, bool) else None
    if column.type == "boolean":
        return first if isinstance(first, bool) else None
    return as_text(found)

"""Custom resources in a table: the columns that their definition asks for (`additionalPrinterColumns`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mesh_lab.kube.api.tables.jsonpath import Path, PathError, as_text, compile_path
from mesh_lab.kube.registry.custom.definitions import PrinterColumn
from mesh_lab.kube.registry.printing.columns import NAME, PLAIN, Cell, Cells, Column, Printer, name
from mesh_lab.kube.registry.printing.durations import since


def printer(columns: Sequence[PrinterColumn]) -> Printer:
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
        return [name(obj), *(_cell(column, path.find(obj), now) for column, path in chosen)]

    return Printer((NAME, *(column for column, _ in chosen)), row)


def _cell(column: Column, found: list[Any], now: datetime) -> Cell:
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

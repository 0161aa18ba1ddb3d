"""The `scale` subresource in a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    wanted, present = part(obj, "spec").get("replicas", 0), part(obj, "status").get("replicas", 0)
    return [name(obj), wanted, present, age(obj, now)]


SCALES = Printer((NAME, Column("Desired", "integer"), Column("Available", "integer"), AGE), _row)

"""Columns of kinds that make pods of a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab.kube.registry.printing.columns import items, part, selector_text, wide

TEMPLATE = wide("Containers", "Images", "Selector")


def template_cells(obj: Mapping[str, Any]) -> list[str]:
    """The cells of `TEMPLATE`."""
    containers = items(obj, "spec", "template", "spec", "containers")
    return [
        ",".join(c["name"] for c in containers),
        ",".join(c.get("image", "") for c in containers),
        selector_text(part(obj, "spec").get("selector")),
    ]

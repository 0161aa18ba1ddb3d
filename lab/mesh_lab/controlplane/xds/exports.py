"""`exportTo`: the namespaces that a resource is for."""

from __future__ import annotations

from collections.abc import Iterable


def exported(export_to: Iterable[str], owner: str, viewer: str) -> bool:
    """Whether a resource of one namespace is for another to see. Without `exportTo` it is for all."""
    targets = list(export_to)
    return not targets or any(target in ("*", viewer) or (target == "." and owner == viewer) for target in targets)

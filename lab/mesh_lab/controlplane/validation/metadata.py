"""Rules that Istio has for a resource's name and annotations; admission checks them, beside those of its spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh_lab.controlplane.model import AuthorizationPolicy, Gateway
from mesh_lab.controlplane.validation.common import Problem, error
from mesh_lab.controlplane.validation.names import is_label

_DRY_RUN = "istio.io/dry-run"
_DRY_RUN_ACTIONS = ("ALLOW", "DENY")
_BOOLEANS = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})
"""What Go reads as one."""


def metadata_problems(kind: str, metadata: Mapping[str, Any], spec: Any) -> Iterator[Problem]:
    """Problems of a resource's metadata. `spec` is as it was written."""
    name = str(metadata.get("name") or "")
    if kind == Gateway.__name__ and name and not is_label(name):
        yield error("metadata.name", f'invalid gateway name: "{name}"')
    given = (metadata.get("annotations") or {}).get(_DRY_RUN)
    if given is None:
        return
    path = f"metadata.annotations[{_DRY_RUN}]"
    action = spec.get("action", "ALLOW") if isinstance(spec, Mapping) else "ALLOW"
    if kind != AuthorizationPolicy.__name__:
        yield error(path, f"{kind} has no dry run: please remove the annotation")
    elif action not in _DRY_RUN_ACTIONS:
        yield error(path, f"only policies with action ALLOW or DENY have a dry run, found action {action}")
    elif given not in _BOOLEANS:
        yield error(path, f'invalid value "{given}": true or false')

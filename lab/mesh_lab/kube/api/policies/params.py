"""The parameters of a policy that a binding names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.registry.syntax.selectors import compile_selector


class ParamsError(Exception):
    """The parameters cannot be had: an error of the policy's configuration."""


def collect(
    registry: Registry, kind: Mapping[str, str] | None, reference: Mapping[str, Any] | None, namespace: str
) -> list[Object | None]:
    """The objects that a policy is evaluated with, one after the other; None where there are no parameters.

    `namespace` is that of the request.

    Raises:
        ParamsError: the kind is not served, or what is missing must be there.
    """
    if kind is None or reference is None:
        return [None]
    resource = registry.resources.by_kind(kind["apiVersion"], kind["kind"])
    if resource is None:
        raise ParamsError(f"paramKind kind `{kind['apiVersion']}, Kind={kind['kind']}` not known")
    if not resource.namespaced and reference.get("namespace"):
        raise ParamsError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    where = (reference.get("namespace") or namespace) if resource.namespaced else ""
    if resource.namespaced and not where:
        raise ParamsError("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    if name := reference.get("name"):
        one = registry.find(resource, name, where)
        found: list[Object | None] = [] if one is None else [one]
    else:
        wanted = compile_selector(reference.get("selector") or {})
        found = [one for one in registry.list(resource, where) if wanted.matches(one["metadata"].get("labels") or {})]
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise ParamsError("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found

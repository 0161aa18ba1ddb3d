"""What is asked of objects beyond their schema, one module a group of kinds. Words and paths are a real API server's.

`fields.py` applies tables to every field of every built-in kind; the other modules hold what relates fields to each
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.rules import (
    access,
    config,
    crds,
    events,
    fields,
    namespaces,
    pods,
    services,
    webhooks,
    workloads,
)
from mesh_lab.kube.schemas import Schema

Check = Callable[[Object], Iterator[Cause]]
CheckUpdate = Callable[[Object, Object], Iterator[Cause]]
Remark = Callable[[Object], Iterator[str]]


@dataclass(frozen=True)
class _Rules:
    check: Check | None = None
    check_update: CheckUpdate | None = None
    remark: Remark | None = None


_NO_RULES = _Rules()
_RULES: Mapping[str, _Rules] = {
    "namespaces": _Rules(namespaces.check_namespace),
    "pods": _Rules(pods.check, pods.check_update),
    "deployments.apps": _Rules(workloads.check_deployment, workloads.check_selector_update),
    "replicasets.apps": _Rules(workloads.check_replica_set, workloads.check_selector_update),
    "services": _Rules(services.check_service, services.check_service_update),
    "endpointslices.discovery.k8s.io": _Rules(services.check_slice, services.check_slice_update),
    "configmaps": _Rules(config.check_config_map, config.check_config_map_update),
    "secrets": _Rules(config.check_secret, config.check_secret_update),
    "events": _Rules(events.check),
    "customresourcedefinitions.apiextensions.k8s.io": _Rules(crds.check, crds.check_update, crds.remark),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _Rules(webhooks.check, remark=webhooks.remark),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _Rules(webhooks.check, remark=webhooks.remark),
    "roles.rbac.authorization.k8s.io": _Rules(access.check_role),
    "clusterroles.rbac.authorization.k8s.io": _Rules(access.check_role),
    "rolebindings.rbac.authorization.k8s.io": _Rules(access.check_binding, access.check_binding_update),
    "clusterrolebindings.rbac.authorization.k8s.io": _Rules(access.check_binding, access.check_binding_update),
}


def check(key: str, schema: Schema, new: Object, old: Object | None) -> Iterator[Cause]:
    """Everything that is wrong with a built-in object, one cause a field; `old` is None when it is created."""
    seen: set[str] = set()
    for cause in _all(key, schema, new, old):
        if cause.field not in seen:
            seen.add(cause.field)
            yield cause


def remarks(key: str, new: Object) -> tuple[str, ...]:
    """What deserves a warning although the object is taken: parts of it that have no effect here."""
    rules = _RULES.get(key, _NO_RULES)
    return tuple(rules.remark(new)) if rules.remark is not None else ()


def _all(key: str, schema: Schema, new: Object, old: Object | None) -> Iterator[Cause]:
    rules = _RULES.get(key, _NO_RULES)
    yield from fields.check(schema, new)
    if rules.check is not None:
        yield from rules.check(new)
    if rules.check_update is not None and old is not None:
        yield from rules.check_update(new, old)

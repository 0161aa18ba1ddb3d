"""Defaults of Deployments and ReplicaSets."""

from __future__ import annotations

from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.defaults.pods import fill_pod_spec

_QUARTER = "25%"


def fill_deployment(deployment: Object) -> None:
    """Defaults of a Deployment and its template."""
    spec = deployment.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", _QUARTER)
        rolling.setdefault("maxSurge", _QUARTER)
    _fill_template(spec)


def fill_replica_set(replica_set: Object) -> None:
    """Defaults of a ReplicaSet and its template."""
    spec = replica_set.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _fill_template(spec)


def _fill_template(spec: Object) -> None:
    if (template := spec.get("template")) is not None:
        template.setdefault("metadata", {})
        fill_pod_spec(template.setdefault("spec", {}))

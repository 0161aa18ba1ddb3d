"""Typed objects for tests of the pure parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.workloads import Deployment, ReplicaSet

START = datetime(2024, 1, 1, tzinfo=UTC)


def deployment(
    replicas: int = 3, *, surge: int | str = "25%", unavailable: int | str = "25%", **spec: Any
) -> Deployment:
    """A deployment that rolls."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    wanted = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {}, "strategy": strategy}
    metadata = {"name": "web", "namespace": "default", "uid": "d", "generation": 1}
    return msgspec.convert({"metadata": metadata, "spec": wanted | spec}, Deployment)


def replica_set(name: str, replicas: int, available: int = 0, *, age: int = 0, **annotations: str) -> ReplicaSet:
    """A replica set with as many pods as it wants; `age` in seconds after the start."""
    created = (START + timedelta(seconds=age)).isoformat()
    metadata = {"name": name, "uid": name, "creationTimestamp": created, "annotations": annotations}
    status = {"replicas": replicas, "readyReplicas": available, "availableReplicas": available}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, ReplicaSet)


def pod(name: str, *, ready: bool = False, since: int = 0, age: int = 0, **status: Any) -> Pod:
    """A running pod on the node."""
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "lastTransitionTime": (START + timedelta(seconds=since)).isoformat(),
    }
    created = (START + timedelta(seconds=age)).isoformat()
    metadata = {"name": name, "namespace": "default", "uid": name, "creationTimestamp": created}
    obj = {
        "metadata": metadata,
        "spec": {"nodeName": "lab", "containers": []},
        "status": {"phase": "Running", "podIP": "10.244.0.9", "conditions": [condition]} | status,
    }
    return msgspec.convert(obj, Pod)

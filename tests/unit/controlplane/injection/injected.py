"""Pods to inject, and what to look at of an injected one."""

from __future__ import annotations

import json
from typing import Any

from mesh_lab.controlplane.injection.injector import PROXY

Object = dict[str, Any]


def pod(annotations: Object | None = None, labels: Object | None = None, **container: Any) -> Object:
    return {
        "metadata": {
            "generateName": "reviews-v1-5f6b-",
            "labels": {"app": "reviews", "version": "v1", "pod-template-hash": "5f6b", **(labels or {})},
            "annotations": annotations or {},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "reviews-v1-5f6b", "controller": True}],
        },
        "spec": {"containers": [{"name": "reviews", "image": "reviews", **container}]},
    }


def named(containers: list[Object], name: str) -> Object:
    return next(container for container in containers if container["name"] == name)


def proxy_of(injected: Object) -> Object:
    return named([*injected["spec"].get("initContainers", ()), *injected["spec"]["containers"]], PROXY)


def bootstrap_of(container: Object) -> Object:
    arguments = container["args"]
    document: Object = json.loads(arguments[arguments.index("--config-yaml") + 1])
    return document


def argument(container: Object, name: str) -> str:
    return str(container["args"][container["args"].index(name) + 1])

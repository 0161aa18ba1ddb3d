"""Plain pods and deployments, as tests of Kubernetes itself need them."""

from __future__ import annotations

from typing import Any

from mesh_lab.harness.workloads import IMAGE

Object = dict[str, Any]


def shell(script: str, *, name: str = "main", **more: Any) -> Object:
    """A container that runs a shell script; the image is one that is there, whatever registries are out of reach."""
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        **more,
    }


def pod(name: str, *containers: Object, **spec: Any) -> Object:
    """A pod, which ends within a second when it is deleted."""
    body = {"terminationGracePeriodSeconds": 1, "containers": list(containers), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": body}


def echo(name: str = "echo", version: str = "v1") -> Object:
    """A container with an echo server."""
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["mesh-lab-app", "echo", "--port", "8080"],
        "env": [{"name": "VERSION", "value": version}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
    }


def deployment(name: str, container: Object, replicas: int = 1) -> Object:
    """A deployment of one container."""
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }

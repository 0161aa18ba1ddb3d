"""Pods for tests, as short as a test's point allows."""

from __future__ import annotations

from typing import Any

from mesh_lab.kube.objects.containers import Container
from mesh_lab.kube.objects.pods import Pod, read_pod


def container(name: str = "main", *command: str, **fields: Any) -> dict[str, Any]:
    """A container of the image `busybox`."""
    return {"name": name, "image": "busybox", **({"command": list(command)} if command else {}), **fields}


def pod_object(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod of the namespace `default`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": list(containers) or [container()], **spec},
    }


def typed_pod(*containers: dict[str, Any], status: dict[str, Any] | None = None, **spec: Any) -> Pod:
    """The typed view of a pod named `web` with uid `u-1`, labelled and annotated."""
    obj = pod_object("web", *containers, **spec)
    obj["metadata"] |= {"uid": "u-1", "labels": {"app": "web", "tier": 'a"b'}, "annotations": {"note": "line\nbreak"}}
    return read_pod({**obj, "status": status or {}})


def typed_container(*command: str, **fields: Any) -> Container:
    """The typed view of one container."""
    return typed_pod(container("main", *command, **fields)).spec.containers[0]

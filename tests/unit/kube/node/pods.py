"""Pods for tests, as short as a test's point allows, and what is to be seen of their status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh_lab.kube.objects.containers import Container
from mesh_lab.kube.objects.pods import Pod, read_pod

Object = dict[str, Any]
IDLE = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


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


def once(name: str, script: str, **fields: Any) -> Object:
    """A pod that runs a script and is over."""
    spec = {"restartPolicy": "Never", **fields.pop("spec", {})}
    return pod_object(name, container("main", "sh", "-c", script, **fields), **spec)


def ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def finished(pod: Object) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def status_of(pod: Object, name: str = "main") -> Object:
    status = pod["status"]
    every = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return next((s for s in every if s["name"] == name), {})


def waits_for(reason: str) -> Callable[[Object], bool]:
    return lambda pod: status_of(pod).get("state", {}).get("waiting", {}).get("reason") == reason


def restarted(times: int) -> Callable[[Object], bool]:
    return lambda pod: status_of(pod).get("restartCount", 0) >= times and "running" in status_of(pod)["state"]

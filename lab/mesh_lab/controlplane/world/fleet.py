"""Which pods run a proxy, and which of them are ready: what is needed of a pod beyond translation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh_lab.controlplane.world.kubernetes import ObjectKey, is_router
from mesh_lab.controlplane.world.proxy import ProxyKind

# Set by the injector; a pod without it has no proxy of this mesh, unless it is a gateway by its own manifest.
STATUS_ANNOTATION = "sidecar.istio.io/status"


@dataclass(frozen=True)
class ProxyPod:
    """A pod with a proxy. `ready` means that it serves; a pod that is ending is not."""

    namespace: str
    name: str
    uid: str
    ip: str
    service_account: str
    kind: ProxyKind
    ready: bool

    @property
    def node_id(self) -> str:
        """The node id that its Envoy must send."""
        return f"{self.kind}~{self.ip}~{self.name}.{self.namespace}~"


class Fleet:
    """All pods with a proxy, by namespace and name."""

    def __init__(self) -> None:
        self.pods: dict[ObjectKey, ProxyPod] = {}

    def apply(self, event: str, obj: Mapping[str, Any]) -> None:
        """ADDED, MODIFIED or DELETED."""
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        pod = None if event == "DELETED" else _view(obj)
        if pod is None:
            self.pods.pop(key, None)
        else:
            self.pods[key] = pod


def _view(obj: Mapping[str, Any]) -> ProxyPod | None:
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    annotations = meta.get("annotations") or {}
    router = is_router(meta, spec)
    if (STATUS_ANNOTATION not in annotations and not router) or status.get("phase") in ("Succeeded", "Failed"):
        return None
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    return ProxyPod(
        meta.get("namespace", ""),
        meta["name"],
        meta.get("uid", ""),
        status.get("podIP", ""),
        spec.get("serviceAccountName") or "default",
        "router" if router else "sidecar",
        ready and "deletionTimestamp" not in meta,
    )

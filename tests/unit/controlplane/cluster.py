"""A small cluster to translate: builders of Kubernetes objects, and of a world that holds them."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.world.world import World

Object = dict[str, Any]


def service(name: str, *ports: tuple[str, int], namespace: str = "default", ip: str = "", **spec: Any) -> Object:
    """A Service that selects `app: NAME`. Ports are (name, number); the container's port has the same number."""
    number = sum(name.encode()) % 250
    return {
        "metadata": {"namespace": namespace, "name": name, "resourceVersion": "1"},
        "spec": {
            "clusterIP": ip or f"10.96.{number}.{len(name)}",
            "selector": {"app": name},
            "ports": [{"name": n, "port": p, "targetPort": p, "protocol": "TCP"} for n, p in ports],
            **spec,
        },
    }


def pod(
    name: str, ip: str, *, namespace: str = "default", account: str = "", meshed: bool = True, **labels: str
) -> Object:
    """A running pod with a sidecar, unless `meshed` is false."""
    app = labels.setdefault("app", name.split("-")[0])
    if meshed:
        labels["security.istio.io/tlsMode"] = "istio"
    return {
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {**labels, "pod-template-hash": "abc"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{app}-abc", "controller": True}],
        },
        "spec": {"serviceAccountName": account or app, "nodeName": "lab", "containers": []},
        "status": {"podIP": ip, "phase": "Running"},
    }


def endpoints(name: str, *pods: Object, namespace: str = "default", ports: tuple[tuple[str, int], ...]) -> Object:
    """The EndpointSlice of a Service, with these pods, all ready."""
    return {
        "metadata": {
            "namespace": namespace,
            "name": f"{name}-1",
            "labels": {"kubernetes.io/service-name": name},
        },
        "ports": [{"name": n, "port": p} for n, p in ports],
        "endpoints": [
            {
                "addresses": [p["status"]["podIP"]],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": p["metadata"]["name"]},
            }
            for p in pods
        ],
    }


def config(kind: str, name: str, spec: Object, *, namespace: str = "default", created: str = "2026-01-01") -> Object:
    """An Istio resource."""
    return {
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name, "generation": 1, "creationTimestamp": created},
        "spec": spec,
    }


def mesh_config(text: str) -> Object:
    """The ConfigMap with the mesh's settings."""
    return {"metadata": {"namespace": "istio-system", "name": "istio"}, "data": {"mesh": text}}


class Cluster:
    """A world with one method to fill it."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()

    def add(self, kind: str, *objects: Object) -> Cluster:
        """Add objects of a kind."""
        for obj in objects:
            self.world.apply(kind, "ADDED", obj)
        return self

    def app(self, name: str, *ports: tuple[str, int], pods: list[Object], namespace: str = "default") -> Cluster:
        """A Service, its pods and its endpoints."""
        self.add("Service", service(name, *ports, namespace=namespace))
        self.add("Pod", *pods)
        return self.add("EndpointSlice", endpoints(name, *pods, namespace=namespace, ports=ports))

    def istio(self, *configs: Object) -> Cluster:
        """Add Istio resources."""
        for obj in configs:
            self.add(obj["kind"], obj)
        return self

    def snapshot(self) -> Snapshot:
        """The world as it is."""
        return self.world.snapshot()

    def proxy(self, name: str, namespace: str = "default", kind: str = "sidecar") -> Proxy:
        """The proxy of a pod."""
        return Proxy.of(self.snapshot().pods[(namespace, name)], kind)  # type: ignore[arg-type]


def bookinfo(world: World | None = None) -> Cluster:
    """Istio's Bookinfo: four applications, of which reviews has three versions."""
    cluster = Cluster(world)
    http = ("http", 9080)
    for index, app in enumerate(("productpage", "details", "ratings")):
        cluster.app(app, http, pods=[pod(f"{app}-v1-abc-1", f"10.244.0.{10 + index}", app=app, version="v1")])
    reviews = [
        pod(f"reviews-{v}-abc-1", f"10.244.0.{20 + i}", app="reviews", version=v)
        for i, v in enumerate(("v1", "v2", "v3"))
    ]
    return cluster.app("reviews", http, pods=reviews)

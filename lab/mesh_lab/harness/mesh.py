"""A mesh as a test sees it: one namespace of it, what is deployed there, and when configuration is in force."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mesh_lab.client.api import Api
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.meshstatus import MeshState, MeshStatus
from mesh_lab.client.objects import Items, Object, Reference, objects_in, reference
from mesh_lab.client.rollout import await_gone, await_live, is_rolled_out
from mesh_lab.errors import ConfigurationRejected
from mesh_lab.harness.agreement import Counted, counting
from mesh_lab.harness.commands import Capture
from mesh_lab.harness.localities import locality
from mesh_lab.harness.proxies import Proxy
from mesh_lab.harness.records import recording_filter
from mesh_lab.harness.rendering import is_rendered, rendered
from mesh_lab.harness.traffic import EchoControl, TrafficClient
from mesh_lab.harness.versions import VersionOf
from mesh_lab.harness.workloads import (
    Images,
    Template,
    client_deployment,
    echo_deployment,
    echo_service,
    service_account,
)
from mesh_lab.meshkinds import of

__all__ = ["ConfigurationRejected", "Mesh"]

Manifest = Path | str | Object | Sequence[Object]

DEFAULT_IMAGES = Images()
READY_SECONDS = 60.0
LIVE_SECONDS = 20.0
_EVENTS_SHOWN = 10
MESH_GROUPS = ("networking.istio.io/", "security.istio.io/", "gateway.networking.k8s.io/", "consul.hashicorp.com/")


class Mesh:
    """One namespace. What a test applies through it goes there unless it names another.

    `images` are those of the pods that it deploys; `version_of` reads the version of what its clients report.
    """

    def __init__(
        self, api: Api, namespace: str, images: Images = DEFAULT_IMAGES, version_of: VersionOf | None = None
    ) -> None:
        self.api = api
        self.namespace = namespace
        self._images = images
        self._version_of = version_of

    # Objects

    def apply(self, manifest: Manifest) -> list[Reference]:
        """Apply a manifest to the namespace: a file or folder of YAML, a kustomization, a chart, YAML text, objects.

        A Helm chart has its default values; with others: `mesh.apply(helm_chart(path, mesh.namespace, values={...}))`.

        Raises:
            ApiError: the API server refuses an object.
            LabError: a kustomization or a chart cannot be rendered.
        """
        return [reference(self.api.apply(obj)) for obj in self._placed(manifest)]

    def remove(self, references: Iterable[Reference]) -> None:
        """Delete objects, the last first."""
        for ref in reversed(list(references)):
            self.api.delete(ref)

    @contextmanager
    def applied(self, manifest: Manifest) -> Iterator[list[Reference]]:
        """Configuration that is in force on every proxy during a `with` block, and on none afterwards."""
        references = [reference(obj) for obj in self._placed(manifest)]
        try:
            self.apply(manifest)
            for ref in _of_the_mesh(references):
                self.wait_live(ref)
            yield references
        finally:
            self.remove(references)
            for ref in _of_the_mesh(references):
                self.wait_gone(ref)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Have the namespace's proxies record each request during a `with` block: `client.send(..., recorded=True)`.

        Connections that are open already keep their listener until it has drained, so begin before the traffic.
        """
        with self.applied(recording_filter()):
            yield

    def _placed(self, manifest: Manifest) -> list[Object]:
        placed = []
        if isinstance(manifest, Path) and is_rendered(manifest):
            manifest = rendered(manifest, self.namespace)
        for obj in objects_in(manifest):
            meta = {"namespace": self.namespace, **obj["metadata"]}
            placed.append({**obj, "metadata": meta})
        return placed

    # Configuration in force

    def wait_live(self, ref: Reference, timeout: float = LIVE_SECONDS) -> None:
        """Wait until every proxy that the resource concerns has acknowledged its present version.

        Raises:
            ConfigurationRejected: a proxy has rejected it (NACK).
            TimeoutError: naming the proxies that have not answered.
        """
        wanted = self.api.get(ref)["metadata"]["resourceVersion"]
        await_live(self._status, ref, wanted, time.monotonic() + timeout)

    def wait_gone(self, ref: Reference, timeout: float = LIVE_SECONDS) -> None:
        """Wait until a resource has been deleted and every proxy has acknowledged that.

        Raises:
            TimeoutError: it did not happen in time.
        """
        await_gone(self._status, ref, time.monotonic() + timeout)

    def wait_endpoints(self, service: str, count: int, timeout: float = READY_SECONDS) -> None:
        """Wait until a service has this many ready endpoints, and every proxy that knows it has them too.

        Raises:
            TimeoutError: they did not come (or go) in time.
        """
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"

        def converged(slices: Items) -> bool:
            return sum(_ready_endpoints(obj, service) for obj in slices.values()) == count

        def describe(slices: Items) -> str:
            return "\n".join(f"  {name}: {_ready_endpoints(obj, service)} ready" for name, obj in slices.items())

        why = f"the service {service} has {count} ready endpoints"
        for name in self.api.wait_until(path, converged, timeout=timeout, why=why, describe=describe):
            self.wait_live(Reference("discovery.k8s.io/v1", "EndpointSlice", name, self.namespace))

    @property
    def _status(self) -> MeshStatus:
        return status_of(self.api, findings=False)

    def syncz(self) -> MeshState:
        """What the control plane knows of its proxies."""
        return self._status.mesh()

    # Workloads

    def deploy_echo(
        self,
        name: str = "echo",
        versions: Sequence[str] = ("v1",),
        *,
        replicas: int = 1,
        headless: bool = False,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Deploy versions of an echo server behind one service; gives the service's URL. `ready` waits for it."""
        template = Template(name, self._images.echo, labels=labels or {}, annotations=annotations or {})
        deployments = [echo_deployment(template, version, replicas) for version in versions]
        self.apply([service_account(template.account), echo_service(name, headless=headless), *deployments])
        return f"http://{name}.{self.namespace}"

    def deploy_client(
        self,
        name: str = "client",
        *,
        capture: bool = False,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> TrafficClient:
        """Deploy a traffic client with an identity of its own name. `ready` waits for it."""
        template = Template(name, self._images.client, labels=labels or {}, annotations=annotations or {})
        self.apply([service_account(template.account), client_deployment(template, capture=capture)])
        return self.client(name)

    def echo(self, name: str = "echo", version: str = "") -> EchoControl:
        """Control over the first pod of an echo server, from within it."""
        return EchoControl(self.api, self.namespace, self.pod(name, version))

    def client(self, app: str = "client") -> TrafficClient:
        """The traffic client of this name."""
        return TrafficClient(self.api, self.namespace, lambda: self.pod(app), self._version_of)

    def ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait until every Deployment and StatefulSet of the namespace is rolled out; `timeout` (seconds) is for both.

        Raises:
            TimeoutError: naming what is missing.
        """
        deadline = time.monotonic() + timeout
        for kind in ("Deployment", "StatefulSet"):
            self.api.wait_until(
                self.api.path("apps/v1", kind, self.namespace),
                _all_rolled_out,
                timeout=max(deadline - time.monotonic(), 0.0),
                why=f"{kind.lower()}s of {self.namespace} roll out",
                describe=self._unready,
            )

    def _unready(self, deployments: Items) -> str:
        lines = [f"  {name}: {obj.get('status', {})}" for name, obj in deployments.items()]
        for pod in self.api.list_all("v1", "Pod", self.namespace):
            status = pod.get("status", {})
            containers = (*status.get("initContainerStatuses", []), *status.get("containerStatuses", []))
            states = [one.get("state", {}) for one in containers]
            lines.append(f"  pod {pod['metadata']['name']}: {status.get('phase')} {states}")
            ends = [(one["name"], one.get("lastState", {}).get("terminated")) for one in containers]
            lines += [f"    {name} ended before: {end}" for name, end in ends if end]
        return "\n".join([*lines, *self._warnings()])

    def _warnings(self) -> list[str]:
        """The latest Warning events of the namespace: they say why a pod is not made, or does not start."""
        found = [e for e in self.api.list_all("v1", "Event", self.namespace) if e.get("type") == "Warning"]
        found.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        about = [(e["involvedObject"]["kind"], e["involvedObject"]["name"], e) for e in found[-_EVENTS_SHOWN:]]
        return [f"  event of {kind} {name}: {e.get('reason')}: {e.get('message')}" for kind, name, e in about]

    def pods(self, app: str, version: str = "") -> list[Object]:
        """The pods of an application that are not being deleted, oldest first."""
        selector = f"app={app}" + (f",version={version}" if version else "")
        found = self.api.list_all("v1", "Pod", self.namespace, selector)
        alive = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(alive, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def pod(self, app: str, version: str = "") -> Object:
        """The first pod of an application.

        Raises:
            LookupError: there is none.
        """
        pods = self.pods(app, version)
        if not pods:
            raise LookupError(f"no pod of {app} {version} in {self.namespace}")
        return pods[0]

    def localities(self) -> dict[str, str]:
        """Each pod's locality (`region/zone/subzone`) by its name: by its label, or else by its node's."""
        nodes = {node["metadata"]["name"]: node for node in self.api.list_all("v1", "Node")}
        pods = self.api.list_all("v1", "Pod", self.namespace)
        return {pod["metadata"]["name"]: locality(pod, nodes.get(pod["spec"].get("nodeName", ""))) for pod in pods}

    def counting(self, source: str, destination: str) -> contextlib.AbstractContextManager[Counted]:
        """Count requests from one application to the service of another, during a `with` block: `assert_metrics_agree`.

        Its servers are the pods that there are when it begins. Where several services have the same pods, a server's
        proxy names one of them: it is asked for all requests of that application.
        """
        servers = [Proxy(self.api, self.namespace, pod) for pod in self.pods(destination)]
        service = {"destination_service": f"{destination}.{self.namespace}.svc.cluster.local"}
        return counting(self.proxy(source), service, servers, {"source_app": source})

    def proxy(self, app: str, version: str = "") -> Proxy:
        """The Envoy of the first pod of an application."""
        return Proxy(self.api, self.namespace, self.pod(app, version))

    def capture(self, app: str, ports: Sequence[int], find: Sequence[str] = ()) -> Capture:
        """Look at the packets of the pod of a client that was deployed with `capture=True`."""
        return Capture(self.api, self.namespace, self.pod(app)["metadata"]["name"], ports, find)

    def exec(self, pod: str, *command: str, container: str = "") -> str:
        """What a command prints that is run in a pod.

        Raises:
            CommandFailed: its exit code is not 0.
        """
        where = ["-c", container] if container else []
        return self.api.kubectl("exec", "-n", self.namespace, pod, *where, "--", *command)

    def logs(self, pod: str, container: str = "") -> str:
        """The log of a container."""
        params: dict[str, Any] = {"container": container} if container else {}
        text: str = self.api.request("GET", self.api.path("v1", "Pod", self.namespace, pod) + "/log", **params)
        return text

    def events(self, kind: str, name: str) -> list[Object]:
        """The events about an object."""
        found = self.api.list_all("v1", "Event", self.namespace)
        return [e for e in found if (e["involvedObject"]["kind"], e["involvedObject"]["name"]) == (kind, name)]


def _of_the_mesh(references: Iterable[Reference]) -> list[Reference]:
    """Those that a control plane tells the proxies' state of; a GatewayClass, for one, concerns no proxy itself."""
    return [ref for ref in references if ref.api_version.startswith(MESH_GROUPS) and of(ref.api_version, ref.kind)]


def _ready_endpoints(endpoint_slice: Object, service: str) -> int:
    if endpoint_slice["metadata"].get("labels", {}).get("kubernetes.io/service-name") != service:
        return 0
    return sum(bool(e.get("conditions", {}).get("ready")) for e in endpoint_slice.get("endpoints") or ())


def _all_rolled_out(deployments: Items) -> bool:
    return all(is_rolled_out(obj) for obj in deployments.values())

"""Ends of pods and proxies, by nothing but the Kubernetes API and Envoy's own administration interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from urllib.parse import quote

from mesh_lab.client.api import Api
from mesh_lab.client.objects import Items, Object, Reference
from mesh_lab.client.pods import PROXY_CONTAINER, has_proxy, is_ready
from mesh_lab.errors import LabError
from mesh_lab.harness.chaos.bounds import ChaosError
from mesh_lab.harness.proxies import Proxy

END_SECONDS = 30.0
BACK_SECONDS = 120.0


def name_of(pod: Object) -> str:
    """A pod's name for people."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def kill_pod(api: Api, pod: Object) -> None:
    """Delete a pod without grace, and wait until it is gone.

    Raises:
        ApiError, ClusterUnreachable, WaitTimeoutError: it is not.
    """
    metadata = pod["metadata"]
    api.delete(Reference("v1", "Pod", metadata["name"], metadata["namespace"]), grace=0)
    _wait(api, pod, lambda now: now is None, f"pod {name_of(pod)} is gone")


def kill_sidecar(api: Api, pod: Object) -> None:
    """Have a pod's Envoy exit at once, without draining, and wait until its container was started again.

    Raises:
        ChaosError: the pod has no Envoy.
        ApiError, ClusterUnreachable, WaitTimeoutError: it was not.
    """
    if not has_proxy(pod):
        raise ChaosError(f"pod {name_of(pod)} has no sidecar: it has no container {PROXY_CONTAINER}")
    before, said = _restarts(pod), ""
    try:
        Proxy(api, pod["metadata"]["namespace"], pod).admin("/quitquitquit", post=True)
    except (LabError, OSError) as error:
        said = f"; its Envoy was asked to exit: {error}"  # it may be gone before its answer is read
    _wait(
        api,
        pod,
        lambda now: now is None or _restarts(now) > before,
        f"the sidecar of pod {name_of(pod)} was started again{said}",
    )


@dataclass(frozen=True)
class Part:
    """A part of the mesh that every test shares, and the label that its pods have by Istio's charts."""

    what: str
    namespace: str
    label: str


ISTIOD = Part("istiod", "istio-system", "app=istiod")
GATEWAY = Part("the ingress gateway", "istio-system", "istio=ingressgateway")


def pods_of(api: Api, part: Part) -> list[Object]:
    """The pods of a part, oldest first.

    Raises:
        ChaosError: there are none.
    """
    pods = [
        pod
        for pod in api.list_all("v1", "Pod", part.namespace, part.label)
        if "deletionTimestamp" not in pod["metadata"]
    ]
    if not pods:
        raise ChaosError(f"there is no pod of {part.what}: none in {part.namespace} has the label {part.label}")
    return sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))


@dataclass(frozen=True)
class LostPod:
    """What the end of a pod leaves to be made good: how many ready pods its controller had, and which of them ended."""

    pod: str
    namespace: str
    uid: str
    controller: str
    ready: int


def loss_of(api: Api, pod: Object) -> LostPod:
    """What would have to be made good after a pod's end."""
    metadata, controller = pod["metadata"], _controller(pod)
    alike = [each for each in api.list_all("v1", "Pod", metadata["namespace"]) if _controller(each) == controller]
    ready = sum(is_ready(each) for each in alike) if controller else 0
    return LostPod(metadata["name"], metadata["namespace"], metadata["uid"], controller, ready)


def wait_back(api: Api, lost: Sequence[LostPod]) -> None:
    """Wait until each controller of pods that ended has as many ready pods as before, other ones.

    Raises:
        WaitTimeoutError: one has not.
    """
    gone = {each.uid for each in lost}
    for each in lost:
        if each.controller:  # else nobody makes another one
            _wait_back(api, each, gone)


def _wait_back(api: Api, lost: LostPod, gone: Set[str]) -> None:
    def ready(pods: Items) -> list[str]:
        alike = [pod for pod in pods.values() if _controller(pod) == lost.controller]
        return [name_of(pod) for pod in alike if pod["metadata"]["uid"] not in gone and is_ready(pod)]

    api.wait_until(
        api.path("v1", "Pod", lost.namespace),
        lambda pods: len(ready(pods)) >= lost.ready,
        timeout=BACK_SECONDS,
        why=f"{lost.ready} ready in place of pod {lost.namespace}/{lost.pod}",
        describe=lambda pods: f"  ready: {', '.join(ready(pods)) or 'none'}",
    )


def _controller(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def _wait(api: Api, pod: Object, settled: Callable[[Object | None], bool], why: str) -> None:
    """Watch one pod; `settled` gets it as it is, None once it is gone."""
    metadata = pod["metadata"]
    name, uid = metadata["name"], metadata["uid"]

    def present(pods: Items) -> Object | None:
        found = pods.get(name)
        return found if found and found["metadata"]["uid"] == uid else None

    api.wait_until(
        f"{api.path('v1', 'Pod', metadata['namespace'])}?fieldSelector={quote(f'metadata.name={name}', safe='')}",
        lambda pods: settled(present(pods)),
        timeout=END_SECONDS,
        why=why,
        describe=lambda pods: f"  it is there: {(present(pods) or {}).get('status', {}).get('phase', 'no')}",
    )


def _restarts(pod: Object) -> int:
    status = pod.get("status", {})
    containers = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    return sum(int(one.get("restartCount", 0)) for one in containers if one["name"] == PROXY_CONTAINER)

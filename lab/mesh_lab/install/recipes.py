"""What goes onto each kind of cluster, and what is removed again before the cluster is released."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

import msgspec

from mesh_lab.client import controlplane
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.controlplane import ControlPlane, status_of
from mesh_lab.client.kubectl import Applied, Kubectl
from mesh_lab.client.objects import Object
from mesh_lab.client.pods import has_proxy
from mesh_lab.client.rollout import await_mesh
from mesh_lab.clusters import holding
from mesh_lab.clusters.base import Report
from mesh_lab.clusters.embedded.cluster import EmbeddedCluster
from mesh_lab.clusters.existing import INSTANCE_LABEL, ExistingCluster, IstioMade, Record
from mesh_lab.clusters.kind.cluster import KindCluster
from mesh_lab.errors import LabError
from mesh_lab.install import images, placing
from mesh_lab.install.bringup import SAMPLES, Installed, deployments, install, live_pods
from mesh_lab.install.istioctl import NAMESPACE, Istioctl, owned
from mesh_lab.install.readiness import await_deployments, await_pods, belongs
from mesh_lab.resources import MANIFESTS
from mesh_lab.rfc3339 import parse
from mesh_lab.settings import Lab

_GATEWAY = "mesh/gateway.yaml"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ISTIO_GROUPS = (".istio.io",)
_CLUSTER_KINDS = (
    "clusterroles",
    "clusterrolebindings",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
)
_ROOT_CERTIFICATES = ("istio-ca-root-cert", "istio-ca-crl")
_ROOTS_LABEL = "istio.io/config=true"
_DELETE_SECONDS = 180


def put_on(lab: Lab, report: Report) -> Installed:
    """Put mesh and samples onto the lab's cluster; return when all is ready and in sync.

    Raises:
        LabError: something cannot be installed, or is not ready in time.
    """
    with Api(lab.kubeconfig) as api:
        try:
            return _PUT_ON[lab.settings.cluster](lab, api, report)
        except ApiError as error:
            raise LabError(f"the cluster's API: {error.message}") from error


def take_off(lab: Lab, report: Report) -> None:
    """Remove what outlives the lab's namespaces: an Istio that the lab has installed on an existing cluster."""
    if lab.settings.cluster != "existing":
        return
    record = ExistingCluster(lab).record()
    if record is None or record.istio is None:
        return
    try:
        _take_off_istio(lab, record, record.istio, report)
    except LabError as error:
        raise LabError(
            f"the Istio that the lab has installed may still be there\n{error.message}",
            hint="\n".join(filter(None, (error.hint, f"Again: `{lab.command('down')}`"))),
        ) from error
    holding.write(lab.state_dir, msgspec.structs.replace(record, istio=None))


def _take_off_istio(lab: Lab, record: Record, istio: IstioMade, report: Report) -> None:
    kubectl = _kubectl(lab)
    mine, made = f"{INSTANCE_LABEL}={record.instance}", owned(record.instance)

    def delete(kinds: str, *which: str) -> None:
        kubectl.run("delete", kinds, *which, "--ignore-not-found", f"--timeout={_DELETE_SECONDS}s")

    # Sidecars and gateways go before the control plane that they ask for their configuration.
    delete("namespaces", "--selector", mine, "--field-selector", f"metadata.name={record.namespace}")
    Istioctl.of(lab).uninstall(report, owner=record.instance, revision=istio.revision)
    # With its namespace the last istiod is gone, which would write the root certificates again.
    delete("namespaces", "--selector", mine)
    delete(",".join(_CLUSTER_KINDS), "--selector", made)
    for name in kubectl.run("get", "customresourcedefinitions", "--selector", made, "--output", "name").split():
        crd = name.rpartition("/")[2]
        if kubectl.run("get", crd, "--all-namespaces", "--output", "name", "--ignore-not-found").strip():
            report(f"{crd} has resources that the lab did not make, so it stays")
        else:
            delete("customresourcedefinition", crd)
    for name in _ROOT_CERTIFICATES:
        where = ("--all-namespaces", "--selector", _ROOTS_LABEL, "--field-selector", f"metadata.name={name}")
        namespaces = kubectl.run("get", "configmaps", *where, "--output", "jsonpath={.items[*].metadata.namespace}")
        for namespace in sorted({*namespaces.split()} - {*istio.certified}):
            delete("configmap", name, "--namespace", namespace)


def plan(lab: Lab) -> list[str]:
    """Return what `put_on` would do to an existing cluster; the cluster is only read.

    Raises:
        LabError: the cluster does not answer, or cannot be used.
    """
    if lab.settings.cluster != "existing":
        return []
    with ExistingCluster(lab).looked_at() as kubeconfig, Api(kubeconfig) as api:
        try:
            plane = controlplane.choose(controlplane.find(api), lab.settings.istio.revision)
            record = ExistingCluster(lab).record()
            # The end of the name is chosen at random when the lab comes up; here it only shows the form.
            place = _place(lab, record.instance if record else f"{lab.name}-XXXXXXXX")
            _refuse_foreign_namespace(api, place)
            if plane is None and lab.settings.existing.install_istio:
                _refuse_remains(api)
        except ApiError as error:
            raise LabError(f"the cluster's API: {error.message}") from error
    lines = [f"found {plane}"] if plane else [_no_mesh(lab)]
    lines.append(f"make the namespace {place.namespace}, labelled {INSTANCE_LABEL}={place.labels[INSTANCE_LABEL]}")
    lines += [f"make {o['kind']} {place.namespace}/{o['metadata']['name']}" for o in _guests(place)]
    return lines


def _embedded(lab: Lab, api: Api, report: Report) -> Installed:
    # The profile that the lab was started with: its ports are of that one.
    status = EmbeddedCluster(lab).status()
    return install(
        _kubectl(lab),
        api,
        MANIFESTS,
        host_ports=status.ports,
        directory=lab.state_dir,
        timeout=lab.settings.timeouts.ready,
        report=report,
        profile=status.profile or lab.settings.mesh.profile,
        dialects=lab.settings.mesh.dialects,
        samples=lab.settings.mesh.samples,
        since={lab.name: parse(status.started)} if status.started else None,
    )


def _kind(lab: Lab, api: Api, report: Report) -> Installed:
    cluster = KindCluster(lab)
    images.ensure(lab, report)
    report("loading images")
    cluster.load_images(images.names(), report)
    Istioctl.of(lab).install(api, report, owner=cluster.name, gateway=True)
    kubectl, revision = _kubectl(lab), lab.settings.istio.revision
    objects = placing.read([MANIFESTS / name for name in SAMPLES])
    if revision:
        for obj in objects:
            if obj["kind"] == "Namespace":
                obj["metadata"]["labels"] = {"istio.io/rev": revision}
    installed = _settle(lab, api, kubectl.apply_objects(objects), report, since=cluster.started())
    _await_gateway(cluster.status().ports["http"], time.monotonic() + lab.settings.timeouts.ready, report)
    return installed


def _existing(lab: Lab, api: Api, report: Report) -> Installed:
    cluster = ExistingCluster(lab)
    record = cluster.record()
    if record is None:
        raise LabError("the lab's record is gone", hint=f"`{lab.command('up')}` writes it again.")
    kubectl = _kubectl(lab)
    plane = controlplane.choose(controlplane.find(api), lab.settings.istio.revision)
    place = _place(lab, record.instance)
    _refuse_foreign_namespace(api, place)
    if plane is None or record.istio is not None:
        plane = _install_istio(lab, api, kubectl, record, report)
    report(f"found {plane}")
    applied = kubectl.apply_objects([placing.namespace(place, plane.injection_label), *_guests(place)])
    installed = _settle(lab, api, applied, report, namespace=place.namespace)
    latest = cluster.record() or record
    holding.write(lab.state_dir, msgspec.structs.replace(latest, phase="ready"))
    return installed


def _settle(
    lab: Lab,
    api: Api,
    applied: Sequence[Applied],
    report: Report,
    *,
    namespace: str = "",
    since: Mapping[str, datetime] | None = None,
) -> Installed:
    """Wait until what was applied is ready and the proxies are in sync: all, or those of one namespace.

    `since`: when each node was started. A pod's status counts only once its containers were started after that.
    """
    deadline = time.monotonic() + lab.settings.timeouts.ready
    workloads = deployments(list(applied))
    await_deployments(api, workloads, deadline, report)
    report("waiting until every proxy has acknowledged its configuration")

    def ours() -> list[Object]:
        return [pod for pod in live_pods(api) if not namespace or pod["metadata"]["namespace"] == namespace]

    await_pods(lambda: [pod for pod in ours() if belongs(pod, workloads)], since or {}, deadline, report)
    state = await_mesh(status_of(api), deadline, report, proxies=sum(1 for pod in ours() if has_proxy(pod)))
    return Installed(ours(), state)


def _await_gateway(port: int, deadline: float, report: Report) -> None:
    """Return once the page is served through the gateway.

    Raises:
        LabError: it is not at the deadline; the message has the last failure.
    """
    url, trouble = f"http://127.0.0.1:{port}/productpage", ""
    direct = build_opener(ProxyHandler({}))
    while True:
        try:
            with direct.open(url, timeout=_GATEWAY_SECONDS) as answer:
                answer.read()
                return
        except (OSError, HTTPException) as error:
            if str(error) != trouble:
                trouble = str(error)
                report(f"the gateway does not serve {url} yet: {trouble}")
        if time.monotonic() > deadline:
            raise LabError(
                f"all pods are ready, but the gateway does not serve {url}: {trouble}",
                hint=f"kubectl -n {NAMESPACE} logs deploy/istio-ingressgateway",
            )
        time.sleep(_PAUSE_SECONDS)


def _guests(place: placing.Place) -> list[Object]:
    """The samples, and an ingress gateway of their own: that of the cluster's owner is not for the lab to configure."""
    files = [MANIFESTS / name for name in (_GATEWAY, *SAMPLES)]
    return placing.placed(placing.read(files), place)


def _place(lab: Lab, instance: str) -> placing.Place:
    existing = lab.settings.existing
    labels = {INSTANCE_LABEL: instance, "app.kubernetes.io/managed-by": "mesh-lab"}
    return placing.Place(existing.namespace, labels, instance, existing.image_prefix)


def _refuse_foreign_namespace(api: Api, place: placing.Place) -> None:
    try:
        present = api.request("GET", f"/api/v1/namespaces/{place.namespace}")
    except ApiError as error:
        if error.code == _NOT_FOUND:
            return
        raise
    owner = present["metadata"].get("labels", {}).get(INSTANCE_LABEL)
    if owner != place.labels[INSTANCE_LABEL]:
        raise LabError(
            f"there is a namespace {place.namespace} that this lab did not make"
            + (f" (it belongs to the lab {owner})" if owner else ""),
            hint="[existing] namespace in lab.toml chooses another.",
        )


def _install_istio(lab: Lab, api: Api, kubectl: Kubectl, record: Record, report: Report) -> ControlPlane:
    if not lab.settings.existing.install_istio and record.istio is None:
        raise LabError("the cluster has no Istio", hint=_HINT_INSTALL)
    if record.istio is None:
        _refuse_remains(api)
        record = msgspec.structs.replace(record, istio=IstioMade(lab.settings.istio.revision, _certified(api)))
        holding.write(lab.state_dir, record)
        labels = {INSTANCE_LABEL: record.instance}
        metadata = {"name": NAMESPACE, "labels": labels}
        kubectl.apply_objects([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
    Istioctl.of(lab).install(api, report, owner=record.instance, gateway=False)
    plane = controlplane.choose(controlplane.find(api), lab.settings.istio.revision)
    if plane is None:
        raise LabError("istioctl has installed Istio, but there is no istiod", hint=f"kubectl -n {NAMESPACE} get pods")
    return plane


def _refuse_remains(api: Api) -> None:
    """Refuse to install Istio over what the lab did not make.

    Raises:
        LabError: an installation would change objects that are there.
    """
    there = [f"the namespace {NAMESPACE}"] if _exists(api, f"/api/v1/namespaces/{NAMESPACE}") else []
    names = [str(crd["metadata"]["name"]) for crd in api.request("GET", _CRDS)["items"]]
    there += [f"the kind {name}" for name in sorted(names) if name.endswith(_ISTIO_GROUPS)]
    if there:
        raise LabError(
            f"the cluster has no Istio, but what the lab did not make and would change: {', '.join(there)}",
            hint="Remove it where it is left over, or install Istio as you want it: the lab uses what it finds.",
        )


def _exists(api: Api, path: str) -> bool:
    try:
        api.request("GET", path)
    except ApiError as error:
        if error.code == _NOT_FOUND:
            return False
        raise
    return True


def _certified(api: Api) -> tuple[str, ...]:
    """The namespaces that have a mesh's root certificate already: istiod gives it to every one."""
    maps = api.request("GET", "/api/v1/configmaps", labelSelector=_ROOTS_LABEL)["items"]
    return tuple(sorted({str(one["metadata"]["namespace"]) for one in maps}))


def _no_mesh(lab: Lab) -> str:
    if lab.settings.existing.install_istio:
        return f"install Istio {Istioctl.of(lab).version()}, profile {lab.settings.istio.profile}, with istioctl"
    return f"found no Istio, and would stop here. {_HINT_INSTALL}"


def _kubectl(lab: Lab) -> Kubectl:
    return Kubectl(lab.kubeconfig, lab.state_dir / "kubectl-cache", timeout=_DELETE_SECONDS + 30.0)


_NOT_FOUND = 404
_GATEWAY_SECONDS = 10.0
_PAUSE_SECONDS = 0.5
_HINT_INSTALL = "`mesh-lab up --cluster existing --install-istio` installs it (and `down` removes it again)."
_PUT_ON: dict[str, Callable[[Lab, Api, Report], Installed]] = {
    "embedded": _embedded,
    "kind": _kind,
    "existing": _existing,
}

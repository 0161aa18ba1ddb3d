"""Which pods get a proxy, and what is added to them: pure functions from a pod to a JSON patch (RFC 6902).

Istio's rules and names: https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/. Where this differs:
there is no agent beside Envoy. The container's command is Envoy itself, its bootstrap stands in its arguments, and its
key comes from istiod over the same authenticated stream as the rest.

The proxy is a native sidecar (an init container that keeps running), as Istio's is on Kubernetes 1.33 and later: init
containers after it and the application find it ready, it ends after them, and it does not keep a Job from its end. With
the annotation `sidecar.istio.io/nativeSidecar: "false"` it is an ordinary container, which starts with the application.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from mesh_lab.controlplane.injection import bootstrap, lifecycle, merging, probes, redirection, securemetrics, variables
from mesh_lab.controlplane.injection.bootstrap import PROXY_UID, STATS_PORT, ProxySettings
from mesh_lab.controlplane.kube.client import Object
from mesh_lab.controlplane.model import EnvoyFilter
from mesh_lab.controlplane.model.mesh import MeshConfig
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.process.plane import DEFAULT
from mesh_lab.controlplane.world.annotations import CANONICAL_NAME, CANONICAL_REVISION, INJECT, parse_boolean
from mesh_lab.controlplane.world.fleet import STATUS_ANNOTATION
from mesh_lab.controlplane.world.kubernetes import GATEWAY_TEMPLATE, TLS_MODE_LABEL, ObjectKey, templates_of
from mesh_lab.controlplane.world.podsettings import PodSettings, for_pod, select
from mesh_lab.controlplane.world.proxy import ProxyKind
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.world.values import Values
from mesh_lab.controlplane.xds import exchange
from mesh_lab.controlplane.xds.peers import DNS_CAPTURE, pack_fields
from mesh_lab.controlplane.xds.telemetry import PEER_VARIABLE

PROXY = "istio-proxy"
INIT = "istio-init"
_REVISION_ANNOTATION = "istio.io/rev"
_DEFAULT_CONTAINER = ("kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container")
_META = "ISTIO_META_"
# Istio injects nothing there, independently of labels.
_SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
# What Istio takes for a yes; without a label or annotation of its own, a pod in a review gets a proxy.
_YES = frozenset({"y", "yes", "true", "on", ""})
# The image of a gateway's manifest, to be replaced by the mesh's own.
_AUTO_IMAGE = "auto"


@dataclass(frozen=True)
class Place:
    """The mesh's settings that an injected pod needs."""

    control_plane: str = "istiod.istio-system.svc"
    cluster_domain: str = "cluster.local"
    values: Values = field(default_factory=Values)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    proxy_configs: tuple[Config[ProxyConfig], ...] = ()
    filters: Table[ObjectKey, Config[EnvoyFilter]] = field(default_factory=Table)
    namespace: str = ""
    revision: str = DEFAULT


def wanted(pod: Mapping[str, Any], namespace: str) -> bool:
    """Whether a pod that the webhook reviews gets a proxy.

    The webhook's selectors cover the labels of namespaces: the API server knows a namespace before it is known here.
    Pods on the node's network get none: the redirection would be the node's.
    """
    meta, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    if spec.get("hostNetwork") or namespace in _SYSTEM_NAMESPACES:
        return False
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    if STATUS_ANNOTATION in annotations and any(c.get("name") == PROXY for c in _all_containers(spec)):
        return False
    return str(labels.get(INJECT, annotations.get(INJECT, ""))).lower() in _YES


def inject(pod: Mapping[str, Any], place: Place, namespace: str = "default") -> Object:
    """The pod with its proxy. The given one is not changed.

    Raises:
        ValueError: an annotation, which it names, has a bad value.
    """
    new: Object = copy.deepcopy(dict(pod))
    meta, spec = new.setdefault("metadata", {}), new.setdefault("spec", {})
    annotations = {**place.values.sidecar_injector_webhook.injected_annotations, **(meta.get("annotations") or {})}
    labels = meta.get("labels") or {}
    selected = select(place.proxy_configs, place.mesh.root_namespace, namespace, labels)
    place = replace(place, namespace=namespace)
    own = for_pod(place.values, place.mesh.default_config, selected, annotations)
    metrics = merging.from_annotations(annotations, place.mesh.enable_prometheus_merge)
    meta["annotations"] = {**_default_container(spec), **metrics.annotations, _REVISION_ANNOTATION: place.revision}
    gateway = GATEWAY_TEMPLATE in templates_of(meta)
    if gateway:
        _as_gateway(meta, spec, place, own)
    else:
        _as_sidecar(meta, spec, place, own, metrics.targets)
    _add_volumes(spec, own)
    _add_labels(meta, spec, sidecar=not gateway)
    return new


def _default_container(spec: Mapping[str, Any]) -> Object:
    """For `kubectl exec` and `kubectl logs`, which would else take the first container."""
    first = next((c["name"] for c in spec.get("containers") or () if c.get("name") != PROXY), "")
    return dict.fromkeys(_DEFAULT_CONTAINER, first) if first else {}


def patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Object]:
    """The JSON patch from one pod to another, by the fields of metadata and spec that differ."""
    operations: list[Object] = []
    for part in ("metadata", "spec"):
        before, after = old.get(part), new.get(part) or {}
        if before is None:
            operations.append({"op": "add", "path": f"/{part}", "value": after})
            continue
        for name, value in after.items():
            if name not in before or before[name] is None:
                operations.append({"op": "add", "path": f"/{part}/{name}", "value": value})
            elif before[name] != value:
                operations.append({"op": "replace", "path": f"/{part}/{name}", "value": value})
    return operations


def _as_sidecar(
    meta: Object, spec: Object, place: Place, own: PodSettings, metrics: tuple[merging.Target, ...]
) -> None:
    given = next((c for c in _all_containers(spec) if c.get("name") == PROXY), {})
    containers, answered = _probed(spec.get("containers") or (), own, probes.HANDLERS)
    # Before an ordinary proxy has started it answers no probe for an init container that must have started before.
    initial, more = _probed(
        spec.get("initContainers") or (),
        own,
        probes.HANDLERS if own.native_sidecars else probes.AFTER_START,
    )
    settings = replace(_settings("sidecar", meta, place, own, given), probes=(*answered, *more), metrics=metrics)
    proxy = _proxy(settings, meta, own, given, place, _introduction(settings, meta, place))
    dns = parse_boolean(settings.metadata.get(DNS_CAPTURE, "")) is True
    dual, own_ports = place.mesh.dual_stack, settings.secure.ports
    redirecting = _redirecting(redirection.from_annotations(own.traffic, dns=dns, dual=dual, beside=own_ports), own)
    if own.native_sidecars:
        # What comes after it waits until it has started: that is, until it is ready.
        started = {"startupProbe": lifecycle.STARTUP_PROBE} if own.readiness.probed else {}
        initial = [redirecting, {**started, **proxy, "restartPolicy": "Always"}, *initial]
    else:
        # Last, as in Istio: what the others send would be redirected to a proxy that does not run yet.
        initial = [*initial, redirecting]
        if own.hold_application:
            containers = [
                {**proxy, "lifecycle": {"postStart": lifecycle.WAIT_FOR_READY, **proxy["lifecycle"]}},
                *containers,
            ]
        else:
            containers = [*containers, proxy]
    spec["containers"], spec["initContainers"] = containers, initial
    native = own.native_sidecars
    _set_status(meta, place.revision, [INIT, PROXY] if native else [INIT], [] if native else [PROXY])
    meta["annotations"].update(securemetrics.announced(settings.secure, meta["annotations"]))


def _probed(
    containers: Iterable[Object], own: PodSettings, handlers: probes.Handlers
) -> tuple[list[Object], list[probes.Probe]]:
    """All but the injector's own, and of the application's handlers those that the proxy answers."""
    kept = [container for container in containers if container.get("name") not in (INIT, PROXY)]
    if not own.rewrite_probes:
        return kept, []
    rewritten = [probes.rewrite(container, handlers) for container in kept]
    return [container for container, _ in rewritten], [probe for _, found in rewritten for probe in found]


def _as_gateway(meta: Object, spec: Object, place: Place, own: PodSettings) -> None:
    """The manifest's own container `istio-proxy` becomes a router; there is nothing to redirect."""
    containers = list(spec.get("containers") or ())
    given: Object = next((c for c in containers if c.get("name") == PROXY), {})
    settings = _settings("router", meta, place, own, given)
    proxy = _proxy(settings, meta, own, given, place)
    spec["containers"] = [*(c for c in containers if c.get("name") != PROXY), proxy]
    _set_status(meta, place.revision, [], [PROXY])
    meta["annotations"].update(securemetrics.announced(settings.secure, meta["annotations"]))


def _settings(kind: ProxyKind, meta: Object, place: Place, own: PodSettings, given: Mapping[str, Any]) -> ProxySettings:
    return ProxySettings(
        kind=kind,
        workload=_workload(meta),
        dual=place.mesh.dual_stack,
        app=str((meta.get("labels") or {}).get("app") or ""),
        control_plane=place.control_plane,
        cluster_domain=place.cluster_domain,
        concurrency=own.concurrency,
        drain_seconds=own.draining.drain,
        log_level=own.log_level,
        component_log_level=own.component_log_level,
        file_flush_milliseconds=own.file_flush_milliseconds,
        file_flush_kilobytes=own.file_flush_kilobytes,
        stats=own.statistics,
        metadata=_node_metadata(own, given),
        runtime=own.extras.runtime,
        custom=bool(own.extras.bootstrap),
        secure=securemetrics.of(_variables(own, given)),
        patched=partial(_patched, kind, meta, place),
    )


def _patched(kind: ProxyKind, meta: Object, place: Place, document: Object) -> Object:
    """A bootstrap after EnvoyFilters."""
    if not place.filters:
        return document
    from mesh_lab.controlplane.xds.patches import bootstrap as patching  # when there is an EnvoyFilter

    labels, root = meta.get("labels") or {}, place.mesh.root_namespace
    return patching.patched(document, kind, place.namespace, labels, place.filters, root)


def _node_metadata(own: PodSettings, given: Mapping[str, Any]) -> dict[str, str]:
    """What variables of the environment say of the node, as Istio's agent reads them."""
    found = _variables(own, given).items()
    return {name.removeprefix(_META): value for name, value in found if name.startswith(_META)}


def _variables(own: PodSettings, given: Mapping[str, Any]) -> dict[str, str]:
    containers = {each["name"]: each.get("value", f"$({each['name']})") for each in given.get("env") or ()}
    return {**own.extras.environment, **containers}


def _workload(meta: Mapping[str, Any]) -> str:
    """The Deployment's name, from the names that its ReplicaSet gives its pods."""
    owner = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return str(meta.get("name") or "")
    template = (meta.get("labels") or {}).get("pod-template-hash", "")
    name = str(owner["name"])
    return name.removesuffix(f"-{template}") if owner.get("kind") == "ReplicaSet" and template else name


def _proxy(
    settings: ProxySettings,
    meta: Mapping[str, Any],
    own: PodSettings,
    given: Mapping[str, Any],
    place: Place,
    introduction: tuple[Object, ...] = (),
) -> Object:
    """The container. What the pod's author wrote for a container of this name goes first, as in Istio."""
    image = given.get("image", _AUTO_IMAGE)
    peer = {"name": PEER_VARIABLE, "value": _peer(settings, meta.get("labels") or {})}
    dual = place.mesh.dual_stack
    ours = (*variables.of_pod(settings.workload, place.mesh.trust_domain, dual=dual), peer, *introduction)
    metadata = ({"name": name, "value": value} for name, value in own.extras.environment.items())
    environment = {variable["name"]: variable for variable in (*ours, *metadata, *(given.get("env") or ()))}
    custom = ({"name": _CUSTOM_VOLUME, "mountPath": bootstrap.CUSTOM_DIRECTORY},) if settings.custom else ()
    added = (*custom, *own.extras.mounts, *(given.get("volumeMounts") or ()))
    mounts = {mount.get("mountPath"): mount for mount in (*_MOUNTS, *added)}
    ports = {
        port["containerPort"]: port
        for port in (
            {"name": "http-envoy-prom", "containerPort": STATS_PORT, "protocol": "TCP"},
            *(given.get("ports") or ()),
        )
    }
    return {
        "resources": msgspec.to_builtins(own.resources),
        **({"readinessProbe": lifecycle.ready_probe(own.readiness)} if own.readiness.probed else {}),
        **{name: value for name, value in given.items() if name != "restartPolicy"},
        "lifecycle": {"preStop": lifecycle.drain(settings.kind, own.draining), **(given.get("lifecycle") or {})},
        "securityContext": {**_UNPRIVILEGED, **(given.get("securityContext") or {})},
        "name": PROXY,
        "image": own.image if image == _AUTO_IMAGE else image,
        "imagePullPolicy": given.get("imagePullPolicy", own.image_pull_policy),
        "args": bootstrap.arguments(settings),
        "env": list(environment.values()),
        "ports": list(ports.values()),
        "volumeMounts": list(mounts.values()),
    }


def _peer(settings: ProxySettings, labels: Mapping[str, str]) -> str:
    """What the proxy says of itself where there is no certificate. Kubernetes fills in the variables before it."""
    return pack_fields("$(POD_NAMESPACE)", settings.workload or "$(POD_NAME)", labels)


def _introduction(settings: ProxySettings, meta: Mapping[str, Any], place: Place) -> tuple[Object, ...]:
    """What a sidecar says of itself to servers without one."""
    value = exchange.metadata(place.namespace, settings.workload, meta.get("labels") or {})
    return (
        {"name": exchange.METADATA_VARIABLE, "value": value},
        {"name": exchange.NODE_VARIABLE, "value": bootstrap.node_id(settings)},
    )


def _redirecting(interception: redirection.Interception, own: PodSettings) -> Object:
    return {
        "name": INIT,
        "image": own.image,
        "imagePullPolicy": own.image_pull_policy,
        "command": redirection.command(interception),
        "args": [redirection.ruleset(interception)],
        "resources": msgspec.to_builtins(own.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": False,
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
        },
    }


def _add_volumes(spec: Object, own: PodSettings) -> None:
    present = {volume.get("name") for volume in spec.get("volumes") or ()}
    custom = ({"name": _CUSTOM_VOLUME, "configMap": {"name": own.extras.bootstrap}},) if own.extras.bootstrap else ()
    ours = (*_VOLUMES, *custom, *own.extras.volumes)
    spec["volumes"] = [
        *(spec.get("volumes") or ()),
        *(copy.deepcopy(dict(volume)) for volume in ours if volume["name"] not in present),
    ]


def _add_labels(meta: Object, spec: Object, *, sidecar: bool) -> None:
    labels = dict(meta.get("labels") or {})
    name = labels.get("app.kubernetes.io/name") or labels.get("app") or _workload(meta)
    revision = labels.get("app.kubernetes.io/version") or labels.get("version") or "latest"
    labels.setdefault(CANONICAL_NAME, name)
    labels.setdefault(CANONICAL_REVISION, revision)
    if sidecar:
        labels.setdefault(TLS_MODE_LABEL, "istio")
    meta["labels"] = labels
    # Envoy's user is not root, and only the owner may read files of a projected volume.
    context = dict(spec.get("securityContext") or {})
    context.setdefault("fsGroup", PROXY_UID)
    spec["securityContext"] = context


def _set_status(meta: Object, revision: str, initial: list[str], containers: list[str]) -> None:
    status = {
        "initContainers": initial,
        "containers": containers,
        "volumes": [volume["name"] for volume in _VOLUMES],
        "revision": revision,
    }
    annotations = dict(meta.get("annotations") or {})
    annotations[STATUS_ANNOTATION] = json.dumps(status, separators=(",", ":"))
    meta["annotations"] = annotations


def _all_containers(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


_CUSTOM_VOLUME = "custom-bootstrap-volume"

# Istio requests half a day and follows the file; Envoy reads it once. It ends with its pod in any case.
_YEAR = 365 * 24 * 60 * 60

_VOLUMES: tuple[Object, ...] = (
    {
        "name": "istio-token",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"audience": "istio-ca", "expirationSeconds": _YEAR, "path": "istio-token"}}
            ]
        },
    },
    {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
    {
        "name": "istio-podinfo",
        "downwardAPI": {
            "items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
            ]
        },
    },
)

_MOUNTS: tuple[Object, ...] = (
    {"name": "istio-token", "mountPath": bootstrap.TOKEN_DIRECTORY},
    {"name": "istiod-ca-cert", "mountPath": bootstrap.ROOT_DIRECTORY},
    {"name": "istio-podinfo", "mountPath": "/etc/istio/pod"},
)

_UNPRIVILEGED: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsUser": PROXY_UID,
    "runAsGroup": PROXY_UID,
    "runAsNonRoot": True,
}

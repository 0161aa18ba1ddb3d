"""Istio's annotations and labels on Kubernetes' objects: unknown ones, misplaced ones, and those without effect here.

https://istio.io/latest/docs/reference/config/annotations/ and .../labels/ list them with the resources they belong to.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from mesh_lab.controlplane.process.plane import DEFAULT
from mesh_lab.controlplane.world.annotations import AS_IT_IS, HEEDED_ANNOTATIONS, HEEDED_LABELS, ONLY, SECURE_PORT
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import PROXY_CONFIG_ANNOTATION, Namespace, Origin, Pod
from mesh_lab.controlplane.world.proxyconfig import annotation_remarks
from mesh_lab.controlplane.world.revisions import REVISION_LABEL, known_names
from mesh_lab.controlplane.world.snapshot import Snapshot

POD, SERVICE, NAMESPACE, DEPLOYMENT, ANY = "Pod", "Service", "Namespace", "Deployment", "Any"
_MISPLACED, _UNKNOWN, _WITHOUT_EFFECT = "IST0107", "IST0108", "IST0133"


def _on(*kinds: str, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(names, kinds)


ANNOTATIONS: Mapping[str, tuple[str, ...]] = {
    **_on(
        POD,
        names=(
            "ambient.istio.io/bypass-inbound-capture",
            "ambient.istio.io/dns-capture",
            "ambient.istio.io/redirection",
            "inject.istio.io/templates",
            "istio.io/reroute-virtual-interfaces",
            "istio.io/rev",
            "prometheus.istio.io/merge-metrics",
            "proxy.istio.io/config",
            "proxy.istio.io/overrides",
            "readiness.status.sidecar.istio.io/applicationPorts",
            "readiness.status.sidecar.istio.io/failureThreshold",
            "readiness.status.sidecar.istio.io/initialDelaySeconds",
            "readiness.status.sidecar.istio.io/periodSeconds",
            "sidecar.istio.io/agentLogLevel",
            "sidecar.istio.io/bootstrapOverride",
            "sidecar.istio.io/componentLogLevel",
            "sidecar.istio.io/discoveryAddress",
            "sidecar.istio.io/extraStatTags",
            "sidecar.istio.io/inject",
            "sidecar.istio.io/interceptionMode",
            "sidecar.istio.io/logLevel",
            "sidecar.istio.io/nativeSidecar",
            "sidecar.istio.io/proxyCPU",
            "sidecar.istio.io/proxyCPULimit",
            "sidecar.istio.io/proxyImage",
            "sidecar.istio.io/proxyImageType",
            "sidecar.istio.io/proxyMemory",
            "sidecar.istio.io/proxyMemoryLimit",
            "sidecar.istio.io/rewriteAppHTTPProbers",
            "sidecar.istio.io/statsCompression",
            "sidecar.istio.io/statsEvictionInterval",
            "sidecar.istio.io/statsFlushInterval",
            "sidecar.istio.io/statsHistogramBins",
            "sidecar.istio.io/statsHistogramBuckets",
            "sidecar.istio.io/statsInclusionPrefixes",
            "sidecar.istio.io/statsInclusionRegexps",
            "sidecar.istio.io/statsInclusionSuffixes",
            "sidecar.istio.io/status",
            "sidecar.istio.io/userVolume",
            "sidecar.istio.io/userVolumeMount",
            "status.sidecar.istio.io/port",
            "traffic.sidecar.istio.io/excludeInboundPorts",
            "traffic.sidecar.istio.io/excludeInterfaces",
            "traffic.sidecar.istio.io/excludeOutboundIPRanges",
            "traffic.sidecar.istio.io/excludeOutboundPorts",
            "traffic.sidecar.istio.io/includeInboundPorts",
            "traffic.sidecar.istio.io/includeOutboundIPRanges",
            "traffic.sidecar.istio.io/includeOutboundPorts",
            "traffic.sidecar.istio.io/kubevirtInterfaces",
        ),
    ),
    **_on(
        SERVICE,
        names=(
            "alpha.istio.io/canonical-serviceaccounts",
            "alpha.istio.io/kubernetes-serviceaccounts",
            "networking.istio.io/exportTo",
            "traffic.istio.io/nodeSelector",
        ),
    ),
    **_on(SERVICE, "ServiceEntry", NAMESPACE, names=("istio.io/use-waypoint-canary-weight",)),
    **_on(NAMESPACE, SERVICE, "ServiceEntry", names=("networking.istio.io/traffic-distribution",)),
    **_on(NAMESPACE, names=("topology.istio.io/controlPlaneClusters",)),
    **_on("AuthorizationPolicy", names=("istio.io/dry-run",)),
    **_on(
        "WorkloadEntry",
        names=(
            "istio.io/autoRegistrationGroup",
            "istio.io/connectedAt",
            "istio.io/disconnectedAt",
            "istio.io/workloadController",
            "proxy.istio.io/health-checks-enabled",
        ),
    ),
    **_on(
        "Gateway",
        names=(
            "gateway.istio.io/name-override",
            "gateway.istio.io/service-account",
            "networking.istio.io/service-type",
        ),
    ),
    **_on("GatewayClass", "Gateway", names=("ambient.istio.io/waypoint-inbound-binding",)),
    **_on(ANY, names=("galley.istio.io/analyze-suppress", "gateway.istio.io/controller-version")),
}
"""The kinds that each of Istio's annotations belongs on."""

LABELS: Mapping[str, tuple[str, ...]] = {
    "istio-injection": (NAMESPACE,),
    **_on(NAMESPACE, "Gateway", POD, names=("istio.io/rev",)),
    **_on(POD, NAMESPACE, names=("istio.io/dataplane-mode",)),
    **_on(
        POD,
        "WorkloadEntry",
        SERVICE,
        "ServiceEntry",
        NAMESPACE,
        names=("istio.io/use-waypoint", "istio.io/use-waypoint-namespace"),
    ),
    **_on(
        SERVICE,
        "ServiceEntry",
        NAMESPACE,
        names=(
            "istio.io/ingress-use-waypoint",
            "istio.io/use-waypoint-canary",
            "istio.io/use-waypoint-canary-namespace",
        ),
    ),
    **_on("GatewayClass", "Gateway", names=("istio.io/waypoint-for",)),
    **_on("ServiceEntry", names=("networking.istio.io/enable-autoallocate-ip",)),
    **_on(SERVICE, names=("networking.istio.io/gatewayPort",)),
    **_on("MutatingWebhookConfiguration", names=("istio.io/tag",)),
    # Istio's own documentation leaves pods out, and istiod labels them so.
    **_on("ServiceAccount", DEPLOYMENT, SERVICE, POD, names=("gateway.istio.io/managed",)),
    # Of these, too: the labels of a machine, which istiod copies to its entry, and which are read there.
    **_on(
        POD,
        "WorkloadEntry",
        names=(
            "security.istio.io/tlsMode",
            "service.istio.io/canonical-name",
            "service.istio.io/canonical-revision",
            "service.istio.io/workload-name",
        ),
    ),
    **_on(
        POD,
        names=(
            "sidecar.istio.io/inject",
            "topology.istio.io/cluster",
            "topology.istio.io/locality",
        ),
    ),
    **_on(NAMESPACE, POD, SERVICE, names=("topology.istio.io/network",)),
    **_on("Node", names=("topology.istio.io/subzone",)),
    **_on(ANY, names=("operator.istio.io/component", "operator.istio.io/managed", "operator.istio.io/version")),
}
"""The kinds that each of Istio's labels belongs on."""

# What the lab reads or writes on other objects than pods, and what is for users and their tools.
_HEEDED_ELSEWHERE = frozenset(
    {
        (SERVICE, "networking.istio.io/exportTo"),
        (NAMESPACE, "istio-injection"),
        (POD, "sidecar.istio.io/status"),
        (POD, "istio.io/rev"),
        (NAMESPACE, "istio.io/rev"),
        (POD, "service.istio.io/workload-name"),
        ("AuthorizationPolicy", "istio.io/dry-run"),
        *((kind, "gateway.istio.io/managed") for kind in (POD, SERVICE, DEPLOYMENT)),
        ("WorkloadEntry", "istio.io/autoRegistrationGroup"),
        ("WorkloadEntry", "istio.io/connectedAt"),
        ("WorkloadEntry", "proxy.istio.io/health-checks-enabled"),
        ("WorkloadEntry", "istio.io/disconnectedAt"),
        ("WorkloadEntry", "istio.io/workloadController"),
    }
)
_INJECTION_LABEL, _INJECTION = "istio-injection", ("enabled", "disabled")
# Istio's analysers ignore these wherever they are; the last is what the injector tells Prometheus.
_IGNORED = frozenset({"install.operator.istio.io/owner-generation", "sidecar.istio.io/status", SECURE_PORT})
# The API groups of Istio whose names annotations and labels begin with; `istio-injection` has none.
_DOMAIN = "istio.io/"


class _Described(Protocol):
    """An object of the snapshot, with what its metadata says."""

    @property
    def origin(self) -> Origin: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def annotations(self) -> Mapping[str, str]: ...


class _Words(NamedTuple):
    """The words for annotations, or labels: the table of kinds, the noun, and the field."""

    known: Mapping[str, tuple[str, ...]]
    noun: str
    field: str
    heeded: frozenset[str]


_AN_ANNOTATION = _Words(ANNOTATIONS, "annotation", "metadata.annotations", HEEDED_ANNOTATIONS)
_A_LABEL = _Words(LABELS, "label", "metadata.labels", HEEDED_LABELS)


def is_istios(name: str) -> bool:
    """Whether an annotation or a label is one that Istio would read, by its name."""
    return name == _INJECTION_LABEL or _DOMAIN in name


def metadata_is_understood(snapshot: Snapshot) -> Iterator[Finding]:
    """Findings on the annotations and labels of pods, services, namespaces, deployments and the mesh's resources."""
    revisions = known_names(snapshot.injectors.values())
    for kind, views in _tables(snapshot):
        for view in views:
            for name, value in view.annotations.items():
                if value not in AS_IT_IS.get(name, ()):
                    yield from _judge(_AN_ANNOTATION, kind, name, view.origin)
                if value not in ONLY.get(name, (value,)):
                    others = ", ".join(sorted(ONLY[name]))
                    text = f"annotation {name}={value} has no effect in this lab, where it can be {others}"
                    yield Finding("warning", _WITHOUT_EFFECT, text, f"metadata.annotations[{name}]", view.origin)
            for name in view.labels:
                if is_istios(name) and not (name == REVISION_LABEL and kind in snapshot.configs):
                    yield from _judge(_A_LABEL, kind, name, view.origin)
            yield from _judge_revision(kind, view, revisions)
    for namespace in snapshot.namespaces.values():
        yield from _judge_injection(namespace)
    for pod in snapshot.pods.values():
        yield from _judge_proxy_config(pod)


def _tables(snapshot: Snapshot) -> Iterator[tuple[str, Iterable[_Described]]]:
    yield POD, snapshot.pods.values()
    yield SERVICE, snapshot.services.values()
    yield NAMESPACE, snapshot.namespaces.values()
    yield DEPLOYMENT, snapshot.deployments.values()
    for kind, configs in snapshot.configs.items():
        yield kind, configs.values()


def _judge_revision(kind: str, view: _Described, revisions: frozenset[str]) -> Iterator[Finding]:
    """What is labelled with a revision is that control plane's only; what names none that there is, is everybody's."""
    revision = view.labels.get(REVISION_LABEL, DEFAULT)
    if revision not in revisions and kind not in (SERVICE, DEPLOYMENT):
        effect = "no proxy is injected for it" if kind in (POD, NAMESPACE) else "it holds in this lab all the same"
        text = f"label {REVISION_LABEL}={revision}: there is neither such a revision nor a tag of it; {effect}"
        yield Finding("warning", _WITHOUT_EFFECT, text, f"metadata.labels[{REVISION_LABEL}]", view.origin)


def _judge_injection(namespace: Namespace) -> Iterator[Finding]:
    value = namespace.labels.get(_INJECTION_LABEL, _INJECTION[0])
    if value not in _INJECTION:
        text = f"label {_INJECTION_LABEL}={value} has no effect: it is neither {' nor '.join(_INJECTION)}"
        yield Finding("warning", _WITHOUT_EFFECT, text, f"metadata.labels[{_INJECTION_LABEL}]", namespace.origin)


def _judge_proxy_config(pod: Pod) -> Iterator[Finding]:
    for remark in annotation_remarks(pod.annotations.get(PROXY_CONFIG_ANNOTATION, "")):
        text = f"annotation {PROXY_CONFIG_ANNOTATION}: {remark.path.lstrip('.')}: {remark.message}"
        path = f"metadata.annotations[{PROXY_CONFIG_ANNOTATION}]"
        yield Finding("warning", _WITHOUT_EFFECT, text, path, pod.origin)


def _judge(words: _Words, kind: str, name: str, origin: Origin) -> Iterator[Finding]:
    # The manifests of Istio mark all objects of a control plane with its revision.
    if name in _IGNORED or (name == REVISION_LABEL and origin.namespace == "istio-system"):
        return
    where, path = words.known.get(name), f"{words.field}[{name}]"
    if where is None:
        close = difflib.get_close_matches(name, words.known, 1, 0.8)
        # Istio never reports an unknown label, since anyone may use labels; here one with a similar name is reported.
        if close or words is _AN_ANNOTATION:
            yield Finding("warning", _UNKNOWN, f"Unknown {words.noun}: {name}{_hint(close)}", path, origin)
        return
    if ANY not in where and kind not in where:
        text = f"Misplaced {words.noun}: {name} can only be applied to {', '.join(where)}"
        if kind == DEPLOYMENT and POD in where:
            text += f" (the Deployment's spec.template.{words.field})"
        yield Finding("warning", _MISPLACED, text, path, origin)
    elif ANY not in where and name not in words.heeded and (kind, name) not in _HEEDED_ELSEWHERE:
        yield Finding("warning", _WITHOUT_EFFECT, f"{words.noun} {name} has no effect in this lab", path, origin)


def _hint(close: Sequence[str]) -> str:
    return f" (is it {close[0]}?)" if close else ""

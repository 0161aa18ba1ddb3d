"""Pods. What concerns a pod's spec wherever it stands, in a template as well: `mesh_lab.kube.registry.podspec`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, FieldLabel, Grant
from mesh_lab.kube.registry.kinds.pods.admission import admit
from mesh_lab.kube.registry.kinds.pods.backends import backend
from mesh_lab.kube.registry.kinds.pods.printing import PRINTER
from mesh_lab.kube.registry.podsecurity.admission import review_pod
from mesh_lab.kube.registry.podspec.checks import check_spec
from mesh_lab.kube.registry.podspec.defaults import containers_of, fill_pod_spec
from mesh_lab.kube.registry.podspec.fields import POD_SPEC
from mesh_lab.kube.registry.rules.causes import forbidden
from mesh_lab.kube.registry.rules.fields import Rules, one_of
from mesh_lab.kube.registry.syntax import quantities
from mesh_lab.kube.resources import PODS

_USUAL_GRACE_SECONDS = 30
_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_STREAMS = ("attach", "exec", "portforward", "proxy")
_LABELS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
_ZERO_COUNTS = frozenset(
    {
        "activeDeadlineSeconds",
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "containerPort",
        "defaultMode",
        "enableServiceLinks",
        "exitCode",
        "expirationSeconds",
        "fsGroup",
        "gid",
        "hostProcess",
        "hostUsers",
        "maxSkew",
        "mode",
        "optional",
        "port",
        "priority",
        "privileged",
        "readOnlyRootFilesystem",
        "ready",
        "restartCount",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "seconds",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "started",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "uid",
        "weight",
    }
)
_COUNTED = ("cpu", "memory")
"""The resources that make a pod's quality of service class."""
_FIELDS: Rules = {
    **POD_SPEC,
    ("PodStatus", "phase"): one_of("Failed", "Pending", "Running", "Succeeded", "Unknown"),
}


def _fill_defaults(pod: Object) -> None:
    """Defaults of a pod, on top of those of its spec."""
    spec = pod.setdefault("spec", {})
    spec.setdefault("enableServiceLinks", True)
    fill_pod_spec(spec)
    for container in containers_of(spec):
        _request_limits(container["resources"])


def _request_limits(resources: dict[str, Any]) -> None:
    """A limit without a request is a request of as much."""
    limits = resources.get("limits") or {}
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _begin(pod: Object) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": _qos_class(pod["spec"])}


def _qos_class(spec: Mapping[str, Any]) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`: https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    parts = [container.get("resources") or {} for container in containers]
    asked = [_counted_amounts(part, field) for part in parts for field in ("requests", "limits")]
    if not any(asked):
        return "BestEffort"
    if all(len(_counted_amounts(part, "limits")) == len(_COUNTED) for part in parts) and all(
        _counted_amounts(part, "requests") == _counted_amounts(part, "limits") for part in parts
    ):
        return "Guaranteed"
    return "Burstable"


def _counted_amounts(part: Mapping[str, Any], field: str) -> dict[str, Any]:
    found = {name: quantities.parse(str(amount)) for name, amount in (part.get(field) or {}).items()}
    return {name: amount for name, amount in found.items() if name in _COUNTED and amount}


def _check(pod: Object) -> Iterator[Cause]:
    """Everything that is wrong with a pod."""
    spec = pod.get("spec") or {}
    yield from check_spec(spec, "spec")
    if spec.get("ephemeralContainers"):
        yield forbidden("spec.ephemeralContainers", "this cluster runs none: `kubectl exec` has the same programs")


def _with_ephemeral(sent: Object, old: Object) -> Object:
    return {**old, "ephemeralContainers": sent.get("ephemeralContainers") or []}


def _check_update(new: Object, old: Object) -> Iterator[Cause]:
    """A pod is replaced rather than changed: little of its spec may differ.

    The node's name may be set once, which is how a pod is bound.
    """
    before, after = old.get("spec") or {}, new.get("spec") or {}
    for field in ("containers", "initContainers"):
        if len(before.get(field) or ()) != len(after.get(field) or ()):
            yield forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
    if not before.get("nodeName"):
        before = {**before, "nodeName": after.get("nodeName")}
    if _fixed(before) != _fixed({"nodeName": None, **after}):
        yield forbidden("spec", _MUTABLE)
    kept = before.get("tolerations") or []
    if any(toleration not in (after.get("tolerations") or []) for toleration in kept):
        yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _fixed(spec: dict[str, Any]) -> dict[str, Any]:
    """What of a spec may not change."""
    fixed = deepcopy(spec)
    for field in ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "ephemeralContainers"):
        fixed.pop(field, None)
    for field in ("containers", "initContainers"):
        for container in fixed.get(field) or ():
            container.pop("image", None)
    return fixed


def _grace(pod: Object, asked: int | None) -> int:
    """Only a pod that runs somewhere has processes to wait for."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    return int(spec.get("terminationGracePeriodSeconds", _USUAL_GRACE_SECONDS)) if asked is None else asked


def _is_held(pod: Object) -> bool:
    """Its node deletes it once more, without grace, when its processes have ended."""
    return bool(pod["metadata"].get("deletionGracePeriodSeconds"))


BEHAVIOUR = Behaviour(
    PODS,
    fill_defaults=_fill_defaults,
    begin=_begin,
    specs_of_parts={"ephemeralcontainers": _with_ephemeral},
    # No manager may take a pod's node back.
    unowned_parts=frozenset({"binding"}),
    admit=admit,
    fields=_FIELDS,
    check=_check,
    check_update=_check_update,
    review=review_pod,
    counts_generations=True,
    grace=_grace,
    is_held=_is_held,
    answers_with_last_state=True,
    field_labels=(*map(FieldLabel, _LABELS), FieldLabel("spec.hostNetwork", absent="false")),
    backend=backend,
    grants=(
        Grant("view", READ, ("", "log", "status")),
        Grant("edit", READ, _STREAMS),
        Grant("edit", WRITE, ("", *_STREAMS)),
        Grant("edit", ("create",), ("eviction",)),
    ),
    printer=PRINTER,
    zero_counts=_ZERO_COUNTS,
)

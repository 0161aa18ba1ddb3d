"""What a cluster's built-in admission does to a new pod: its service account, tolerations and priority.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#serviceaccount and #priority
"""

from __future__ import annotations

from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import forbidden
from mesh_lab.kube.registry.kinds.priorityclasses import PREEMPT, find_class
from mesh_lab.kube.registry.metadata import generated_name
from mesh_lab.kube.resources import SERVICEACCOUNTS
from mesh_lab.kube.store import Store

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ROOT_CA_CONFIG_MAP = "kube-root-ca.crt"
_VOLUME_PREFIX = "kube-api-access-"
_ACCOUNT_TOKEN_SECONDS = 3607
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATION_SECONDS = 300


def admit(store: Store, pod: Object) -> None:
    """Complete a new pod in place. Doing it again, after a webhook added a container, is harmless.

    Raises:
        ApiError: 403, the pod names a service account or a priority class that does not exist.
    """
    spec = pod["spec"]
    _set_service_account(store, pod)
    for key in _TOLERATED:
        tolerations = spec.setdefault("tolerations", [])
        if not any(t.get("key") in (key, None) and t.get("effect") in ("NoExecute", None) for t in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
            )
    _set_priority(store, pod)


def _set_priority(store: Store, pod: Object) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName", "")
    found = find_class(store, name)
    if found is not None:
        spec["priorityClassName"] = found["metadata"]["name"]
    elif name:
        raise forbidden(f'pods "{_name(pod)}" is forbidden: no PriorityClass with name {name} was found')
    value, policy = (found["value"], found["preemptionPolicy"]) if found is not None else (0, PREEMPT)
    _set_computed(pod, "priority", "integer value of priority", value)
    _set_computed(pod, "preemptionPolicy", "string value of PreemptionPolicy", policy)


def _set_computed(pod: Object, field: str, words: str, computed: int | str) -> None:
    given = pod["spec"].setdefault(field, computed)
    if given != computed:
        raise forbidden(
            f'pods "{_name(pod)}" is forbidden: the {words} ({given}) must not be provided in pod spec; priority '
            f"admission controller computed {computed} from the given PriorityClass name"
        )


def _set_service_account(store: Store, pod: Object) -> None:
    spec = pod["spec"]
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = store.head(SERVICEACCOUNTS.key, pod["metadata"]["namespace"], name)
    # The account `default` follows its namespace within milliseconds; a pod need not fail for coming sooner.
    if account is None and name != "default":
        namespace = pod["metadata"]["namespace"]
        raise forbidden(
            f'pods "{_name(pod)}" is forbidden: error looking up service account {namespace}/{name}: '
            f'serviceaccount "{name}" not found'
        )
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = (account or {}).get("automountServiceAccountToken", True)
    if wanted:
        _mount_token(spec)


def _name(pod: Object) -> str:
    return str(pod["metadata"].get("name") or pod["metadata"].get("generateName", ""))


def _mount_token(spec: dict[str, Any]) -> None:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    bare = [c for c in containers if all(m.get("mountPath") != MOUNT_PATH for m in c.get("volumeMounts") or ())]
    if not bare:
        return
    volumes = spec.setdefault("volumes", [])
    present = next((v["name"] for v in volumes if v.get("name", "").startswith(_VOLUME_PREFIX)), None)
    name = present or generated_name(_VOLUME_PREFIX)
    if present is None:
        volumes.append(_token_volume(name))
    for container in bare:
        mounts = container.setdefault("volumeMounts", [])
        mounts.append({"name": name, "readOnly": True, "mountPath": MOUNT_PATH})


def _token_volume(name: str) -> dict[str, Any]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    authority = {"name": ROOT_CA_CONFIG_MAP, "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _ACCOUNT_TOKEN_SECONDS, "path": "token"}},
        {"configMap": authority},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}

"""Rules of Deployments and ReplicaSets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.metadata import validate_labels
from mesh_lab.kube.registry.rules.causes import forbidden, immutable, invalid, required, unsupported
from mesh_lab.kube.registry.rules.labels import check_selector, compile_selector
from mesh_lab.kube.registry.rules.pods import check_spec


def check_deployment(deployment: Object) -> Iterator[Cause]:
    """Everything that is wrong with a Deployment."""
    spec = deployment.get("spec") or {}
    yield from _check_template(spec, "deployment")
    strategy = spec.get("strategy") or {}
    path = "spec.strategy.rollingUpdate"
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        yield forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif rolling := strategy.get("rollingUpdate"):
        yield from _check_rolling(rolling, path)
    ready, deadline = spec.get("minReadySeconds", 0), spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= ready:
        yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def check_replica_set(replica_set: Object) -> Iterator[Cause]:
    """Everything that is wrong with a ReplicaSet."""
    spec = replica_set.get("spec") or {}
    yield from _check_template(spec, "replicaset")


def check_selector_update(new: Object, old: Object) -> Iterator[Cause]:
    """The selector says which pods belong to a workload, so it stays."""
    yield from immutable("spec.selector", new["spec"].get("selector"), old["spec"].get("selector"))


def _check_template(spec: dict[str, Any], kind: str) -> Iterator[Cause]:
    selector, template = spec.get("selector"), spec.get("template")
    if selector is not None:
        problems = list(check_selector(selector, "spec.selector"))
        yield from problems
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
        elif template is not None and not problems and _is_complete(selector):
            labels = (template.get("metadata") or {}).get("labels") or {}
            if not compile_selector(selector).matches(labels):
                words = "`selector` does not match template `labels`"
                yield invalid("spec.template.metadata.labels", labels, words)
    if template is None:
        yield required("spec.template")
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    yield from validate_labels(labels, "spec.template.metadata.labels")
    pod = template.get("spec") or {}
    if "containers" not in pod:
        yield required("spec.template.spec.containers")
    if pod.get("restartPolicy") not in ("Always", None):
        yield unsupported("spec.template.spec.restartPolicy", pod["restartPolicy"], ["Always"])
    if "activeDeadlineSeconds" in pod:
        yield forbidden("spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not supported")
    yield from check_spec(pod, "spec.template.spec")


def _is_complete(selector: dict[str, Any]) -> bool:
    operators = {"In", "NotIn", "Exists", "DoesNotExist"}
    return all(t.get("key") and t.get("operator") in operators for t in selector.get("matchExpressions") or ())


def _check_rolling(rolling: dict[str, Any], path: str) -> Iterator[Cause]:
    sound = True
    for field in ("maxUnavailable", "maxSurge"):
        for cause in _check_amount(rolling.get(field, 0), f"{path}.{field}"):
            sound = False
            yield cause
    if sound and _amount(rolling.get("maxUnavailable", 0)) == _amount(rolling.get("maxSurge", 0)) == 0:
        value = rolling.get("maxUnavailable", 0)
        yield invalid(f"{path}.maxUnavailable", value, "may not be 0 when `maxSurge` is 0")
    elif sound and str(rolling.get("maxUnavailable")).endswith("%") and _amount(rolling["maxUnavailable"]) > 100:
        yield invalid(f"{path}.maxUnavailable", rolling["maxUnavailable"], "must not be greater than 100%")


def _check_amount(value: int | str, path: str) -> Iterator[Cause]:
    if isinstance(value, str) and not re.fullmatch(r"\d+%", value):
        yield invalid(
            path,
            value,
            "a valid percent string must be a numeric string followed by an ending '%' "
            "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        )
    elif isinstance(value, int) and value < 0:
        yield invalid(path, value, "must be greater than or equal to 0")


def _amount(value: int | str) -> int:
    return int(value.removesuffix("%")) if isinstance(value, str) else value

"""Pod templates: defaults and rules of the kinds that make pods of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.podspec.checks import check_spec
from mesh_lab.kube.registry.podspec.defaults import fill_pod_spec
from mesh_lab.kube.registry.rules.causes import forbidden, immutable, invalid, required, unsupported
from mesh_lab.kube.registry.rules.labels import check_selector, validate_labels
from mesh_lab.kube.registry.syntax.selectors import compile_selector


def fill_template(spec: Object) -> None:
    """Defaults of the template in a spec."""
    if (template := spec.get("template")) is not None:
        template.setdefault("metadata", {})
        fill_pod_spec(template.setdefault("spec", {}))


def check_selector_update(new: Object, old: Object) -> Iterator[Cause]:
    """The selector says which pods belong to a workload, so it stays."""
    yield from immutable("spec.selector", new["spec"].get("selector"), old["spec"].get("selector"))


def check_template(spec: dict[str, Any], kind: str) -> Iterator[Cause]:
    """Everything that is wrong with the selector and the template in the spec of a kind."""
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

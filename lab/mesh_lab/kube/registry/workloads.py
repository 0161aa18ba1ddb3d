"""Kinds that make pods of a template: what Deployments and ReplicaSets have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, FieldLabel, Grant
from mesh_lab.kube.registry.podsecurity.admission import review_template
from mesh_lab.kube.registry.podspec.checks import check_spec
from mesh_lab.kube.registry.podspec.defaults import fill_pod_spec
from mesh_lab.kube.registry.podspec.fields import POD_SPEC
from mesh_lab.kube.registry.printing.columns import (
    AGE,
    NAME,
    Cells,
    Column,
    Printer,
    age,
    items,
    name,
    part,
    selector_text,
    wide,
)
from mesh_lab.kube.registry.rules.causes import forbidden, immutable, invalid, required, unsupported
from mesh_lab.kube.registry.rules.fields import Rules
from mesh_lab.kube.registry.rules.labels import check_selector, validate_labels
from mesh_lab.kube.registry.syntax.selectors import compile_selector
from mesh_lab.kube.resources import Resource


def workload(
    resource: Resource,
    *,
    status: Object,
    fields: Rules,
    columns: tuple[Column, ...],
    cells: Callable[[Mapping[str, Any]], Cells],
    zero_counts: frozenset[str],
    fill_defaults: Callable[[Object], None] | None = None,
    check: Callable[[Object], Iterator[Cause]] | None = None,
    field_labels: tuple[FieldLabel, ...] = (),
) -> Behaviour:
    """The behaviour of a workload.

    `status` is what a new one begins with. `columns` and `cells` stand between name and age. `fill_defaults` and
    `check` get the spec, and concern what is neither its selector nor its template.
    """
    kind = resource.kind.lower()

    def fill(obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        if fill_defaults is not None:
            fill_defaults(spec)
        if (template := spec.get("template")) is not None:
            template.setdefault("metadata", {})
            fill_pod_spec(template.setdefault("spec", {}))

    def begin(obj: Object) -> None:
        obj["status"] = dict(status)

    def problems(obj: Object) -> Iterator[Cause]:
        spec = obj.get("spec") or {}
        yield from _check_template(spec, kind)
        if check is not None:
            yield from check(spec)

    def row(obj: Mapping[str, Any], now: datetime) -> Cells:
        return [name(obj), *cells(obj), age(obj, now), *_template_cells(obj)]

    return Behaviour(
        resource,
        fill_defaults=fill,
        begin=begin,
        fields={**POD_SPEC, **fields},
        check=problems,
        check_update=_check_update,
        review=review_template,
        counts_generations=True,
        field_labels=field_labels,
        grants=(Grant("view", READ, ("", "scale", "status")), Grant("edit", WRITE, ("", "scale"))),
        printer=Printer((NAME, *columns, AGE, *wide("Containers", "Images", "Selector")), row),
        zero_counts=zero_counts,
    )


def _template_cells(obj: Mapping[str, Any]) -> Cells:
    containers = items(obj, "spec", "template", "spec", "containers")
    return [
        ",".join(c["name"] for c in containers),
        ",".join(c.get("image", "") for c in containers),
        selector_text(part(obj, "spec").get("selector")),
    ]


def _check_update(new: Object, old: Object) -> Iterator[Cause]:
    """The selector says which pods belong to a workload, so it stays."""
    yield from immutable("spec.selector", new["spec"].get("selector"), old["spec"].get("selector"))


def _check_template(spec: dict[str, Any], kind: str) -> Iterator[Cause]:
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

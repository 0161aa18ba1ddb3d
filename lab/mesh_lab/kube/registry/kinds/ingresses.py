"""Ingresses and their classes: stored. The mesh's control plane carries out those of its class, with its gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, NONE, Cells, Column, Printer, age, items, name, part
from mesh_lab.kube.registry.rules.causes import immutable, invalid
from mesh_lab.kube.registry.rules.fields import Rules, one_of
from mesh_lab.kube.resources import Resource

INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress", True, ("ing",), (), frozenset({"status"}))
CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False)
_FIELDS: Rules = {("HTTPIngressPath", "pathType"): one_of("Exact", "ImplementationSpecific", "Prefix")}
_PARAMETERS: Rules = {("IngressClassParametersReference", "scope"): one_of("Cluster", "Namespace")}


def _check(ingress: Object) -> Iterator[Cause]:
    spec = part(ingress, "spec")
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield invalid("spec", spec, "either `defaultBackend` or `rules` must be specified")
    for index, rule in enumerate(spec.get("rules") or ()):
        for position, path in enumerate(items(rule, "http", "paths")):
            if path.get("pathType") in ("Exact", "Prefix") and not str(path.get("path", "")).startswith("/"):
                where = f"spec.rules[{index}].http.paths[{position}].path"
                yield invalid(where, path.get("path", ""), "must be an absolute path")


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    spec = part(obj, "spec")
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    addresses = [
        each.get("ip") or each.get("hostname") or "" for each in items(obj, "status", "loadBalancer", "ingress")
    ]
    ports = "80, 443" if spec.get("tls") else "80"
    shown = ",".join(hosts) or "*"
    return [name(obj), spec.get("ingressClassName") or NONE, shown, ",".join(addresses), ports, age(obj, now)]


def _check_class_update(new: Object, old: Object) -> Iterator[Cause]:
    yield from immutable("spec.controller", part(new, "spec").get("controller"), part(old, "spec").get("controller"))


def _fill_class(ingress_class: Object) -> None:
    if (parameters := part(ingress_class, "spec").get("parameters")) is not None:
        parameters.setdefault("scope", "Cluster")


def _class_row(obj: Mapping[str, Any], now: datetime) -> Cells:
    parameters = part(obj, "spec", "parameters")
    shown = ".".join(part for part in (parameters.get("kind", ""), parameters.get("apiGroup", "")) if part)
    shown = f"{shown}/{parameters.get('name', '')}" if parameters else NONE
    return [name(obj), part(obj, "spec").get("controller", ""), shown, age(obj, now)]


INGRESS = Behaviour(
    INGRESSES,
    fields=_FIELDS,
    check=_check,
    counts_generations=True,
    grants=(Grant("view", READ, ("", "status")), Grant("edit", WRITE)),
    printer=Printer(
        (NAME, Column("Class"), Column("Hosts"), Column("Address"), Column("Ports"), AGE),
        _row,
    ),
)
INGRESS_CLASS = Behaviour(
    CLASSES,
    fill_defaults=_fill_class,
    fields=_PARAMETERS,
    check_update=_check_class_update,
    counts_generations=True,
    printer=Printer((NAME, Column("Controller"), Column("Parameters"), AGE), _class_row),
)

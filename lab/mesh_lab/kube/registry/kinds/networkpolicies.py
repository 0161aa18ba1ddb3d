"""NetworkPolicies: stored, without effect. As where the network plugin knows none, every pod can be reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part, selector_text
from mesh_lab.kube.registry.rules.fields import MAY_BE_EMPTY, PROTOCOL, Rules, one_of
from mesh_lab.kube.registry.rules.labels import check_selector
from mesh_lab.kube.resources import Resource

NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",))
_FIELDS: Rules = {
    ("NetworkPolicySpec", "policyTypes"): one_of("Egress", "Ingress"),
    ("NetworkPolicySpec", "podSelector"): MAY_BE_EMPTY,
    ("NetworkPolicyPort", "protocol"): PROTOCOL,
}


def _fill_defaults(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _check(policy: Object) -> Iterator[Cause]:
    if selector := part(policy, "spec").get("podSelector"):
        yield from check_selector(selector, "spec.podSelector")


def _remark(_: Object) -> Iterator[str]:
    yield "spec: this has no effect here: the lab's network lets every pod reach every other"


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), selector_text(part(obj, "spec").get("podSelector")), age(obj, now)]


BEHAVIOUR = Behaviour(
    NETWORK_POLICIES,
    fill_defaults=_fill_defaults,
    fields=_FIELDS,
    check=_check,
    remark=_remark,
    counts_generations=True,
    grants=(Grant("view", READ), Grant("edit", WRITE)),
    printer=Printer((NAME, Column("Pod-Selector"), AGE), _row),
    zero_counts=frozenset({"endPort"}),
)

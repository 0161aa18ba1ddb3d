"""NetworkPolicies: the network carries them out (`mesh_lab.kube.network.policies`).

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/networking/validation/validation.go
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part, selector_text
from mesh_lab.kube.registry.rules.causes import forbidden, invalid, required
from mesh_lab.kube.registry.rules.fields import MAY_BE_EMPTY, PORT, PROTOCOL, Rules, one_of
from mesh_lab.kube.registry.rules.labels import check_selector
from mesh_lab.kube.registry.syntax.networks import Network, network, network_remark
from mesh_lab.kube.resources import NETWORK_POLICIES

_NO_NETWORK = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_FIELDS: Rules = {
    ("NetworkPolicySpec", "policyTypes"): one_of("Egress", "Ingress"),
    ("NetworkPolicySpec", "podSelector"): MAY_BE_EMPTY,
    ("NetworkPolicyPort", "protocol"): PROTOCOL,
    ("NetworkPolicyPort", "port"): PORT,
}


def _fill_defaults(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _rules(policy: Object) -> Iterator[tuple[str, str, Object]]:
    """Each rule: its path, the name of its peers' field, and the rule."""
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(part(policy, "spec").get(direction) or ()):
            yield f"spec.{direction}[{index}]", peers, rule


def _blocks(policy: Object) -> Iterator[tuple[str, Object]]:
    for path, field, rule in _rules(policy):
        for index, peer in enumerate(rule.get(field) or ()):
            if peer.get("ipBlock") is not None:
                yield f"{path}.{field}[{index}].ipBlock", peer["ipBlock"]


def _check(policy: Object) -> Iterator[Cause]:
    spec = part(policy, "spec")
    if selector := spec.get("podSelector"):
        yield from check_selector(selector, "spec.podSelector")
    for path, field, rule in _rules(policy):
        for index, port in enumerate(rule.get("ports") or ()):
            yield from _check_port(port, f"{path}.ports[{index}]")
        for index, peer in enumerate(rule.get(field) or ()):
            yield from _check_peer(peer, f"{path}.{field}[{index}]")
    if len(types := spec.get("policyTypes") or ()) > 2:
        yield invalid("spec.policyTypes", types, "may not specify more than two policyTypes")


def _check_port(port: Object, path: str) -> Iterator[Cause]:
    last, first = port.get("endPort"), port.get("port")
    if last is None:
        return
    where = f"{path}.endPort"
    if first is None:
        yield invalid(where, last, "may not be specified when `port` is not specified")
    elif isinstance(first, str):
        yield invalid(where, last, "may not be specified when `port` is non-numeric")
    else:
        if last < first:
            yield invalid(where, last, "must be greater than or equal to `port`")
        if not 1 <= last <= 65535:
            yield invalid(where, last, "must be between 1 and 65535, inclusive")


def _check_peer(peer: Object, path: str) -> Iterator[Cause]:
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    for field in given:
        if field != "ipBlock":
            yield from check_selector(peer[field], f"{path}.{field}")
    if not given:
        yield required(path, "must specify a peer")
    elif "ipBlock" in given:
        yield from _check_block(peer["ipBlock"], f"{path}.ipBlock")
        if len(given) > 1:
            yield forbidden(path, "may not specify both ipBlock and another peer")


def _check_block(block: Object, path: str) -> Iterator[Cause]:
    if not (cidr := block.get("cidr")):
        return  # the schema requires it
    outer = network(cidr)
    if outer is None:
        yield invalid(f"{path}.cidr", cidr, _NO_NETWORK)
    for index, text in enumerate(block.get("except") or ()):
        inner, where = network(text), f"{path}.except[{index}]"
        if inner is None:
            yield invalid(where, text, _NO_NETWORK)
        elif outer is not None and not _is_strictly_within(inner, outer):
            yield invalid(where, text, "must be a strict subset of `cidr`")


def _is_strictly_within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.prefixlen > outer.prefixlen and inner.network_address in outer


def _remark(policy: Object) -> Iterator[str]:
    for path, block in _blocks(policy):
        yield from network_remark(f"{path}.cidr", block["cidr"])
        for index, text in enumerate(block.get("except") or ()):
            yield from network_remark(f"{path}.except[{index}]", text)


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

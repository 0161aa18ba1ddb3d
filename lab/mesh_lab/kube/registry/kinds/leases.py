"""Leases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part
from mesh_lab.kube.registry.rules.fields import Rules, at_least
from mesh_lab.kube.resources import LEASES

_FIELDS: Rules = {
    ("LeaseSpec", "leaseDurationSeconds"): at_least(1),
    ("LeaseSpec", "leaseTransitions"): at_least(0),
}


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), part(obj, "spec").get("holderIdentity", ""), age(obj, now)]


BEHAVIOUR = Behaviour(
    LEASES,
    fields=_FIELDS,
    names_what_it_replaces=True,
    grants=(Grant("edit", (*READ, *WRITE)),),
    printer=Printer((NAME, Column("Holder"), AGE), _row),
    zero_counts=frozenset({"leaseDurationSeconds", "leaseTransitions"}),
)

"""Endpoints: the older form of a Service's addresses, which a controller keeps beside its slices."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.behaviour import READ, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, NONE, Cells, Column, Printer, age, items, name
from mesh_lab.kube.registry.rules.fields import PORT, PROTOCOL, Rules
from mesh_lab.kube.resources import ENDPOINTS

_SHOWN = 3
_FIELDS: Rules = {
    ("EndpointPort", "protocol"): PROTOCOL,
    ("EndpointPort", "port"): PORT,
}


def _fill_defaults(endpoints: Object) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    found = [
        f"{address['ip']}:{port['port']}" if port else address["ip"]
        for subset in items(obj, "subsets")
        for port in subset.get("ports") or [None]
        for address in subset.get("addresses") or ()
    ]
    more = f" + {len(found) - _SHOWN} more..." if len(found) > _SHOWN else ""
    return [name(obj), ",".join(found[:_SHOWN]) + more or NONE, age(obj, now)]


BEHAVIOUR = Behaviour(
    ENDPOINTS,
    fill_defaults=_fill_defaults,
    fields=_FIELDS,
    grants=(Grant("view", READ),),
    printer=Printer((NAME, Column("Endpoints"), AGE), _row),
    zero_counts=frozenset({"port"}),
)

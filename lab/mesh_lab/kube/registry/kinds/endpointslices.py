"""EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name
from mesh_lab.kube.registry.rules.causes import duplicate, immutable, invalid, required
from mesh_lab.kube.registry.rules.fields import OPTIONAL_PORT, PROTOCOL, Rules, one_of
from mesh_lab.kube.registry.syntax.names import is_ip, label_problem
from mesh_lab.kube.resources import ENDPOINTSLICES

_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_SHOWN = 3
_FIELDS: Rules = {
    ("EndpointPort", "protocol"): PROTOCOL,
    ("EndpointPort", "port"): OPTIONAL_PORT,
    ("EndpointSlice", "addressType"): one_of("FQDN", "IPv4", "IPv6"),
}


def _fill_defaults(endpoint_slice: Object) -> None:
    """Defaults of an EndpointSlice."""
    endpoint_slice.setdefault("endpoints", [])
    for port in endpoint_slice.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _check(endpoint_slice: Object) -> Iterator[Cause]:
    """Everything that is wrong with an EndpointSlice."""
    endpoints = endpoint_slice.get("endpoints") or []
    kind = endpoint_slice.get("addressType")
    if len(endpoints) > _MAX_ENDPOINTS:
        words = f"Too many: {len(endpoints)}: must have at most {_MAX_ENDPOINTS} items"
        yield Cause("endpoints", words, "FieldValueTooMany")
    for index, endpoint in enumerate(endpoints):
        path = f"endpoints[{index}].addresses"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            yield required(path, "must contain at least 1 address")
        if len(addresses) > _MAX_ADDRESSES:
            words = f"Too many: {len(addresses)}: must have at most {_MAX_ADDRESSES} items"
            yield Cause(path, words, "FieldValueTooMany")
        for position, address in enumerate(addresses):
            if kind in ("IPv4", "IPv6") and not is_ip(address, int(kind[-1])):
                yield invalid(f"{path}[{position}]", address, f"must be a valid {kind} address")
    names: set[str] = set()
    for index, port in enumerate(endpoint_slice.get("ports") or ()):
        name = port.get("name", "")
        if name in names:
            yield duplicate(f"ports[{index}].name", name)
        names.add(name)
        if name and (problem := label_problem(name)):
            yield invalid(f"ports[{index}].name", name, problem)


def _check_update(new: Object, old: Object) -> Iterator[Cause]:
    """A slice holds addresses of one type, always."""
    yield from immutable("addressType", new.get("addressType"), old.get("addressType"))


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    ports = [str(port.get("port", "*")) for port in obj.get("ports") or []]
    addresses = [address for endpoint in obj.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    return [name(obj), obj.get("addressType", ""), _some(ports), _some(addresses), age(obj, now)]


def _some(parts: list[str]) -> str:
    more = f" + {len(parts) - _SHOWN} more..." if len(parts) > _SHOWN else ""
    return ",".join(parts[:_SHOWN]) + more or "<unset>"


BEHAVIOUR = Behaviour(
    ENDPOINTSLICES,
    fill_defaults=_fill_defaults,
    fields=_FIELDS,
    check=_check,
    check_update=_check_update,
    counts_generations=True,
    grants=(Grant("view", READ),),
    printer=Printer((NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE), _row),
    zero_counts=frozenset({"port", "ready", "serving", "terminating"}),
)

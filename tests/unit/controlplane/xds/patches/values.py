"""Patches whose values have one field of Envoy's own messages at an edge: made from the messages' descriptors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from mesh_lab.controlplane.model.envoyfilter import ApplyTo
from mesh_lab.controlplane.validation.envoyfilter import EFFECTIVE
from mesh_lab.controlplane.validation.envoyvalues import SUBJECTS, message_type
from tests.unit.controlplane.xds.patches.patched import HCM, LUA, ROUTER, TYPE, http, patch

STRINGS = ("", "a", "x" * 300, "\u65e5\n", "%FOO%", "*")
# Of each width: nothing, one, a number in between, and the largest.
WIDTHS: Mapping[int, tuple[Any, ...]] = {
    FieldDescriptor.CPPTYPE_BOOL: (True, False),
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), -1, 0, 1, 503, 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), -1, 0, 1, 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 503, 65536, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 1, 5003, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: (-1, 0, 0.5, 101, 1e300),
    FieldDescriptor.CPPTYPE_FLOAT: (-1, 0, 0.5, 101, 1e30),
    FieldDescriptor.CPPTYPE_STRING: STRINGS,
}
LUA_SCRIPT = {"@type": LUA, "default_source_code": {"inline_string": "function envoy_on_request(handle) end"}}
ANYS = (
    {"@type": f"{TYPE}envoy.extensions.filters.http.router.v3.Router"},
    {"@type": f"{TYPE}google.protobuf.Struct", "value": {"a": 1}},
    {"@type": LUA, "default_source_code": {"inline_string": "this is no Lua"}},
    LUA_SCRIPT,
)
# JSON of Google's own types, which is not that of their fields.
WELL_KNOWN: Mapping[str, tuple[Any, ...]] = {
    "google.protobuf.Duration": ("0s", "0.000000001s", "1s", "-1s", "315576000000s"),
    "google.protobuf.Timestamp": ("2026-01-01T00:00:00Z",),
    "google.protobuf.Struct": ({}, {"a": {"b": [1, None]}}),
    "google.protobuf.Value": (None, "a", [1]),
    "google.protobuf.Any": ANYS,
    "google.protobuf.Empty": ({},),
}
_WRAPPERS = {"BoolValue", "UInt32Value", "UInt64Value", "Int32Value", "Int64Value", "DoubleValue", "StringValue"}

# What the values are put into: one resource of each kind, so that it is quick.
LISTENER = {"name": "virtualInbound"}
VHOST = {"vhost": {"name": "inbound|http|9080"}}
MATCHES: Mapping[str, dict[str, Any]] = {
    "LISTENER": {"listener": LISTENER},
    "FILTER_CHAIN": {"listener": LISTENER},
    "LISTENER_FILTER": {"listener": {**LISTENER, "listenerFilter": "envoy.filters.listener.tls_inspector"}},
    "NETWORK_FILTER": {"listener": {**LISTENER, "filterChain": {"filter": {"name": HCM}}}},
    "HTTP_FILTER": {"listener": {**LISTENER, **http(ROUTER)["listener"]}},
    "ROUTE_CONFIGURATION": {"routeConfiguration": {"name": "inbound|9080||"}},
    "VIRTUAL_HOST": {"routeConfiguration": {"name": "inbound|9080||", **VHOST}},
    "HTTP_ROUTE": {"routeConfiguration": {"name": "inbound|9080||", **VHOST}},
    "CLUSTER": {"cluster": {"name": "outbound|9080||ratings.default.svc.cluster.local"}},
}
# What each needs to be of any use; fields at an edge take the place of these.
BESIDE: Mapping[str, dict[str, Any]] = {
    "LISTENER": {"name": "added", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
    "LISTENER_FILTER": {"name": "envoy.filters.listener.tls_inspector"},
    "NETWORK_FILTER": {"name": "added"},
    "HTTP_FILTER": {"name": "added", "typed_config": LUA_SCRIPT},
    "VIRTUAL_HOST": {"name": "added", "domains": ["added"]},
    "HTTP_ROUTE": {"match": {"prefix": "/added"}, "direct_response": {"status": 418}},
    "CLUSTER": {"name": "added", "type": "STATIC", "connect_timeout": "1s"},
}


def patches(apply_to: ApplyTo, depth: int) -> Iterator[dict[str, Any]]:
    """Patches of every operation that has an effect, each with a value that has a field at an edge."""
    kind = message_type(SUBJECTS[apply_to])
    assert kind is not None
    values = [*_values(kind.DESCRIPTOR, depth)]
    for operation in sorted(EFFECTIVE[apply_to]):
        match = MATCHES.get(apply_to, {})
        if operation == "REMOVE":
            yield patch(apply_to, operation, **match)
            continue
        beside = {} if operation.startswith("MERGE") else BESIDE.get(apply_to, {})
        yield from (patch(apply_to, operation, {**beside, **value}, **match) for value in values)


def _values(kind: Descriptor, depth: int) -> Iterator[dict[str, Any]]:
    for field in kind.fields:
        for value in _of(field, depth):
            yield {field.name: value}


def _of(field: FieldDescriptor, depth: int) -> Iterator[Any]:
    if not field.is_repeated:
        yield from _single(field, depth)
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        yield from ({"a": value} for value in _single(inner, depth))
    else:
        yield from ([value] for value in _single(field, depth))


def _single(field: FieldDescriptor, depth: int) -> Iterator[Any]:
    kind = field.message_type
    if field.enum_type is not None:
        yield from (value.name for value in field.enum_type.values)
    elif kind is None:
        yield from ("aGk=",) if field.type == FieldDescriptor.TYPE_BYTES else WIDTHS[field.cpp_type]
    elif kind.full_name in WELL_KNOWN:
        yield from WELL_KNOWN[kind.full_name]
    elif kind.file.package == "google.protobuf" and kind.name in _WRAPPERS:
        yield from WIDTHS[kind.fields_by_name["value"].cpp_type]
    else:
        yield {}
        if depth:
            yield from _values(kind, depth - 1)

"""Hypothesis strategies for Istio's resources, made from their types: what fits the type, and often makes sense."""

from __future__ import annotations

import copy
import re
import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from mesh_lab.controlplane.istiokinds import KINDS, decode, validate
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.model.units import DURATION_PATTERN

WORDS = st.sampled_from(["a", "app", "v1", "x-user", "reviews", "/api", "GET", "default", "10", "5xx"])
DURATIONS = st.sampled_from(["1s", "250ms", "1m30s", "0s", "1h", "3.5s", "1ns"])
# Fields whose values are a language of their own.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "host": st.sampled_from(["reviews", "ratings", "nobody", "reviews.default.svc.cluster.local", "*.example.com"]),
    "regex": st.sampled_from(["a.*", "[0-9]+", "(a|b)", "(", "(?=a)"]),
    "retryOn": st.sampled_from(["", "5xx", "reset,503", "gateway-error,nonsense"]),
    "ipBlocks": st.lists(st.sampled_from(["10.0.0.0/8", "1.2.3.4", "::1", "nonsense"]), max_size=2),
    "ports": st.lists(st.sampled_from(["80", "9080", "0", "x"]), max_size=2),
    "grpcStatus": st.sampled_from(["UNAVAILABLE", "14", "NOTHING"]),
    "httpStatus": st.sampled_from([503, 200, 0, 999]),
    "status": st.sampled_from([200, 418, 503, 0]),
    "redirectCode": st.sampled_from([0, 301, 302, 303, 307, 308, 200]),
    "bytes": st.sampled_from(["aGk=", "%"]),
    "tableSize": st.sampled_from([5003, 4]),
    "minimumRingSize": st.sampled_from([1, 1024, 2**40]),
    "jwksUri": st.sampled_from(["https://example.com/keys", "ftp://example.com", "nonsense"]),
    "jwks": st.sampled_from(["", '{"keys": []}', "nonsense"]),
    "expression": st.sampled_from(["response.code >= 400", "a ==", ""]),
    "url": st.sampled_from(["oci://a/b:c", "https://example.com/x.wasm", "ftp://a", "a.b/c"]),
    # Files, which are there or not.
    **dict.fromkeys(("serverCertificate", "clientCertificate", "privateKey", "caCertificates", "caCrl"), st.just("")),
    "mode": st.nothing(),
}


def documents(spec: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON of a spec: each optional field is there or not; depth is bounded by the types themselves."""
    return _struct(spec)


@cache
def _struct(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    required, optional = {}, {}
    for field in msgspec.structs.fields(kind):
        special = FIELDS.get(field.encode_name)
        values = _values(field.type) if special is None or special.is_empty else special
        (required if field.required else optional)[field.encode_name] = values
    return st.fixed_dictionaries(required, optional=optional)


def _values(kind: Any) -> st.SearchStrategy[Any]:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        meta = next(each for each in args[1:] if isinstance(each, msgspec.Meta))
        if meta.pattern == DURATION_PATTERN:
            return DURATIONS
        if args[0] is int:
            return st.sampled_from([0, 1, 80, 9080]).filter(lambda n: n >= (meta.ge or 0))
        if args[0] is float:
            return st.sampled_from([0, 0.1, 50, 100])
        return _values(args[0])
    if origin in (Union, types.UnionType):
        return _values(next(each for each in args if each is not type(None)))
    if origin is Literal:
        return st.sampled_from([each for each in args if each is not None])
    if origin in (list, tuple):
        return st.lists(_values(args[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(WORDS, _values(args[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct(kind)
    scalars: dict[Any, st.SearchStrategy[Any]] = {
        str: WORDS,
        int: st.integers(0, 5),
        float: st.sampled_from([0.5, 2.0]),
        bool: st.booleans(),
        Any: st.recursive(st.none() | st.booleans() | WORDS, lambda inner: st.lists(inner, max_size=2), max_leaves=3),
    }
    return scalars[kind]


_DESTINATION = {"destination": {"host": "reviews"}}
_BASE: dict[str, dict[str, Any]] = {
    "VirtualService": {"hosts": ["reviews"], "http": [{"route": [_DESTINATION]}]},
    "DestinationRule": {"host": "reviews"},
    "Sidecar": {"outboundTrafficPolicy": {}},
    "ServiceEntry": {"hosts": ["a.example"]},
    "WorkloadEntry": {"address": "10.0.0.1"},
    "WorkloadGroup": {"template": {}},
    "Gateway": {
        "selector": {"app": "reviews"},
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
    },
    "WasmPlugin": {"url": "oci://a/b", "phase": "STATS", "failStrategy": "FAIL_OPEN"},
    "TrafficExtension": {"lua": {"inlineCode": "function envoy_on_request(handle) end"}},
}


def valid(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """JSON of a spec that passes all checks: whatever these complain of is taken out, until they do not."""
    return documents(KINDS[name].spec).map(lambda document: _repaired(name, document))


def _repaired(name: str, document: dict[str, Any]) -> dict[str, Any]:
    current = copy.deepcopy(_BASE.get(name, {}) | {key: value for key, value in document.items() if value != []})
    for rule in current.get("http", []) if name == "VirtualService" else []:
        if not rule.keys() & {"redirect", "directResponse"}:
            rule.setdefault("route", []).append(copy.deepcopy(_DESTINATION))
    for _ in range(200):
        complaint = _complaint(name, current)
        if complaint is None:
            return current
        _cut(current, complaint)
    return copy.deepcopy(_BASE.get(name, {}))


def _complaint(name: str, document: dict[str, Any]) -> str | None:
    try:
        spec = decode(name, document)
    except DecodeError as error:
        return error.path
    return next((problem.path for problem in validate(spec) if problem.severity == "error"), None)


def _cut(document: Any, path: str) -> None:
    """Remove the deepest part of a path that is there; never the whole document."""
    steps = [
        int(index) if index.isdigit() else index
        for part in path.removeprefix("spec").split(".")
        for index in re.findall(r"[^\[\]]+", part)
    ]
    trail = []
    for step in steps:
        if (isinstance(document, dict) and step in document) or (
            isinstance(document, list) and isinstance(step, int) and step < len(document)
        ):
            trail.append((document, step))
            document = document[step]
    if trail:
        parent, step = trail[-1]
        del parent[step]
        if not parent and len(trail) > 1:
            outer, key = trail[-2]
            del outer[key]

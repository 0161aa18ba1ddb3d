"""Strict decoding of Istio's resources."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.controlplane.istiokinds import KINDS, decode
from mesh_lab.controlplane.model import DecodeError, VirtualService
from tests.unit.controlplane.strategies import documents


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("VirtualService", {"http": [{"rout": []}]}, "spec.http[0]: Object contains unknown field `rout`"),
        (
            "VirtualService",
            {"http": [{"route": [{"destination": {"host": "a"}, "weight": -1}]}]},
            "spec.http[0].route[0].weight: Expected `int` >= 0",
        ),
        ("VirtualService", {"hosts": "reviews"}, "spec.hosts: Expected `array`, got `str`"),
        ("VirtualService", {"http": [{"timeout": "5"}]}, "spec.http[0].timeout: Expected `str` matching regex"),
        ("PeerAuthentication", {"mtls": {"mode": "SOMETIMES"}}, "spec.mtls.mode: Invalid enum value 'SOMETIMES'"),
        ("DestinationRule", {}, "spec: Object missing required field `host`"),
        ("Gateway", {"servers": [{"port": {"number": 80, "name": "a"}}]}, "spec.servers[0].port: Object missing"),
        ("AuthorizationPolicy", {"rules": [{"from": {}}]}, "spec.rules[0].from: Expected `array | null`"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(kind: str, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(kind, spec)
    assert str(refused.value).startswith(message)


def asks_for_nothing(kind: str) -> bool:
    return not any(field.required for field in msgspec.structs.fields(KINDS[kind].spec))


@pytest.mark.parametrize("kind", [*filter(asks_for_nothing, KINDS)])
def test_an_absent_spec_is_an_empty_one(kind: str) -> None:
    assert msgspec.to_builtins(decode(kind, None)) == msgspec.to_builtins(decode(kind, {}))


@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), documents(KINDS[kind].spec))))
def test_decoding_loses_nothing(case: tuple[str, dict[str, Any]]) -> None:
    kind, document = case
    try:
        decoded = decode(kind, document)
    except DecodeError:
        return
    again = decode(kind, msgspec.to_builtins(decoded))
    assert msgspec.json.encode(again) == msgspec.json.encode(decoded)


def test_specs_are_distinguished_by_identity() -> None:
    one, other = decode("VirtualService", {"hosts": ["a"]}), decode("VirtualService", {"hosts": ["a"]})
    assert one != other
    assert {one: 1}.get(other) is None


def test_fields_have_the_names_that_users_write() -> None:
    spec = decode("VirtualService", {"hosts": ["a"], "http": [{"match": [{"withoutHeaders": {"x": {}}}]}]})
    assert isinstance(spec, VirtualService)
    assert spec.http[0].match[0].without_headers["x"].exact is None

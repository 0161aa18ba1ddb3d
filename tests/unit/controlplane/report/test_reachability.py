"""Rules and matches that earlier ones leave nothing for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.controlplane.model.virtualservice import HTTPMatchRequest
from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.report.reachability import _covers
from tests.unit.controlplane.cluster import bookinfo, config

TO = {"route": [{"destination": {"host": "reviews"}}]}


def found(*matches: list[dict[str, Any]] | None, kind: str = "http") -> list[tuple[str, str]]:
    rules = [{**TO, **({} if match is None else {"match": match})} for match in matches]
    spec = {"hosts": ["reviews"], kind: rules}
    remarks = analyse(bookinfo().istio(config("VirtualService", "v", spec)).snapshot())
    return [(f.code, f.path) for f in remarks if f.code in ("IST0130", "IST0131")]


def uri(**how: str) -> dict[str, Any]:
    return {"uri": how}


UNREACHABLE = [("IST0131", "spec.http[1].match[0]"), ("IST0130", "spec.http[1]")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (uri(prefix="/api"), uri(prefix="/api/v1")),
        (uri(prefix="/api"), uri(exact="/api/x")),
        (uri(exact="/dup"), uri(exact="/dup")),
        (uri(regex="/a.*"), uri(regex="/a.*")),
        (uri(prefix="/"), {"headers": {"x-a": {"exact": "b"}}}),
        (uri(prefix="/"), uri(regex=".*")),
        ({"headers": {"x-a": {"exact": "b"}}}, {"headers": {"x-a": {"exact": "b"}, "x-c": {"prefix": "d"}}}),
        ({"name": "one", **uri(prefix="/a")}, {"name": "two", **uri(prefix="/a")}),
        ({"ignoreUriCase": True, **uri(prefix="/a")}, uri(prefix="/ab")),
        ({"gateways": ["mesh", "front"], **uri(prefix="/a")}, {"gateways": ["front"], **uri(prefix="/a")}),
        ({"port": 80}, {"port": 80, "method": {"exact": "GET"}}),
    ],
)
def test_a_match_that_asks_for_less_leaves_nothing_for_a_later_one(first: Any, second: Any) -> None:
    assert found([first], [second]) == UNREACHABLE


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (uri(prefix="/api/v1"), uri(prefix="/api")),
        (uri(exact="/api"), uri(prefix="/api")),
        (uri(prefix="/a"), {"ignoreUriCase": True, **uri(prefix="/a")}),
        ({"headers": {"x-a": {"exact": "b"}}}, uri(prefix="/")),
        ({"headers": {"x-a": {"exact": "b"}}}, {"headers": {"x-a": {"exact": "c"}}}),
        ({"withoutHeaders": {"x-a": {}}}, uri(prefix="/a")),
        ({"port": 80}, {"port": 81}),
        ({"gateways": ["front"]}, {"sourceLabels": {"a": "b"}}),
        (uri(prefix="/a"), {"method": {"exact": "GET"}}),
    ],
)
def test_a_match_that_asks_for_more_or_for_something_else_does_not(first: Any, second: Any) -> None:
    assert found([first], [second]) == []


def test_a_rule_without_matches_takes_all_that_is_left() -> None:
    assert found(None, [uri(prefix="/a")], None) == [("IST0130", "spec.http[1]"), ("IST0130", "spec.http[2]")]


def test_a_rule_one_of_whose_matches_is_left_is_used() -> None:
    assert found([uri(prefix="/a")], [uri(prefix="/a/b"), uri(prefix="/c")]) == [("IST0131", "spec.http[1].match[0]")]


def test_connections_by_port_are_looked_at_too() -> None:
    twice = found([{"port": 80}], [{"port": 80}], kind="tcp")
    assert twice == [("IST0131", "spec.tcp[1].match[0]"), ("IST0130", "spec.tcp[1]")]


PATHS = st.text("ab/", min_size=1, max_size=3).map(lambda text: f"/{text}")
VALUES = st.sampled_from(["a", "ab", "b"])
STRINGS = st.one_of(VALUES.map(lambda v: {"exact": v}), VALUES.map(lambda v: {"prefix": v}))
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "uri": st.one_of(PATHS.map(lambda p: {"exact": p}), PATHS.map(lambda p: {"prefix": p})),
        "method": STRINGS,
        "headers": st.dictionaries(st.sampled_from(["x", "y"]), STRINGS, min_size=1),
    },
)
REQUESTS = st.fixed_dictionaries({"uri": PATHS, "method": VALUES, "x": VALUES, "y": VALUES})


def holds(match: dict[str, Any], request: dict[str, str]) -> bool:
    wanted = {**{k: v for k, v in match.items() if k != "headers"}, **match.get("headers", {})}
    return all(
        request[key] == how["exact"] if "exact" in how else request[key].startswith(how["prefix"])
        for key, how in wanted.items()
    )


@given(MATCHES, MATCHES, REQUESTS)
def test_what_is_said_to_be_covered_takes_no_request_that_the_other_does_not(
    one: dict[str, Any], other: dict[str, Any], request: dict[str, str]
) -> None:
    import msgspec

    covers = _covers(msgspec.convert(one, HTTPMatchRequest), msgspec.convert(other, HTTPMatchRequest))
    if covers and holds(other, request):
        assert holds(one, request)

"""Over 10,000 resources at the edges of their ranges: what passes the checks is translated, and Envoy takes it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.istiokinds import KINDS, decode, validate
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.validation.commands import COMMANDS, commands
from mesh_lab.controlplane.world import meshconfig
from tests.unit.controlplane.edges import Case, cases
from tests.unit.controlplane.judging import accepted, refused

# What their authors write for Envoy, it may refuse: `xds/patches/test_fields.py` holds what becomes of that.
JUDGED_BY_ENVOY = ("EnvoyFilter", "TrafficExtension")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in JUDGED_BY_ENVOY])
def test_what_passes_the_checks_envoy_takes(kind: str) -> None:
    passed = [case for case in cases(kind) if accepted(case)]
    assert not [f"{case.path}: {str(case.document)[-200:]} {words[-400:]}" for case, words in refused(passed)]


def test_every_command_that_a_header_may_hold_is_one_of_envoys() -> None:
    values = [f"a%%%{name}{_argument(rest)}%b" for name, rest in COMMANDS.items()]
    assert not [value for value in values if [*commands("", value)]]
    plain = {"route": [{"destination": {"host": "reviews"}}]}
    made = [
        Case("VirtualService", "", {"hosts": ["a"], "http": [{**plain, "headers": {"request": {"set": {"x": value}}}}]})
        for value in values
    ]
    assert not [(case.document["http"][0]["headers"], words) for case, words in refused(made)]


def _argument(rest: str) -> str:
    return next(each for each in ("", "(x)", "(%s)") if re.fullmatch(rest, each))


@pytest.mark.parametrize("value", ["100%", "%", "%FOO%", "%REQ(", "%REQ%", "%PROTOCOL", "a%b%", "%req(x)%", "%REQ()%"])
def test_a_percent_sign_that_is_no_command_is_refused(value: str) -> None:
    assert [*commands("", value)]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("connectTimeout: 0s", "data.mesh.connectTimeout"),
        ("connectTimeout: 9999999h", "data.mesh.connectTimeout"),
        ('trustDomain: "a\\nb"', "data.mesh.trustDomain"),
        ('accessLogFormat: "%FOO%"', "data.mesh.accessLogFormat"),
        ("defaultHttpRetryPolicy: {attempts: 1, perTryTimeout: 9999999h}", "data.mesh.defaultHttpRetryPolicy"),
    ],
)
def test_settings_of_the_mesh_are_bounded_as_well(text: str, field: str) -> None:
    (remark,) = meshconfig.parse(text).remarks
    assert (remark.severity, remark.path.startswith(field)) == ("error", True)


def test_a_log_format_may_have_lines() -> None:
    parsed = meshconfig.parse('accessLogFormat: "a %START_TIME(%s)%\\n"')
    assert (parsed.config.access_log_format[-1], parsed.remarks) == ("\n", ())


def test_they_are_more_than_ten_thousand() -> None:
    made = [case for kind in KINDS for case in cases(kind)]
    assert len(made) > 10_000
    assert sum(map(accepted, made)) > 10_000


@pytest.mark.parametrize(
    ("kind", "spec", "path"),
    [
        ("VirtualService", {"http": [{"mirrorPercent": 2147483647}]}, "spec.http[0].mirrorPercent"),
        ("VirtualService", {"http": [{"timeout": "9999999h"}]}, "spec.http[0].timeout"),
        (
            "VirtualService",
            {"http": [{"headers": {"request": {"set": {"x": "a\nb"}}}}]},
            "spec.http[0].headers.request.set[x]",
        ),
        (
            "VirtualService",
            {"http": [{"headers": {"request": {"set": {"a b": "x"}}}}]},
            "spec.http[0].headers.request.set",
        ),
        (
            "DestinationRule",
            {"trafficPolicy": {"connectionPool": {"tcp": {"tcpKeepalive": {"time": "9999999h"}}}}},
            "spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.time",
        ),
        (
            "DestinationRule",
            {"trafficPolicy": {"loadBalancer": {"warmup": {"duration": "1s", "minimumPercent": 101}}}},
            "spec.trafficPolicy.loadBalancer.warmup.minimumPercent",
        ),
        ("DestinationRule", {"trafficPolicy": {"tls": {"sni": "x" * 256}}}, "spec.trafficPolicy.tls.sni"),
    ],
)
def test_what_is_out_of_range_is_refused_with_its_fields_path(kind: str, spec: dict[str, Any], path: str) -> None:
    whole = {"hosts": ["a"], **spec} if kind == "VirtualService" else {"host": "a", **spec}
    try:
        paths = [problem.path for problem in validate(decode(kind, whole)) if problem.severity == "error"]
    except DecodeError as error:
        paths = [error.path]
    assert path in paths


EDGES = {kind: st.sampled_from(tuple(cases(kind))) for kind in KINDS}


@settings(
    deadline=None,
    max_examples=500,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate, Phase.shrink],
)
@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.lists(EDGES[kind], min_size=2, max_size=4)))
def test_several_edges_at_once_raise_nothing(several: list[Case]) -> None:
    """The checks say what they find of resources put together from several; they never fail."""
    kind = several[0].kind
    document = _merged([case.document for case in several])
    accepted(Case(kind, "", document))


def _merged(documents: list[Any]) -> Any:
    first, *rest = documents
    if not rest or not isinstance(first, dict):
        return first
    keys = dict.fromkeys(key for each in documents if isinstance(each, dict) for key in each)
    return {key: _merged([each[key] for each in documents if isinstance(each, dict) and key in each]) for key in keys}

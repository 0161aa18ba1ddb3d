"""Patches that hypothesis makes up, on the configuration of a mesh: applied or said to have failed, never a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.controlplane.cluster import bookinfo
from tests.unit.controlplane.envoy import static, validate
from tests.unit.controlplane.xds.patches.patched import ROUTER, envoy_filter, http, lua, patch, patched

CONTEXTS = st.sampled_from(["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"])
ORDERED = ["ADD", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"]
MERGED = ["MERGE", "MERGE_AND_REPLACE_LIST"]
HOST = {"vhost": {"name": "ratings.default.svc.cluster.local:9080"}}
TEA = {"name": "tea", "match": {"prefix": "/tea"}, "direct_response": {"status": 418}}
STATIC = {"name": "static", "connect_timeout": "1s", "type": "STATIC"}


@st.composite
def harmless(draw: st.DrawFn) -> dict[str, Any]:
    """Changes that Envoy takes in any order, however often."""
    context, number = draw(CONTEXTS), draw(st.integers(0, 99))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        before = draw(st.sampled_from(["", ROUTER, "nobody"]))
        operation = draw(st.sampled_from(ORDERED[1:3]))
        return patch("HTTP_FILTER", operation, lua(f"lua{number}"), context, **http(before))
    if kind == 1:
        return patch("CLUSTER", draw(st.sampled_from(MERGED)), {"connect_timeout": f"{number + 1}s"}, context)
    if kind == 2:
        return patch("CLUSTER", "ADD", STATIC, context)
    if kind == 3:
        change = {"route": {"timeout": f"{number}s"}}
        action = {**HOST["vhost"], "route": {"action": "ROUTE"}}
        return patch("HTTP_ROUTE", draw(st.sampled_from(MERGED)), change, context, routeConfiguration={"vhost": action})
    if kind == 4:
        return patch("HTTP_ROUTE", draw(st.sampled_from(ORDERED)), TEA, context, routeConfiguration=HOST)
    if kind == 5:
        limit = {"per_connection_buffer_limit_bytes": number + 1}
        return patch("LISTENER", draw(st.sampled_from(MERGED)), limit, context)
    return patch("VIRTUAL_HOST", "REMOVE", None, context, routeConfiguration={"name": "nobody"})


FEW = settings(
    deadline=None, max_examples=8, phases=[Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True
)


@FEW
@given(st.lists(harmless(), min_size=1, max_size=6, unique_by=str))
def test_envoy_takes_what_is_made_of_them(tmp_path_factory: Any, patches: list[dict[str, Any]]) -> None:
    found = patched(bookinfo().istio(envoy_filter(*patches)))
    directory: Path = tmp_path_factory.mktemp("patched")
    validate(static(found.resources), directory)
    assert all(patch.index < len(patches) for patch in found.applied)


@FEW
@given(st.lists(harmless(), min_size=1, max_size=6, unique_by=str), st.integers(0, 6))
def test_it_is_the_same_in_one_object_or_in_two_of_one_order(patches: list[dict[str, Any]], cut: int) -> None:
    one = patched(bookinfo().istio(envoy_filter(*patches))).resources
    first, second = envoy_filter(*patches[:cut], name="a"), envoy_filter(*patches[cut:], name="b")
    two = patched(bookinfo().istio(first, second)).resources
    assert {url: {n: b.version for n, b in some.items()} for url, some in one.items()} == {
        url: {n: b.version for n, b in some.items()} for url, some in two.items()
    }

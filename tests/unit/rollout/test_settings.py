"""The file of a rollout: what it means, and where what is wrong with it stands."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.harness.results import Result
from mesh_lab.rollout.settings import DEFAULT_STEPS, Arm, BadRollout, Compare, read
from mesh_lab.yamlplaces import line_of

LEAST = {"route": "virtualservice/reviews", "stable": "v1", "canary": "v3", "url": "http://reviews:9080/"}


def written(folder: Path, **fields: Any) -> Path:
    path = folder / "rollout.yaml"
    path.write_text(yaml.safe_dump({**LEAST, **fields}, sort_keys=False))
    return path


def test_a_file_needs_a_route_two_versions_and_an_address(tmp_path: Path) -> None:
    rollout = read(written(tmp_path))
    assert (rollout.weights, rollout.kind_and_name) == (DEFAULT_STEPS, ("virtualservice", "reviews"))
    assert rollout.arms == (Arm("v1"), Arm("v3"))
    assert (rollout.namespace, rollout.bounds, rollout.version_of) == ("default", {}, None)


def test_all_of_it_may_be_said(tmp_path: Path) -> None:
    rollout = read(
        written(
            tmp_path,
            canary={"name": "green", "version": "2.0"},
            steps=[1, 50, 100],
            version="header:x-version",
            success={"atLeast": "99.9%", "worseBy": "2%"},
            latency={"p99": "250ms", "p50": "0.1s"},
            compare={"worse": 4},
            requests={"rate": 200, "headers": {"x-tenant": "one"}},
        )
    )
    assert rollout.compare == Compare(2, 4)
    assert rollout.ratios["latency p99"] == pytest.approx((0.01, 0.03))
    assert rollout.bounds == {0.99: 0.25, 0.5: 0.1}
    assert rollout.version_of is not None
    assert rollout.version_of(Result(200, 0, 0, headers={"x-version": "2.0"})) == "2.0"


def test_blue_green_is_one_step(tmp_path: Path) -> None:
    assert read(written(tmp_path, strategy="blue-green")).weights == (100.0,)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": [10, 5, 100]}, r":7: steps\[1\]: 5 is not above 10"),
        ({"steps": [10, 50]}, r"steps\[1\]: the last step has to be 100"),
        ({"steps": [10, 100, 110]}, r"steps\[2\]: 110 is not above 100 and at most 100"),
        ({"steps": []}, "steps: 0 steps; there may be 1 to 50"),
        ({"steps": [0.5, 100]}, r"steps\[0\]: 0.5 is no whole number"),
        ({"steps": "all"}, r":5: steps: Expected `array \| null`, got `str`"),
        ({"strategy": "blue-green", "steps": [50, 100]}, "steps: blue-green switches at once"),
        ({"strategy": "red"}, ":5: strategy: Invalid enum value 'red'"),
        ({"route": "reviews"}, r"rollout\.yaml:1: route: 'reviews' is not of the form KIND/NAME"),
        ({"url": "reviews:9080"}, ":4: url: 'reviews:9080' is no URL"),
        ({"canary": "v1"}, ":3: canary: is the stable version"),
        ({"canary": {"nam": "v3"}}, "canary: Object missing required field `name`|unknown field `nam`"),
        ({"success": {"atLeast": "99"}}, ":6: success.atLeast: '99' is no percentage"),
        ({"success": {"atLeast": "99%", "worseBy": "0%"}}, ":7: success.worseBy: 0% below 99% is no ratio to find"),
        ({"success": {"atLeast": "10%", "worseBy": "20%"}}, "success.worseBy: 20% below 10%"),
        ({"latency": {"p99": "fast"}}, ":6: latency.p99: p99: fast is not of the form p99: 250ms"),
        ({"latency": {"mean": "1s"}}, "latency.mean"),
        ({"requests": {"rate": 0}}, ":6: requests.rate: 0 is not above 0"),
        ({"requests": {"most": 5}}, "requests.most: 5 is not between 134, which a version without a fault takes, and"),
        ({"requests": {"timeout": 600}}, "requests.timeout: 600 is not above 0 and at most 120"),
        ({"requests": {"deadline": 0}}, "requests.deadline: 0 is not above 0"),
        (
            {"steps": [1, 100], "requests": {"rate": 20}},
            "requests.deadline: a step of 1% gives the canary 60 requests in 300 s at 20 a second; at least 134",
        ),
        ({"latency": {"p0": "1s"}}, "latency.p0: p0: 1s is not of the form"),
        ({"latency": {"p99": "0ms"}}, "latency.p99: p99: 0ms is not of the form"),
        ({"latency": {"p0.001": "1s"}}, r"success.worseBy: 5% below 1e-05 \(latency p0.001\) is no ratio"),
        ({"success": {"atLeast": "0.01%", "worseBy": "0.01%"}}, "success.worseBy: 0.01% below 0.01% is no ratio"),
        ({"compare": {"times": 5, "worse": 2}}, ":5: compare: times 5, worse 2: wanted is 1 <= times < worse"),
        ({"compare": {"times": 0.5}}, "compare: times 0.5, worse 5"),
        ({"steps": [float("nan"), 100]}, r"steps\[0\]: nan is not above 0"),
        ({"rates": {"missed": 1}}, "rates.missed: 1 is not between 0 and 0.5"),
        ({"version": "x-version"}, "version: 'x-version' is neither header:NAME nor json:PATH"),
        ({"version": "json:a.*"}, ":5: version: 'a.\\*' is no path of names and indexes"),
        ({"weights": [1]}, "unknown field `weights`"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRollout, match=message) as raised:
        read(written(tmp_path, **fields))
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "[", "- a", "route: \xff", "a: *b"])
def test_what_is_no_such_file_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadRollout):
        read(path)
    with pytest.raises(BadRollout, match="cannot read"):
        read(tmp_path / "none.yaml")


FIELDS = {
    "success": ("atLeast", "worseBy"),
    "requests": ("rate", "concurrency", "most", "deadline", "timeout"),
    "compare": ("times", "worse"),
    "rates": ("falseAlarm", "missed"),
    "latency": ("p99", "p0", "p50"),
}
VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["0%", "100%", "5ms", "json:*"]),
    lambda below: st.lists(below, max_size=3),
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["route", "steps", "canary", "url", "version", "namespace"]), VALUES, max_size=2),
    st.sampled_from(list(FIELDS)).flatmap(
        lambda name: st.fixed_dictionaries({name: st.dictionaries(st.sampled_from(FIELDS[name]), VALUES) | VALUES})
    ),
)
def test_no_value_of_a_field_is_a_traceback(plain: dict[str, Any], nested: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(BadRollout):
        rollout = read(written(Path(folder), **plain, **nested))
        assert rollout.least > 0


def test_a_line_is_found_by_a_path_or_that_of_what_is_above_it() -> None:
    text = "a: 1\nb:\n  c:\n  - d\n  - e: 2\n"
    paths = ("$", "$.b", "$.b.c", "$.b.c[0]", "$.b.c[1].e", "$.b.c[9]", "$.x.y")
    assert [line_of(text, path) for path in paths] == [1, 2, 3, 4, 5, 3, 1]

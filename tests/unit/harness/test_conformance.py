"""`pytest --mesh-conformance`: what each test's end makes of its case, in one process and under pytest-xdist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest_plugins = ["pytester"]

SUITE = """
    import pytest

    shows = pytest.mark.mesh_feature

    @pytest.fixture
    def broken():
        raise RuntimeError("the fixture broke")

    @shows("traffic/split", protocol="http1", api="virtualservice")
    def test_it_is_split(mesh_record):
        mesh_record(requests_count=600, v2_ratio=0.25)

    @shows("traffic/split")
    @pytest.mark.parametrize(("protocol", "api"), [("http2", "httproute"), ("tcp", "tcproute")])
    def test_routes_split(protocol, api, mesh_record):
        mesh_record(requests_count=100)
        assert protocol == "http2", "10 of 100 were not split"

    @shows("faults/abort", protocol="http1", api="httproute")
    @pytest.mark.skip(reason="HTTPRoutes have no faults")
    def test_requests_are_aborted(): pass

    @shows("faults/delay", protocol="http1", api="httproute")
    def test_requests_are_delayed():
        pytest.skip("nor this")

    @shows("traffic/mirror", protocol="http1", api="virtualservice")
    @shows("traffic/headers", protocol="http1", api="virtualservice")
    def test_two_at_once(broken): pass

    @shows("traffic/cors", protocol="http1", api="virtualservice")
    @pytest.mark.xfail(reason="known")
    def test_a_known_fault(): assert False

    @shows("security/identity", protocol="grpc", api="none")
    def test_left_out(): pass

    def test_that_shows_no_feature(): pass
"""
EXPECTED = {
    "traffic/split http1 virtualservice": "passes",
    "traffic/split http2 httproute": "passes",
    "traffic/split tcp tcproute": "fails",
    "faults/abort http1 httproute": "not supported",
    "faults/delay http1 httproute": "not supported",
    "traffic/mirror http1 virtualservice": "fails",
    "traffic/headers http1 virtualservice": "fails",
    "traffic/cors http1 virtualservice": "fails",
    "security/identity grpc none": "not run",
}


@pytest.fixture(autouse=True)
def only_what_is_needed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other plugins of this environment take their time to load."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p mesh_lab.harness.plugin -p xdist.plugin -p no:cacheprovider")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def ran(pytester: pytest.Pytester, suite: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(suite)
    return pytester.runpytest_inprocess("--mesh-conformance=out", *options)


def written(pytester: pytest.Pytester) -> dict[str, Any]:
    found = json.loads((pytester.path / "out/conformance.json").read_text())
    return {
        f"{feature['name']} {case['protocol']} {case['api']}": case
        for feature in found["features"]
        for case in feature["cases"]
    }


@pytest.mark.parametrize("processes", [(), ("-n", "2")])
def test_each_case_has_the_verdict_that_its_tests_end_gives_it(
    pytester: pytest.Pytester, processes: tuple[str, ...]
) -> None:
    result = ran(pytester, SUITE, "-k", "not left_out", *processes)
    cases = written(pytester)
    assert {name: case["verdict"] for name, case in cases.items()} == EXPECTED
    assert cases["traffic/split http1 virtualservice"]["numbers"] == {"requests_count": 600.0, "v2_ratio": 0.25}
    assert cases["traffic/split tcp tcproute"]["numbers"] == {"requests_count": 100.0}
    assert cases["traffic/split tcp tcproute"]["failure"][0] == "AssertionError: 10 of 100 were not split"
    assert cases["traffic/mirror http1 virtualservice"]["failure"] == ["RuntimeError: the fixture broke"]
    assert cases["faults/abort http1 httproute"]["reason"] == "HTTPRoutes have no faults"
    assert cases["faults/delay http1 httproute"]["reason"] == "nor this"
    assert cases["security/identity grpc none"]["reason"] == "deselected"
    assert cases["traffic/split http1 virtualservice"]["duration_s"] >= 0
    result.stdout.fnmatch_lines(["conformance: 2 passes, 4 fails, 2 not supported, 1 not run; out/conformance.html"])
    assert (pytester.path / "out/conformance.html").read_text().startswith("<!DOCTYPE html>")


def test_what_a_run_that_ends_early_has_not_begun_is_not_run(pytester: pytest.Pytester) -> None:
    ran(pytester, SUITE, "-x", "-k", "split or left_out")
    cases = written(pytester)
    assert cases["traffic/split tcp tcproute"]["verdict"] == "fails"
    assert cases["security/identity grpc none"]["verdict"] == "not run"
    assert cases["security/identity grpc none"]["reason"] == "the run ended before it"
    assert cases["faults/delay http1 httproute"]["reason"] == "deselected"
    assert cases["faults/abort http1 httproute"]["reason"] == "HTTPRoutes have no faults"


def test_a_worker_that_dies_takes_no_case_with_it(pytester: pytest.Pytester) -> None:
    suite = """
        import os, pytest

        @pytest.mark.mesh_feature("a/b", protocol="tcp", api="none")
        def test_dies(): os._exit(1)

        @pytest.mark.mesh_feature("c/d", protocol="tcp", api="none")
        def test_lives(): pass
    """
    ran(pytester, suite, "-n", "1")
    assert {name: case["verdict"] for name, case in written(pytester).items()} == {
        "a/b tcp none": "fails",
        "c/d tcp none": "passes",
    }
    assert "crashed" in written(pytester)["a/b tcp none"]["failure"][-1]


def test_collected_alone_it_is_the_list_of_cases(pytester: pytest.Pytester) -> None:
    ran(pytester, SUITE, "--collect-only")
    cases = written(pytester)
    assert cases.keys() == EXPECTED.keys()
    assert cases.pop("faults/abort http1 httproute")["verdict"] == "not supported", "by a marker, wherever it runs"
    assert {case["verdict"] for case in cases.values()} == {"not run"}


def test_junit_has_the_case_and_its_numbers(pytester: pytest.Pytester) -> None:
    ran(pytester, SUITE, "--junitxml=junit.xml", "-k", "it_is_split")
    (case,) = ElementTree.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    assert {each.get("name"): each.get("value") for each in case.iter("property")} == {
        "mesh.feature": "traffic/split",
        "mesh.protocol": "http1",
        "mesh.api": "virtualservice",
        "mesh.number.requests_count": "600.0",
        "mesh.number.v2_ratio": "0.25",
    }


def test_a_job_of_githubs_gets_the_table(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    ran(pytester, SUITE, "-n", "2")
    summary = Path(pytester.path / "summary.md").read_text()
    assert summary.count("## Mesh conformance") == 1, "once, however many workers there are"
    assert "| traffic/split | ✅ VirtualService | ✅ HTTPRoute |  | ❌ TCPRoute |" in summary


def test_without_the_option_nothing_is_written_and_numbers_may_be_recorded(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    pytester.runpytest_inprocess("-k", "it_is_split").assert_outcomes(passed=1, deselected=8)
    assert not (pytester.path / "out").exists()


TWICE = """
    import pytest

    @pytest.mark.mesh_feature("traffic/split", protocol="tcp", api="none")
    def test_one(): pass

    @pytest.mark.mesh_feature("traffic/split", protocol="tcp", api="none")
    def test_other(): pass
"""
TYPO = """
    import pytest

    @pytest.mark.mesh_feature("traffic/split", protocol="http3", api="none")
    def test_one(): pass
"""


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        (
            TWICE,
            "test_{name}.py:6: test_other shows traffic/split over TCP by no resource, as test_one does (test_",
        ),
        (
            TYPO,
            "test_{name}.py:3: mesh_feature of test_one: unknown protocol 'http3'; known are http1, http2, grpc, tcp",
        ),
    ],
)
@pytest.mark.parametrize("processes", [(), ("-n", "1")])
def test_what_is_claimed_wrongly_ends_the_run_before_any_test(
    pytester: pytest.Pytester, suite: str, message: str, processes: tuple[str, ...]
) -> None:
    (pytester.path / "out").mkdir()
    (pytester.path / "out/conformance.json").write_text("of an earlier run")
    result = ran(pytester, suite, *processes)
    assert (pytester.path / "out/conformance.json").read_text() == "of an earlier run"
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    place = next(pytester.path.glob("test_*.py")).stem.removeprefix("test_")
    text = result.stderr.str() + result.stdout.str()
    assert message.format(name=place) in text
    assert "INTERNALERROR" not in text
    assert "passed" not in text


def test_a_folder_that_cannot_be_made_is_wrong_usage(pytester: pytest.Pytester) -> None:
    (pytester.path / "out").write_text("in its way")
    result = ran(pytester, SUITE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--mesh-conformance: cannot make out: File exists" in result.stderr.str()


def test_a_number_without_a_unit_fails_its_test(pytester: pytest.Pytester) -> None:
    suite = """
        def test_it(mesh_record):
            mesh_record(requests=600)
    """
    result = ran(pytester, suite)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*'requests' does not say its unit*"])

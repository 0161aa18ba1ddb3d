"""Bookinfo, from its manifests to its page; and each scenario, with what its file says to try and to see."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client.objects import objects_in
from mesh_lab.harness.results import parse_results
from mesh_lab.testing import Mesh, TrafficClient, assert_all

from .conftest import ROOT

APPS = ROOT / "manifests" / "apps"
SCENARIOS = ROOT / "manifests" / "scenarios"
PAGE = "http://productpage:9080/productpage"
REVIEWS = "http://productpage:9080/api/v1/products/0/reviews"


SAMPLES = ("bookinfo.yaml", "destination-rules.yaml", "echo.yaml", "traffic-client.yaml")
BROUGHT_ALONG = tuple(f"manifests/apps/{name}" for name in SAMPLES)


@pytest.fixture(scope="module")
def bookinfo(mesh_shared: Mesh) -> Mesh:
    for manifest in SAMPLES:
        mesh_shared.apply(APPS / manifest)
    mesh_shared.deploy_client()
    mesh_shared.ready()
    mesh_shared.wait_endpoints("reviews", 3)
    mesh_shared.wait_endpoints("echo", 2)
    return mesh_shared


@pytest.fixture
def client(bookinfo: Mesh) -> TrafficClient:
    return bookinfo.client()


def test_the_page_comes_with_details_and_reviews_of_every_version(client: TrafficClient) -> None:
    # At random one of three versions is missing from 60 answers once in ten thousand million runs.
    results = client.send(PAGE, 60, concurrency=3, show_body=True)
    assert_all(results)
    assert all("William Shakespeare" in result.body for result in results)
    assert set(results.counts("version")) == {"v1", "v2", "v3"}


def test_requests_are_sent_by_kubectl_exec_as_the_readme_says(bookinfo: Mesh) -> None:
    send = ("mesh-lab-app", "send", "--count", "100", "--concurrency", "10", "--show-body")
    printed = bookinfo.exec("deploy/client", *send, "http://reviews:9080/reviews/0", container="client")
    results = parse_results(printed.splitlines())
    assert_all(results)
    assert len(results) == 100
    assert set(results.counts("version")) == {"v1", "v2", "v3"}


# The scenarios. A file's comment names what it needs, the commands to try, and what they show; the test runs these
# commands, and the table below holds the outcome.


@dataclass(frozen=True)
class Guide:
    """What the comment of a scenario tells its reader."""

    needs: tuple[str, ...]
    commands: tuple[str, ...]
    outcome: str

    @classmethod
    def of(cls, scenario: Path) -> Guide:
        parts: dict[str, list[str]] = {"": []}
        label = ""
        for line in scenario.read_text(encoding="utf-8").splitlines():
            if not line.startswith("# "):
                break
            first, colon, rest = line[2:].partition(":")
            if colon and first in ("Needs", "Try", "See"):
                label, line = first, f"# {rest}"
            parts.setdefault(label, []).append(line[2:].strip())
        needs = tuple(word.strip(",.;") for word in " ".join(parts["Needs"]).split() if word.startswith("manifests/"))
        return cls(needs, tuple(parts["Try"]), " ".join(parts["See"]))


def run(mesh: Mesh, command: str, outside: str) -> str:
    """A command of a guide, in the test's namespaces instead of `default` and `outside`."""
    program, *words = shlex.split(command)
    assert program == "kubectl", command
    words = [word.replace("ratings.default:", f"ratings.{mesh.namespace}:") for word in words]
    words = [str(ROOT / word) if word.startswith("manifests/") else word for word in words]
    if words[:3] == ["create", "namespace", "outside"]:
        return ""  # the test has made it, so that it goes away with the test
    if words[:2] == ["-n", "outside"]:
        return mesh.api.try_kubectl("-n", outside, *words[2:]).stdout
    # Of requests that get no answer `send` ends with 1, which is what some scenarios are about.
    return mesh.api.try_kubectl("-n", mesh.namespace, *words).stdout


def settled(read: Callable[[], str]) -> str:
    """A log that has not grown for two seconds."""
    latest, since = read(), time.monotonic()
    deadline = since + 30
    while time.monotonic() - since < 2 and time.monotonic() < deadline:
        time.sleep(0.25)
        if (now := read()) != latest:
            latest, since = now, time.monotonic()
    return latest


def await_versions(mesh: Mesh, manifest: Path) -> None:
    """Until the Services that a scenario needs have their pods: a Service is no resource of the mesh to wait for."""
    for made in objects_in(manifest):
        if made["kind"] == "Service":
            mesh.wait_endpoints(made["metadata"]["name"], 1)


def summary(printed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])["summary"]
    return found


def statuses(printed: str) -> dict[str, int]:
    counted: dict[str, int] = summary(printed)["statuses"]
    return counted


def canary(printed: list[str]) -> None:
    versions = summary(printed[0])["versions"]
    assert versions["v1"] + versions["v3"] == 1000
    # Of a thousand at 0.1, fewer than 50 or more than 160 come once in a hundred million runs.
    assert 50 <= versions["v3"] <= 160


def header_routing(printed: list[str]) -> None:
    assert [summary(each)["versions"] for each in printed] == [{"v2": 20}, {"v1": 20}]


def authorization(printed: list[str]) -> None:
    assert [statuses(each) for each in printed] == [{"403": 1}, {"200": 1}]


def circuit_breaker(printed: list[str]) -> None:
    assert [statuses(each) for each in printed] == [{"200": 1}, {"200": 2, "503": 8}]


def fault_abort(printed: list[str]) -> None:
    served = statuses(printed[0])
    assert set(served) == {"200", "500"}
    assert 55 <= served["200"] <= 145, "half of 200: further off once in a thousand million runs"
    assert statuses(printed[1]) == {"200": 20}


def fault_delay(printed: list[str]) -> None:
    jason, others = (summary(each) for each in printed)
    assert jason["statuses"] == {"500": 1}
    assert 5900 <= jason["duration_ms"]["p50"] < 12000, "two attempts of three seconds each"
    assert others["statuses"] == {"200": 1}
    assert others["duration_ms"]["p50"] < 3000


def mirror(printed: list[str]) -> None:
    assert summary(printed[0])["versions"] == {"v1": 20}
    assert printed[1].count('"GET /reviews/0 ') == 20


def outlier_ejection(printed: list[str]) -> None:
    _, first, then = (statuses(each) for each in printed)
    assert 3 <= first["500"] <= 6
    assert then == {"200": 40}
    assert len(summary(printed[2])["versions"]) == 1


def retries(printed: list[str]) -> None:
    assert statuses(printed[0]) == {"200": 20}


def strict_mtls(printed: list[str]) -> None:
    *_, outside, within = printed
    assert statuses(outside) == {"reset": 1}
    assert statuses(within) == {"200": 1}


def timeout(printed: list[str]) -> None:
    found = summary(printed[0])
    assert found["statuses"] == {"504": 5}
    assert found["duration_ms"]["p50"] < 1500


OUTCOMES: dict[str, Callable[[list[str]], None]] = {
    "authorization": authorization,
    "canary-90-10": canary,
    "circuit-breaker": circuit_breaker,
    "fault-abort": fault_abort,
    "fault-delay": fault_delay,
    "header-routing": header_routing,
    "mirror": mirror,
    "outlier-ejection": outlier_ejection,
    "retries": retries,
    "strict-mtls": strict_mtls,
    "timeout": timeout,
}


GATEWAY_API = tuple(file.stem for file in sorted((SCENARIOS / "gateway-api").glob("*.yaml")))
"""The scenarios that are there in the words of the Gateway API, too: with the same outcome."""


def test_every_scenario_says_what_to_try_and_has_its_outcome_held() -> None:
    files = sorted(SCENARIOS.glob("*.yaml"))
    assert [file.stem for file in files] == sorted(OUTCOMES)
    assert set(GATEWAY_API) <= set(OUTCOMES)
    for file in sorted(SCENARIOS.glob("**/*.yaml")):
        guide = Guide.of(file)
        assert guide.commands, file
        assert guide.outcome, file
        assert all((ROOT / needed).is_file() for needed in guide.needs), guide.needs


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_scenario_shows_what_it_says(bookinfo: Mesh, outside: Mesh, name: str) -> None:
    shows_what_it_says(bookinfo, outside, SCENARIOS / f"{name}.yaml")


@pytest.mark.parametrize("name", GATEWAY_API)
def test_a_scenario_shows_the_same_in_the_words_of_the_gateway_api(
    gateway_api: None, bookinfo: Mesh, outside: Mesh, name: str
) -> None:
    shows_what_it_says(bookinfo, outside, SCENARIOS / "gateway-api" / f"{name}.yaml")


def shows_what_it_says(bookinfo: Mesh, outside: Mesh, scenario: Path) -> None:
    guide, name = Guide.of(scenario), scenario.stem
    with ExitStack() as applied:
        for needed in guide.needs:
            if needed not in BROUGHT_ALONG:
                applied.enter_context(bookinfo.applied(ROOT / needed))
                await_versions(bookinfo, ROOT / needed)
        applied.enter_context(bookinfo.applied(scenario))
        looks_into_log = guide.commands[-1].startswith("kubectl logs")

        def logged() -> str:
            # Copies are on their way when the answers are there, and Envoy writes its log once a second.
            return settled(lambda: run(bookinfo, guide.commands[-1], outside.namespace))

        earlier = set(logged().splitlines()) if looks_into_log else set()
        printed = [run(bookinfo, command, outside.namespace) for command in guide.commands]
        if looks_into_log:
            printed[-1] = "\n".join(line for line in logged().splitlines() if line not in earlier)
        try:
            OUTCOMES[name](printed)
        finally:
            if name == "outlier-ejection":
                # What it names for this is a `rollout restart`; this is quicker.
                for pod in ("deploy/echo-v1", "deploy/echo-v2"):
                    bookinfo.exec(pod, "mesh-lab-app", "send", "http://127.0.0.1:8080/behave", container="echo")

"""Rollouts: a right version gets all requests, a broken one is taken back, and one that is killed goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh_lab.client.objects import reference
from mesh_lab.errors import LabError
from mesh_lab.rollout.record import ANNOTATION
from mesh_lab.rollout.traffic import CLIENT
from mesh_lab.testing import (
    Mesh,
    Object,
    RunRollout,
    TrafficClient,
    assert_promoted,
    assert_rolled_back,
    destination_rule,
    eventually,
    route,
    run_rollout,
    to,
    virtual_service,
)

from . import gatewayapi

WANTED: dict[str, Any] = {"route": "virtualservice/echo", "stable": "v1", "canary": "v2", "url": "http://echo"}
QUICK = {**WANTED, "steps": [25, 50, 100]}


@pytest.fixture(scope="module")
def shop(canary: Mesh) -> Mesh:
    return canary


@pytest.fixture
def client(shop: Mesh) -> TrafficClient:
    return shop.client()


def split(**of_the_canary: Any) -> Object:
    """All requests go to v1; those to v2 may have headers that make them fail, as a broken release does."""
    canary = {**to("echo", "v2", 0, port=80), **of_the_canary}
    return virtual_service("echo", route(to("echo", "v1", 100, port=80), canary, retries={"attempts": 0}))


def failing(name: str, value: str) -> Object:
    return split(headers={"request": {"set": {name: value}}})


def present(shop: Mesh) -> Object:
    return shop.api.get(reference({**split(), "metadata": {"name": "echo", "namespace": shop.namespace}}))


def weights(shop: Mesh) -> list[int]:
    return [entry["weight"] for entry in present(shop)["spec"]["http"][0]["route"]]


def test_a_right_version_gets_all_requests_step_by_step(
    shop: Mesh, client: TrafficClient, record_property: Callable[[str, object], None]
) -> None:
    with shop.applied(split()):
        outcome = run_rollout(shop, client, WANTED)
        assert_promoted(outcome)
        record_property("seconds", round(sum(step.seconds for step in outcome.steps), 1))
        assert [step.weight for step in outcome.steps] == [0, 5, 10, 25, 50, 100]
        assert weights(shop) == [0, 100]
        assert ANNOTATION not in (present(shop)["metadata"].get("annotations") or {})


@pytest.mark.parametrize("broken", ["200:8,500:2", "503"], ids=["a fifth", "all"])
def test_a_broken_version_is_found_within_200_of_its_requests_and_taken_back(
    shop: Mesh, client: TrafficClient, broken: str
) -> None:
    with shop.applied(failing("x-echo-status", broken)):
        outcome = run_rollout(shop, client, WANTED)
        assert_rolled_back(outcome, at_step=1)
        assert outcome.steps[-1].trials <= 200
        assert weights(shop) == [100, 0]


def test_a_slow_version_is_taken_back(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(failing("x-echo-delay", "0.5")):
        outcome = run_rollout(shop, client, {**QUICK, "latency": {"p90": "400ms"}})
        assert_rolled_back(outcome, at_step=1)
        assert outcome.steps[-1].bad["latency p90"]
        assert not outcome.steps[-1].bad["success"]


def test_a_version_that_fails_more_often_than_the_stable_one_is_taken_back_though_its_limits_are_wide(
    shop: Mesh, client: TrafficClient
) -> None:
    wide = {"success": {"atLeast": "50%", "worseBy": "10%"}, "compare": {"times": 2, "worse": 5}}
    with shop.applied(failing("x-echo-status", "200:7,500:3")):
        outcome = run_rollout(shop, client, {**QUICK, **wide})
        assert_rolled_back(outcome)
        assert "more than 2 times as often as the stable version" in outcome.steps[-1].why
        assert weights(shop) == [100, 0]


def test_a_stable_version_that_is_broken_itself_ends_it_before_the_first_step(
    shop: Mesh, client: TrafficClient
) -> None:
    with shop.applied(split()):
        outcome = run_rollout(shop, client, {**QUICK, "requests": {"headers": {"x-echo-status": "500"}}})
        assert_rolled_back(outcome, at_step=0)
        assert weights(shop) == [100, 0]


def test_weights_that_are_not_in_force_for_the_client_are_no_rollout(shop: Mesh, outside: Mesh) -> None:
    stranger = outside.deploy_client("stranger")
    outside.ready()
    with shop.applied(split()):
        outcome = run_rollout(shop, stranger, {**QUICK, "url": f"http://echo.{shop.namespace}"})
        assert_rolled_back(outcome, at_step=0)
        assert "is not in force" in outcome.steps[-1].why


def test_the_fixture_leaves_a_verdict_and_plots(
    shop: Mesh, mesh_rollout: RunRollout, request: pytest.FixtureRequest
) -> None:
    with shop.applied(failing("x-echo-status", "500")):
        assert_rolled_back(mesh_rollout(QUICK), at_step=1)
    reports = Path(request.config.getoption("--mesh-reports")) / "rollout"
    (folder,) = reports.glob("*test_the_fixture_leaves_a_verdict_and_plots-1")
    found = json.loads((folder / "rollout.json").read_text())
    assert (found["verdict"], found["steps"][-1]["verdict"]) == ("rolled back", "bad")
    assert max(found["steps"][-1]["log_ratios"]["own"].values()) >= found["bounds"]["bad_above"]
    assert "plotly" in (folder / "report.html").read_text()
    assert not clients(shop)


def test_a_version_without_a_pod_is_refused_before_it_has_a_request(shop: Mesh, client: TrafficClient) -> None:
    shop.apply(destination_rule("echo", "v1", "v2", "v9"))
    nobody = virtual_service("echo", route(to("echo", "v1", 100, port=80), to("echo", "v9", 0, port=80)))
    with shop.applied(nobody):
        before = present(shop)
        with pytest.raises(LabError, match="v9 has no pod that is ready"):
            run_rollout(shop, client, {**QUICK, "canary": "v9"})
        assert present(shop)["metadata"].get("annotations") == before["metadata"].get("annotations")
    shop.apply(destination_rule("echo", "v1", "v2"))


@pytest.mark.usefixtures("gateway_api")
def test_the_weights_may_be_those_of_an_http_route(shop: Mesh, client: TrafficClient) -> None:
    shop.apply(gatewayapi.version_services())
    backends = [gatewayapi.backend("echo-v1", weight=100), gatewayapi.backend("echo-v2", weight=0)]
    arms = {
        "stable": {"name": "echo-v1", "version": "v1"},
        "canary": {"name": "echo-v2", "version": "v2"},
    }
    with shop.applied(gatewayapi.route("echo", gatewayapi.of_service("echo"), gatewayapi.rule(*backends))):
        assert_promoted(run_rollout(shop, client, {**QUICK, **arms, "route": "httproute/echo"}))


ROLLOUTS = Path(__file__).parents[2] / "manifests" / "rollouts"


def test_the_rollouts_that_the_lab_brings_end_as_they_say(mesh: Mesh) -> None:
    client = mesh.deploy_client()
    mesh.apply(ROLLOUTS / "shop.yaml")
    mesh.ready()
    mesh.wait_endpoints("shop", 3)
    right, broken = (yaml.safe_load((ROLLOUTS / name).read_text()) for name in ("right.yaml", "broken.yaml"))
    outcome = run_rollout(mesh, client, broken)
    assert_rolled_back(outcome, at_step=1)
    assert outcome.steps[-1].trials <= 200
    assert_promoted(run_rollout(mesh, client, {**right, "steps": [25, 50, 100]}))


def command(shop: Mesh, folder: Path, *more: str, **changes: Any) -> list[str]:
    file = folder / "rollout.yaml"
    file.write_text(yaml.safe_dump({**QUICK, "namespace": shop.namespace, **changes}))
    return [
        *(sys.executable, "-m", "mesh_lab.cli", "rollout", str(file), "-o", "json"),
        *("--kubeconfig", str(shop.api.kubeconfig), "--reports", str(folder / "report"), *more),
    ]


def clients(shop: Mesh) -> list[str]:
    """The pods of rollouts' own clients."""
    pods = [pod["metadata"] for pod in shop.api.list_all("v1", "Pod", shop.namespace)]
    return [meta["name"] for meta in pods if meta["name"].startswith(CLIENT) and "deletionTimestamp" not in meta]


def test_a_rollout_that_is_killed_goes_on_at_its_step(shop: Mesh, tmp_path: Path) -> None:
    with shop.applied(split()):
        slow = command(shop, tmp_path, requests={"rate": 100})
        with subprocess.Popen(slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            eventually(lambda: weights(shop) == [75, 25], timeout=60, why="the first step is written")
            process.kill()
        done = subprocess.run(command(shop, tmp_path), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["verdict"], found["resumed_at"]) == ("promoted", 1)
        assert [step["weight"] for step in found["steps"]] == [25, 50, 100]
        assert weights(shop) == [0, 100]


def test_a_second_rollout_is_refused_while_one_is_under_way_and_an_abort_ends_what_is_left(
    shop: Mesh, tmp_path: Path
) -> None:
    with shop.applied(split()):
        slow = command(shop, tmp_path, requests={"rate": 100})
        with subprocess.Popen(slow, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            eventually(lambda: weights(shop) == [75, 25], timeout=60, why="the first step is written")
            client = clients(shop)
            second = subprocess.run(slow, capture_output=True, text=True, timeout=60, check=False)
            assert clients(shop) == client, "the first one's client stays"
            assert process.poll() is None
            process.terminate()
            _, told = process.communicate(timeout=60)
        assert second.returncode == 1
        assert "a rollout to v2 is under way at step 1" in second.stderr
        assert process.returncode == 1
        assert "interrupted; the weights stay as they are" in told
        assert weights(shop) == [75, 25]
        assert not clients(shop)
        done = subprocess.run([*slow, "--abort"], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, weights(shop)) == (0, [100, 0])


def test_weights_that_somebody_changed_after_a_kill_are_not_gone_over(shop: Mesh, tmp_path: Path) -> None:
    with shop.applied(split()):
        slow = command(shop, tmp_path, requests={"rate": 100})
        with subprocess.Popen(slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            eventually(lambda: weights(shop) == [75, 25], timeout=60, why="the first step is written")
            process.kill()
        shop.apply(split())
        done = subprocess.run(command(shop, tmp_path), capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, weights(shop)) == (1, [100, 0])
        assert "v2 has not got its 25% any more" in done.stderr
        done = subprocess.run([*slow, "--abort"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert ANNOTATION not in (present(shop)["metadata"].get("annotations") or {})
        assert not clients(shop), "what the killed one has left is removed"


def test_a_dry_run_tells_the_steps_and_writes_nothing(shop: Mesh, tmp_path: Path) -> None:
    with shop.applied(split()):
        before = present(shop)
        asked = command(shop, tmp_path, "--dry-run")
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "step 3 of 3: 100% v2" in done.stdout
        assert present(shop) == before


def test_what_is_wrong_with_a_file_is_told_with_its_line(shop: Mesh, tmp_path: Path) -> None:
    with shop.applied(split()):
        wrong = command(shop, tmp_path, steps=[25, 20, 100])
        done = subprocess.run(wrong, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "steps[1]: 20 is not above 25 and at most 100" in done.stderr
        missing = command(shop, tmp_path, canary="v9")
        done = subprocess.run(missing, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "no rule of spec.http[].route[] leads to both v1 and v9" in done.stderr

"""Load runs: what one tells of the mesh that it was made in."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client.controlplane import choose, find
from mesh_lab.errors import LabError
from mesh_lab.harness.workloads import IMAGE_PREFIX
from mesh_lab.load import page
from mesh_lab.load.limits import parse
from mesh_lab.load.run import RUN, run
from mesh_lab.load.settings import Settings
from mesh_lab.testing import Mesh, destination_rule, route, to, virtual_service

pytestmark = [pytest.mark.mesh_exclusive, pytest.mark.timeout(180)]

RATE, SECONDS, WARM_UP = 40.0, 10.0, 2.0


@pytest.fixture(scope="module")
def plain(mesh_shared: Mesh) -> Settings:
    """An open model's settings on two versions of an echo server, from inside the mesh; the route is all to v1."""
    mesh_shared.deploy_echo("shop", ["v1", "v2"])
    mesh_shared.deploy_client()
    mesh_shared.ready()
    mesh_shared.wait_endpoints("shop", 2)
    mesh_shared.apply([_everywhere(destination_rule("shop", "v1", "v2")), _all_to("v1")])
    control_plane = choose(find(mesh_shared.api), "")
    return Settings(
        shape="steady",
        users=50,
        spawn_rate=50,
        duration=SECONDS,
        workers=2,
        target=f"http://shop.{mesh_shared.namespace}",
        max_p99_ms=None,
        max_error_ratio=0.0,
        ui=False,
        image_prefix=IMAGE_PREFIX,
        page=True,
        targeted=True,
        warm_up=WARM_UP,
        version_by="json:version",
        in_mesh=True,
        revision=control_plane.revision if control_plane else "",
        rate=RATE,
    )


def _all_to(version: str) -> dict[str, Any]:
    return _everywhere(virtual_service("shop", route(to("shop", version, 100))))


def _everywhere(resource: dict[str, Any]) -> dict[str, Any]:
    """The workers are in a namespace of their own."""
    return {**resource, "spec": {**resource["spec"], "exportTo": ["*"]}}


def _made(mesh: Mesh, settings: Settings, reports: Path, at_second: Callable[[int], None]) -> dict[str, Any]:
    seconds = 0

    def told(line: str) -> None:
        nonlocal seconds
        if "requests/s" in line:
            seconds += 1
            at_second(seconds)

    found = run(mesh.api, settings, reports, told)
    assert found is not None
    return found


def _nothing(_: int) -> None:
    """Nothing happens during the run."""


@pytest.fixture(scope="module")
def shifted(
    mesh_shared: Mesh, plain: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """A run during which all traffic is shifted from v1 to v2, and its folder."""
    reports = tmp_path_factory.mktemp("load")

    def shift(second: int) -> None:
        if second == int(WARM_UP + SECONDS / 2):
            mesh_shared.apply(_all_to("v2"))

    return _made(mesh_shared, plain, reports, shift), reports


def test_a_rate_is_kept_by_two_workers_and_every_task_has_its_answer(shifted: tuple[dict[str, Any], Path]) -> None:
    found, _ = shifted
    assert found["broken_limits"] == []
    assert found["requests_per_second"] == pytest.approx(RATE, rel=0.1)
    assert found["arrivals"]["due"] == pytest.approx(RATE * SECONDS, rel=0.15)
    assert found["dropped_ratio"] == 0


def test_the_change_of_a_route_is_marked_where_the_versions_change(shifted: tuple[dict[str, Any], Path]) -> None:
    found, _ = shifted
    (mark,) = [each for each in found["marks"] if "VirtualService" in each["resource"]]
    assert mark["what"] == "changed"
    assert mark["acknowledged"] is not None, mark["why"]
    start, before, after = 0, set(), set()
    for window in found["windows"]:
        end = start + window["seconds"]
        # Answers are counted when the workers report, up to a second and a half late.
        if end < mark["at"]:
            before |= set(window["versions"])
        elif start > mark["acknowledged"] + 2:
            after |= set(window["versions"])
        start = end
    assert (before, after) == ({"v1"}, {"v2"})


def test_the_proxies_usage_is_told_over_time_or_why_not(
    shifted: tuple[dict[str, Any], Path], mesh_shared: Mesh
) -> None:
    found, _ = shifted
    if found["usage_missing"]:
        pytest.skip(f"this cluster's kubelets do not tell: {found['usage_missing']}")
    pod = f"{mesh_shared.namespace}/{mesh_shared.pod('shop', 'v1')['metadata']['name']}"
    assert len(found["usage"][pod]) >= 2
    assert max(cores for _, cores, _ in found["usage"][pod]) > 0
    assert all(memory > 10_000_000 for _, _, memory in found["usage"][pod])


def test_the_report_opens_without_a_network(shifted: tuple[dict[str, Any], Path]) -> None:
    if lacking := page.missing():
        pytest.skip(f"no {', '.join(lacking)} here: mesh-lab[load] has it")
    text = (shifted[1] / "report.html").read_text(encoding="utf-8")
    assert "plotly" in text
    outside = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert re.findall(r"\b(?:src|href)=|url\(|@import", outside) == []
    assert re.findall(r"<script[^>]*\bsrc", text) == []
    assert "VirtualService" in outside


def test_the_folder_has_the_figures_as_json_and_csv(shifted: tuple[dict[str, Any], Path]) -> None:
    found, reports = shifted
    kept = json.loads((reports / "load.json").read_text(encoding="utf-8"))
    assert kept["settings"]["rate"] == RATE
    lines = list(csv.DictReader(io.StringIO((reports / "windows.csv").read_text(encoding="utf-8"))))
    assert len(lines) == len(found["windows"])
    assert {"p99_ms", "due", "late", "dropped", "share(v1)", "share(v2)"} <= set(lines[0])


def test_a_search_finds_the_rate_that_breaks_a_limit(mesh_shared: Mesh, plain: Settings, tmp_path: Path) -> None:
    searched = replace(
        plain, shape="breakpoint", rate=80.0, steps=4, duration=20.0, warm_up=0.0, limits=(parse("rps>30"),)
    )
    found = _made(mesh_shared, searched, tmp_path, _nothing)
    assert (found["breakpoint"]["held"], found["breakpoint"]["broke"]) == (20, 40)
    assert found["breakpoint"]["steps"][1]["broken"][0].startswith("rps>30: it is")
    assert found["broken_limits"] == []


@pytest.mark.parametrize(
    ("target", "name", "versions"),
    [
        ("tcp://shop.{}:9000", "shop.{}:9000", set()),
        ("grpc://shop.{}:81/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Check", {"v1", "v2"}),
    ],
)
def test_tcp_and_grpc_are_put_under_load_through_the_mesh(
    mesh_shared: Mesh, plain: Settings, tmp_path: Path, target: str, name: str, versions: set[str]
) -> None:
    found = _made(
        mesh_shared,
        replace(
            plain,
            target=target.format(mesh_shared.namespace),
            duration=4.0,
            warm_up=0.0,
            workers=1,
            version_by="header:x-echo-version",
        ),
        tmp_path,
        _nothing,
    )
    assert (found["failures"], found["exceptions"]) == (0, [])
    assert found["requests"] == pytest.approx(RATE * 4, rel=0.2)
    assert [each["name"] for each in found["endpoints"]] == [name.format(mesh_shared.namespace)]
    assert set(found["versions"]) <= versions
    assert bool(found["versions"]) == bool(versions)


@pytest.mark.parametrize(
    ("target", "why"),
    [("http://nobody.{}", "does not exist: no nobody"), ("tcp://shop.{}:9", "nothing at port 9")],
)
def test_a_target_that_is_not_there_is_refused_and_nothing_is_left(
    mesh_shared: Mesh, plain: Settings, tmp_path: Path, target: str, why: str
) -> None:
    absent = replace(plain, target=target.format(mesh_shared.namespace), in_mesh=False, workers=1)
    with pytest.raises(LabError, match=why) as refused:
        run(mesh_shared.api, absent, tmp_path, print)
    assert refused.value.exit_code == 2
    assert mesh_shared.api.find(RUN) is None
    assert list(tmp_path.iterdir()) == []

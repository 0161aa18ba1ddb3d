"""Settings that a running lab does not take over from a changed lab.toml are reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh_lab.clusters.base import report_changes, start_settings
from mesh_lab.settings import HostPort, Image, Internet, Kind, Lab, Settings, Site, Timeouts

STARTED = Settings(images={"me/shop": Image(["shop"])})


@pytest.mark.parametrize(
    ("now", "named"),
    [
        (STARTED, ""),
        (Settings(images=STARTED.images, timeouts=Timeouts(ready=5)), ""),
        (Settings(images={"me/shop": Image(["shop"], args=["--new"])}), "images"),
        (Settings(host_ports=[HostPort("default", "productpage", 9080, 9080)]), "images, host_ports"),
        (Settings(images=STARTED.images, timeouts=Timeouts(stop=5)), "timeouts.stop"),
    ],
)
def test_changed_settings_that_need_a_new_start_are_named(tmp_path: Path, now: Settings, named: str) -> None:
    lines: list[str] = []
    report_changes(Lab(now, tmp_path), start_settings(Lab(STARTED, tmp_path)), lines.append)
    effect = "settings (lab.toml, variables, options) have changed since the lab was started, which has no effect yet"
    assert lines == ([f"{effect}: {named}; `mesh-lab down`, then `mesh-lab up` applies it"] if named else [])


def test_on_kind_the_settings_of_the_nodes_need_a_new_start(tmp_path: Path) -> None:
    lines: list[str] = []
    old, new = (Lab(Settings(cluster="kind", kind=Kind(nodes=nodes)), tmp_path) for nodes in (1, 2))
    report_changes(new, start_settings(old), lines.append)
    (line,) = lines
    assert "kind.nodes; `mesh-lab down --cluster kind`" in line


@pytest.mark.parametrize(
    "settings",
    [
        Settings(internet=Internet(hosts={"db.example.net": Site(http=(), tcp=(5432,))})),
        Settings(cluster="kind", kind=Kind(zones=("a", "b"))),
    ],
)
def test_settings_read_back_from_a_record_have_not_changed(tmp_path: Path, settings: Settings) -> None:
    lines: list[str] = []
    lab = Lab(settings, tmp_path)
    report_changes(lab, json.loads(json.dumps(start_settings(lab))), lines.append)
    assert lines == []


def test_a_record_of_an_older_version_reports_no_changes(tmp_path: Path) -> None:
    lines: list[str] = []
    report_changes(Lab(STARTED, tmp_path), {}, lines.append)
    assert lines == []

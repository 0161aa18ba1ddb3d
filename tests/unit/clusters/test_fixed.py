"""What a running lab does not pick up from a changed lab.toml is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.clusters.fixed import fixed, report_changes
from mesh_lab.settings import HostPort, Image, Kind, Lab, Settings, Timeouts

STARTED = Settings(images={"me/shop": Image(["shop"])})


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (STARTED, ""),
        (Settings(images=STARTED.images, timeouts=Timeouts(ready=5)), ""),
        (Settings(images={"me/shop": Image(["shop"], args=["--new"])}), "images"),
        (Settings(host_ports=[HostPort("default", "productpage", 9080, 9080)]), "images, host_ports"),
        (Settings(images=STARTED.images, timeouts=Timeouts(stop=5)), "timeouts.stop"),
    ],
)
def test_settings_that_take_a_new_start_are_named_when_they_changed(tmp_path: Path, now: Settings, told: str) -> None:
    lines: list[str] = []
    report_changes(Lab(now, tmp_path), fixed(Lab(STARTED, tmp_path)), lines.append)
    effect = "lab.toml has changed since the lab was started, which has no effect yet"
    assert lines == ([f"{effect}: {told}; `mesh-lab down`, then `mesh-lab up` applies it"] if told else [])


def test_on_kind_it_is_what_the_nodes_are_made_of(tmp_path: Path) -> None:
    lines: list[str] = []
    old, new = (Lab(Settings(cluster="kind", kind=Kind(nodes=nodes)), tmp_path) for nodes in (1, 2))
    report_changes(new, fixed(old), lines.append)
    (line,) = lines
    assert "kind.nodes; `mesh-lab down --cluster kind`" in line


def test_a_lab_that_an_older_version_started_says_nothing(tmp_path: Path) -> None:
    lines: list[str] = []
    report_changes(Lab(STARTED, tmp_path), {}, lines.append)
    assert lines == []

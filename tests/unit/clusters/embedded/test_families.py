"""What keeps a machine from having IPv6 is found, and told with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.clusters.embedded import families


def machine(root: Path, disabled: str) -> Path:
    switch = root / "proc/sys/net/ipv6/conf/all/disable_ipv6"
    switch.parent.mkdir(parents=True)
    switch.write_text(f"{disabled}\n")
    return root


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "_has_sockets", lambda: True)


@pytest.mark.usefixtures("sockets")
def test_a_machine_with_ipv6_has_no_obstacle(tmp_path: Path) -> None:
    assert families.obstacles(machine(tmp_path, "0")) == []


@pytest.mark.usefixtures("sockets")
def test_ipv6_that_is_switched_off_is_told_with_the_switch(tmp_path: Path) -> None:
    (found,) = families.obstacles(machine(tmp_path, "1"))
    assert "switched off" in found.what
    assert "sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0" in found.remedy


def test_a_kernel_without_ipv6_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = families.obstacles(tmp_path)
    assert "kernel has no IPv6" in found.what
    monkeypatch.setattr(families, "_has_sockets", lambda: False)
    assert families.obstacles(machine(tmp_path / "other", "0")) == [found]

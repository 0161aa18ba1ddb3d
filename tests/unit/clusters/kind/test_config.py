"""The configuration for kind says what the settings say."""

from __future__ import annotations

from mesh_lab.clusters.kind.config import config
from mesh_lab.settings import Kind

PORTS = {"api": 6443, "http": 8080, "https": 8443}


def test_two_families_are_kinds_own_setting_and_one_is_its_default() -> None:
    usual, dual = (config("lab", Kind(), PORTS, "", ip_family=family)["networking"] for family in ("ipv4", "dual"))
    assert "ipFamily" not in usual
    assert dual == usual | {"ipFamily": "dual"}

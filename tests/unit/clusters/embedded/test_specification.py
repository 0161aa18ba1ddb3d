"""What the lab's settings become for its first process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.clusters.embedded import specification
from mesh_lab.settings import FILE_NAME, load


def described(directory: Path, text: str) -> dict[str, Any]:
    (directory / FILE_NAME).write_text(text, encoding="utf-8")
    return specification.describe(load(directory, {}), {}, ("kube",), "/source")


@pytest.mark.parametrize(("family", "ipv6"), [("ipv4", None), ("dual", {})])
def test_a_lab_of_two_families_has_ipv6(tmp_path: Path, family: str, ipv6: object) -> None:
    assert described(tmp_path, f'ip_family = "{family}"')["kube"]["ipv6"] == ipv6


def test_further_services_of_the_host_come_after_the_gateways_ports(tmp_path: Path) -> None:
    entry = '[[host_ports]]\nhost_port = 9000\nnamespace = "shop"\nservice = "db"\nport = 5432\n'
    made = described(tmp_path, entry)
    assert [each["port"] for each in made["kube"]["host_ports"]] == [80, 443, 5432]
    assert made["kube"]["host_ports"][-1] == {
        "namespace": "shop",
        "service": "db",
        "port": 5432,
        "label": "host_ports[0]",
    }
    assert made["ports"]["host_ports[0]"] == 9000

"""The ingress Service's ports are those under which the host's loopback answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.install.ingress import DEMO_PORTS, manifest
from mesh_lab.install.recipes import MANIFESTS
from mesh_lab.publishedports import marked

GATEWAY = MANIFESTS / "mesh" / "gateway.yaml"


def service(tmp_path: Path, **host_ports: int) -> dict[str, Any]:
    objects = json.loads(manifest(GATEWAY, tmp_path, host_ports).read_text())["items"]
    (found,) = [obj for obj in objects if obj["kind"] == "Service"]
    return found


def ports(tmp_path: Path, **host_ports: int) -> dict[str, tuple[int, int]]:
    return {p["name"]: (p["port"], p["targetPort"]) for p in service(tmp_path, **host_ports)["spec"]["ports"]}


def test_the_ports_that_tutorials_ask_for_have_the_labs_numbers_and_istios_stay(tmp_path: Path) -> None:
    assert ports(tmp_path, api=6443, http=8080, https=8443) == {
        "http2": (8080, 8080),
        "http2-80": (80, 8080),
        "https": (8443, 8443),
        "https-443": (443, 8443),
        "status-port": (15021, 15021),
    }


def test_the_labs_own_numbers_are_marked_and_istios_are_not(tmp_path: Path) -> None:
    assert marked(service(tmp_path, api=6443, http=8080, https=443)["metadata"]) == {8080}
    assert marked(service(tmp_path, http=80, https=443)["metadata"]) == frozenset()


def test_the_ports_protocols_are_told_by_their_names(tmp_path: Path) -> None:
    """istioctl describe shows the way in as `http://`."""
    assert not any("appProtocol" in port for port in service(tmp_path, http=8080)["spec"]["ports"])


@pytest.mark.parametrize("host_ports", [{"http": 80, "https": 443}, {}])
def test_istios_own_numbers_need_no_others(tmp_path: Path, host_ports: dict[str, int]) -> None:
    assert {name: port[0] for name, port in ports(tmp_path, **host_ports).items()} == {
        "status-port": 15021,
        "http2": 80,
        "https": 443,
    }


def test_a_number_is_listed_once_and_the_labs_own_goes_first(tmp_path: Path) -> None:
    found = ports(tmp_path, http=15021, https=80)
    assert {name: port[0] for name, port in found.items()} == {"http2": 15021, "https": 80, "https-443": 443}


def test_istioctl_is_told_that_two_numbers_of_a_port_are_meant(tmp_path: Path) -> None:
    objects = json.loads(manifest(GATEWAY, tmp_path, {"http": 8080}).read_text())["items"]
    (deployment,) = [obj for obj in objects if obj["kind"] == "Deployment"]
    assert deployment["metadata"]["annotations"] == {"galley.istio.io/analyze-suppress": "IST0137"}


def test_all_else_stays_as_it_is(tmp_path: Path) -> None:
    objects = json.loads(manifest(GATEWAY, tmp_path, {"http": 1}).read_text())["items"]
    assert [obj["kind"] for obj in objects] == ["ServiceAccount", "Service", "Deployment"]
    assert objects[1]["spec"]["type"] == "LoadBalancer"


def test_the_profile_demo_has_a_port_for_tcp_by_the_labs_number_and_one_for_tls(tmp_path: Path) -> None:
    file = manifest(GATEWAY, tmp_path, {"http": 80, "https": 443, "tcp": 4000}, DEMO_PORTS)
    (made,) = [obj for obj in json.loads(file.read_text())["items"] if obj["kind"] == "Service"]
    found = {p["name"]: (p["port"], p["targetPort"]) for p in made["spec"]["ports"]}
    assert found["tcp"] == (4000, 31400)
    assert found["tcp-31400"] == (31400, 31400)
    assert found["tls"] == (15443, 15443)

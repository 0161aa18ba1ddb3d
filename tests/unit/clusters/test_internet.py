"""The names outside of the cluster: those of Istio's tasks, changed and extended by lab.toml."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from mesh_lab.clusters.embedded.internet import MOST_SITES, RANGE, SITES, sites
from mesh_lab.errors import LabError
from mesh_lab.kube.config import Site as KubeSite
from mesh_lab.settings import Internet, Site, load


def named(settings: Internet, directory: Path) -> dict[str, KubeSite]:
    found = sites(settings, directory)
    assert found is not None
    return {site["name"]: KubeSite(**site) for site in found}


def test_the_names_of_the_tasks_are_there_each_with_an_address_of_its_own(tmp_path: Path) -> None:
    found = named(Internet(), tmp_path)
    assert set(found) == set(SITES)
    first = [IPv4Address(site.addresses[0]) for site in found.values()]
    assert len(set(first)) == len(first)
    assert all(address in RANGE for address in first)
    assert found["httpbin.org"].serves == "httpbin"
    assert (found["edition.cnn.com"].http, found["edition.cnn.com"].https) == ((80,), (443,))


def test_lab_toml_adds_changes_and_removes_names_and_no_other_gets_another_address(tmp_path: Path) -> None:
    before = named(Internet(), tmp_path)
    (tmp_path / "here").mkdir()
    hosts = {
        "httpbin.org": Site(serves="nothing"),
        "www.google.com": Site(title="Other"),
        "own.example": Site(serves="files", root="here", addresses=("203.0.113.7",), tcp=(9000,)),
    }
    after = named(Internet(hosts=hosts), tmp_path)
    assert set(after) == set(before) - {"httpbin.org"} | {"own.example"}
    assert after["www.google.com"].title == "Other"
    assert after["own.example"].root == str(tmp_path / "here")
    assert after["own.example"].addresses[1:] == ("203.0.113.7",)
    kept = set(after) & set(before)
    assert {name: after[name].addresses for name in kept} == {name: before[name].addresses for name in kept}


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    assert sites(Internet(enabled=False), tmp_path) is None


@pytest.mark.parametrize(
    ("site", "told"),
    [
        (Site(addresses=("10.96.0.7",)), '"a.example".addresses: 10.96.0.7 is not an address of the internet'),
        (Site(addresses=("300.0.0.1",)), '"a.example".addresses: 300.0.0.1 is not an IPv4 address'),
        (Site(addresses=("198.18.1.1",)), '"a.example".addresses: 198.18.1.1 is already that of httpbin.org'),
        (Site(serves="files", root="nowhere"), "nowhere is not a directory"),
    ],
)
def test_what_cannot_be_had_is_refused(tmp_path: Path, site: Site, told: str) -> None:
    with pytest.raises(LabError) as failure:
        sites(Internet(hosts={"a.example": site}), tmp_path)
    assert told in failure.value.message


def test_what_cannot_be_had_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('[internet.hosts."a.example"]\nserves = "files"\nroot = "nowhere"\n')
    with pytest.raises(LabError, match=r'lab\.toml:3: internet\.hosts\."a\.example"\.root: .*nowhere is not'):
        sites(load(tmp_path, {}).settings.internet, tmp_path)


def test_too_many_names_are_refused(tmp_path: Path) -> None:
    hosts = {f"n{number}.example": Site() for number in range(MOST_SITES)}
    with pytest.raises(LabError, match="too many"):
        sites(Internet(hosts=hosts), tmp_path)

"""What keeps a machine from giving namespaces is found in its files."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from mesh_lab.clusters.embedded import namespaces


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> str:
    """Be an ordinary user in the eyes of the module; the user's name."""
    monkeypatch.setattr(namespaces, "rootless", lambda: True)
    return pwd.getpwuid(os.geteuid()).pw_name


def machine(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def programs(root: Path, *names: str) -> dict[str, str]:
    directory = root / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).touch(mode=0o755)
    return {"PATH": str(directory)}


def obstacles(root: Path, user: str, **files: str) -> list[namespaces.Obstacle]:
    ids = {"etc__subuid": f"{user}:100000:65536\n", "etc__subgid": f"{user}:100000:65536\n"}
    return namespaces.obstacles(machine(root, **(ids | files)), programs(root, *namespaces.PACKAGES))


def test_a_machine_that_allows_namespaces_has_no_obstacle(tmp_path: Path, ordinary: str) -> None:
    assert obstacles(tmp_path, ordinary) == []


@pytest.mark.parametrize(
    ("file", "content", "what", "remedy"),
    [
        (
            "proc__sys__kernel__apparmor_restrict_unprivileged_userns",
            "1\n",
            "AppArmor",
            "apparmor_restrict_unprivileged_userns=0",
        ),
        ("proc__sys__kernel__unprivileged_userns_clone", "0\n", "reserved for root", "unprivileged_userns_clone=1"),
        ("proc__sys__user__max_user_namespaces", "0\n", "switched off", "max_user_namespaces=15000"),
        ("etc__subuid", "somebody:100000:65536\n", "no range of 65536 subordinate ids in /etc/subuid", "usermod"),
        ("etc__subgid", "", "no range of 65536 subordinate ids in /etc/subgid", "usermod"),
    ],
)
def test_an_obstacle_comes_with_its_remedy(
    tmp_path: Path, ordinary: str, file: str, content: str, what: str, remedy: str
) -> None:
    (obstacle,) = obstacles(tmp_path, ordinary, **{file: content})
    assert what in obstacle.what
    assert remedy in obstacle.remedy


def test_a_range_of_ids_may_be_given_by_user_number(tmp_path: Path, ordinary: str) -> None:
    by_number = f"{os.geteuid()}:100000:65536\n"
    assert obstacles(tmp_path, ordinary, etc__subuid=by_number, etc__subgid=by_number) == []


def test_a_free_range_of_ids_is_proposed(tmp_path: Path, ordinary: str) -> None:
    others = "ann:100000:65536\nbob:165536:65536\n"
    (obstacle,) = obstacles(tmp_path, ordinary, etc__subuid=others, etc__subgid="ann:100000:65536\nbob:200000:65536\n")
    assert f"--add-subuids 265536-331071 --add-subgids 265536-331071 {ordinary}" in obstacle.remedy


@pytest.mark.parametrize("closed", ["lab", "lab/main.py"])
def test_a_directory_that_containers_may_not_read_is_named(
    tmp_path: Path, ordinary: str, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """As after a `git clone` with umask 077: they run as other users, and none of them would start."""
    place = tmp_path / "my lab" / "lab"
    place.mkdir(parents=True)
    (place / "main.py").touch(mode=0o644)
    samples = {str(place): (f"{place}/main.py", f"{place}/not-there")}
    monkeypatch.setattr(namespaces, "_samples", lambda: samples)
    assert obstacles(tmp_path, ordinary) == []
    (tmp_path / "my lab" / closed).chmod(0o700)
    (obstacle,) = obstacles(tmp_path, ordinary)
    assert f"which may not read {place}" in obstacle.what
    assert obstacle.remedy == f"chmod -R go+rX '{place}'"


def test_containers_see_the_package_and_not_the_checkout_around_it() -> None:
    checkout = Path(namespaces.__file__).parents[4]
    shared = [Path(each) for each in namespaces.shared_directories()]
    assert checkout / "lab" / "mesh_lab" in shared
    assert not any(checkout.is_relative_to(each) for each in shared if each != Path("/usr"))


def test_missing_programs_are_named_with_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "SYSTEM_PATH", ())
    assert namespaces.missing_programs(
        namespaces.search_path(programs(tmp_path, "ip", "unshare", "setpriv", "newgidmap")), user_namespace=True
    ) == ["nft", "newuidmap"]
    monkeypatch.setattr(namespaces.shutil, "which", lambda name: name if name == "apt-get" else None)
    assert namespaces.install_command(["nft", "newuidmap"]) == "sudo apt-get install -y nftables uidmap"


def test_root_needs_no_map_of_users() -> None:
    assert namespaces.missing_programs("/nowhere", user_namespace=False) == ["nft", "ip", "unshare", "setpriv"]
    assert "--user" not in namespaces.isolate(["true"], user_namespace=False)
    assert namespaces.isolate(["true"], user_namespace=True)[-2:] == ["--", "true"]


def test_directories_of_the_system_come_after_the_users_own() -> None:
    assert namespaces.search_path({"PATH": "/a:/usr/bin"}).split(":")[:2] == ["/a", "/usr/bin"]
    assert "/usr/sbin" in namespaces.search_path({}).split(":")

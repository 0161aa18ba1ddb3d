"""Volumes show ConfigMaps, Secrets, fields of the pod and tokens, and follow their changes."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.kube.errors import not_found
from mesh_lab.kube.node.env import ConfigProblem, Surroundings
from mesh_lab.kube.node.files import volumes
from mesh_lab.kube.node.files.volumes import MountProblem, PodVolumes
from mesh_lab.kube.objects.containers import VolumeMount
from tests.unit.kube.node.pods import container, typed_pod


class Issuer:
    """Numbers its tokens, which live for `life` seconds."""

    def __init__(self, life: float = 3600) -> None:
        self.life = life
        self.issued: list[dict[str, Any]] = []
        self.fails = False

    def issue(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Iterable[str] = (),
        expires_s: int = 3600,
        pod: tuple[str, str] | None = None,
    ) -> tuple[str, datetime]:
        if self.fails:
            raise not_found("serviceaccounts", service_account)
        self.issued.append({"account": service_account, "audiences": tuple(audiences), "s": expires_s, "pod": pod})
        return f"token-{len(self.issued)}", datetime.now(UTC) + timedelta(seconds=self.life)


class World:
    """ConfigMaps and Secrets by name."""

    def __init__(self) -> None:
        self.config_maps: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, Any]] = {}

    def around(self) -> Surroundings:
        return Surroundings(
            config_map=lambda _, name: self.config_maps.get(name),
            secret=lambda _, name: self.secrets.get(name),
            services=(),
            pod_ips=(),
            host_ips=(),
            node_name="lab",
            allocatable={"cpu": Decimal(1)},
        )


def files(directory: Path) -> dict[str, str]:
    """The visible files of a volume, by their paths in it."""
    found: dict[str, str] = {}
    for entry in directory.iterdir():
        if entry.name.startswith(".."):
            continue
        below = files(entry) if entry.is_dir() else {"": entry.read_text()}
        found |= {f"{entry.name}/{path}".rstrip("/"): text for path, text in below.items()}
    return found


def set_up(path: Path, world: World, *sources: dict[str, Any], issuer: Issuer | None = None, **spec: Any) -> PodVolumes:
    pod = typed_pod(volumes=[{"name": "v", **source} for source in sources], **spec)
    made = PodVolumes(pod, path, issuer or Issuer())
    made.set_up(pod, world.around())
    return made


def test_a_config_map_with_items_and_modes(tmp_path: Path) -> None:
    world = World()
    world.config_maps["m"] = {"data": {"a": "1", "b": "2"}, "binaryData": {"c": base64.b64encode(b"3").decode()}}
    set_up(tmp_path, world, {"configMap": {"name": "m"}})
    assert files(tmp_path / "volumes" / "v") == {"a": "1", "b": "2", "c": "3"}
    items = [{"key": "a", "path": "deep/file", "mode": 0o400}]
    set_up(tmp_path / "2", world, {"configMap": {"name": "m", "items": items}})
    assert files(tmp_path / "2" / "volumes" / "v") == {"deep/file": "1"}
    assert (tmp_path / "2" / "volumes" / "v" / "deep" / "file").stat().st_mode & 0o777 == 0o400


def test_changes_reach_the_files(tmp_path: Path) -> None:
    world = World()
    world.config_maps["m"] = {"data": {"a": "1"}}
    made = set_up(tmp_path, world, {"configMap": {"name": "m"}})
    assert made.mentions("configmaps", "m")
    assert not made.mentions("secrets", "m")
    world.config_maps["m"] = {"data": {"b": "2"}}
    made.set_up(typed_pod(volumes=[{"name": "v", "configMap": {"name": "m"}}]), world.around())
    assert files(tmp_path / "volumes" / "v") == {"b": "2"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMap": {"name": "none"}}, 'MountVolume.SetUp failed for volume "v" : configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'MountVolume.SetUp failed for volume "v" : secret "none" not found'),
        (
            {"configMap": {"name": "m", "items": [{"key": "x", "path": "x"}]}},
            "references non-existent key: x",
        ),
        ({"hostPath": {"path": "/"}}, "of a kind that the lab does not have"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, source: dict[str, Any], message: str) -> None:
    world = World()
    world.config_maps["m"] = {"data": {"a": "1"}}
    with pytest.raises(MountProblem) as problem:
        set_up(tmp_path, world, source)
    assert message in str(problem.value)


def test_optional_sources_may_be_missing(tmp_path: Path) -> None:
    set_up(tmp_path, World(), {"configMap": {"name": "none", "optional": True}})
    assert files(tmp_path / "volumes" / "v") == {}


def test_an_empty_dir_is_writable_and_keeps_its_content(tmp_path: Path) -> None:
    made = set_up(tmp_path, World(), {"emptyDir": {}})
    directory = tmp_path / "volumes" / "v"
    assert directory.stat().st_mode & 0o777 == 0o777
    (directory / "file").write_text("kept")
    made.set_up(typed_pod(volumes=[{"name": "v", "emptyDir": {}}]), World().around())
    assert files(directory) == {"file": "kept"}
    assert not made.is_read_only("v")


def test_tokens_are_renewed_at_four_fifths_of_their_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Issuer(life=1000)
    source = {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "ca"}}]}}
    made = set_up(tmp_path, World(), source, issuer=issuer)
    assert issuer.issued[0]["audiences"] == ("ca",)
    assert 795 < made.renew_at - time.monotonic() < 801

    def again(seconds: float) -> str:
        now = time.monotonic() + seconds
        with monkeypatch.context() as patch:
            patch.setattr(volumes.time, "monotonic", lambda: now)
            made.set_up(typed_pod(volumes=[{"name": "v", **source}]), World().around())
        return files(tmp_path / "volumes" / "v")["t"]

    assert again(790) == "token-1"
    issuer.fails = True
    assert again(810) == "token-1"  # what cannot be renewed serves on, and is tried again
    issuer.fails = False
    assert again(850) == "token-2"


def test_fields_and_resources_as_files(tmp_path: Path) -> None:
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "a", "resource": "limits.cpu", "divisor": "1m"}},
    ]
    limited = container("a", resources={"limits": {"cpu": "250m"}})
    pod = typed_pod(limited, volumes=[{"name": "v", "downwardAPI": {"items": items}}])
    PodVolumes(pod, tmp_path, Issuer()).set_up(pod, World().around())
    assert files(tmp_path / "volumes" / "v")["labels"].startswith('app="web"')
    assert files(tmp_path / "volumes" / "v")["cpu"] == "250"


@pytest.mark.parametrize("path", ["../up", "/etc", "a/../../b"])
def test_a_sub_path_may_not_leave_its_volume(tmp_path: Path, path: str) -> None:
    made = set_up(tmp_path, World(), {"emptyDir": {}})
    with pytest.raises(ConfigProblem, match="must be a relative path"):
        made.source(VolumeMount(name="v", mount_path="/m"), path)


def test_directories_of_a_sub_path_are_not_made_through_a_symbolic_link(tmp_path: Path) -> None:
    made = set_up(tmp_path, World(), {"emptyDir": {}})
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "volumes" / "v" / "link").symlink_to(outside)
    made.source(VolumeMount(name="v", mount_path="/m"), "link/made")
    made.source(VolumeMount(name="v", mount_path="/m"), "real/made")
    assert list(outside.iterdir()) == []
    assert (tmp_path / "volumes" / "v" / "real" / "made").is_dir()

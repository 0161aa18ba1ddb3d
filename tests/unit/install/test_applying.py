"""Manifests are applied again only where they, or what was made of them, have changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.kubectl import Applied, Kubectl
from mesh_lab.errors import LabError
from mesh_lab.install.applying import RECORD, Applying

DEPLOYMENT = Applied("Deployment", "default", "echo", "apps/v1")
SERVICE = Applied("Service", "default", "echo", "v1")


class Cluster:
    """A cluster's API and kubectl in one: what is applied is there, and each application is counted."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {
            ("apps/v1", "Deployment"): {"uid": "d", "generation": 1, "resourceVersion": "5", "labels": {"app": "echo"}},
            ("v1", "Service"): {"uid": "s", "resourceVersion": "6"},
        }
        self.applications = 0
        self.broken = False

    def apply(self, files: Sequence[Path]) -> list[Applied]:
        self.applications += 1
        if self.broken:
            raise LabError("kubectl failed")
        return [DEPLOYMENT, SERVICE]

    def path(self, api_version: str, kind: str) -> str:
        return f"{api_version} {kind}"

    def request(self, _method: str, path: str, **_: Any) -> Any:
        api_version, kind = path.split()
        metadata = self.objects.get((api_version, kind))
        if metadata is None:
            raise ApiError(404, "not found")
        return {"items": [{"metadata": {"namespace": "default", "name": "echo", **metadata}}]}

    def change(self, kind: str, **metadata: object) -> None:
        ((key, before),) = ((key, each) for key, each in self.objects.items() if key[1] == kind)
        self.objects[key] = before | metadata


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "manifests").mkdir()
    file = tmp_path / "manifests" / "echo.yaml"
    file.write_text("kind: Deployment\n")
    return file


def run(cluster: Cluster, directory: Path, *files: Path) -> list[Applied]:
    """An `up`: apply, become ready, record."""
    applying = Applying(cast("Kubectl", cluster), cast("Api", cluster), directory)
    applied = applying.apply("samples", files)
    applying.record()
    return applied


def test_what_is_as_it_was_is_not_applied_again(cluster: Cluster, manifest: Path, tmp_path: Path) -> None:
    first = run(cluster, tmp_path, manifest)
    # A status is written: that is no change of what was applied.
    cluster.change("Deployment", resourceVersion="9")
    assert run(cluster, tmp_path, manifest) == first == [DEPLOYMENT, SERVICE]
    assert cluster.applications == 1


CHANGES: dict[str, Callable[[Cluster], object]] = {
    "another object of the name": lambda cluster: cluster.change("Deployment", uid="other"),
    "a changed spec": lambda cluster: cluster.change("Deployment", generation=2),
    "a changed label": lambda cluster: cluster.change("Deployment", labels={"app": "other"}),
    "a changed annotation": lambda cluster: cluster.change("Deployment", annotations={"x": "y"}),
    "a changed object of a kind without generations": lambda cluster: cluster.change("Service", resourceVersion="7"),
    "an object that is gone": lambda cluster: cluster.change("Service", name="another"),
    "a kind that is gone": lambda cluster: cluster.objects.pop(("apps/v1", "Deployment")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_has_changed_is_applied_again(
    cluster: Cluster, manifest: Path, tmp_path: Path, change: Callable[[Cluster], object]
) -> None:
    applying = Applying(cast("Kubectl", cluster), cast("Api", cluster), tmp_path)
    applying.apply("samples", [manifest])
    applying.record()
    change(cluster)
    Applying(cast("Kubectl", cluster), cast("Api", cluster), tmp_path).apply("samples", [manifest])
    assert cluster.applications == 2


def test_a_changed_manifest_is_applied(cluster: Cluster, manifest: Path, tmp_path: Path) -> None:
    run(cluster, tmp_path, manifest.parent)
    manifest.write_text("kind: Deployment # changed\n")
    run(cluster, tmp_path, manifest.parent)
    manifest.with_name("further.yaml").write_text("kind: Service\n")
    run(cluster, tmp_path, manifest.parent)
    run(cluster, tmp_path, manifest.parent)
    assert cluster.applications == 3


def test_what_was_not_ready_is_applied_again(cluster: Cluster, manifest: Path, tmp_path: Path) -> None:
    run(cluster, tmp_path, manifest)
    cluster.change("Deployment", generation=2)
    cluster.broken = True
    with pytest.raises(LabError, match="kubectl failed"):
        run(cluster, tmp_path, manifest)
    # As it was at first: but half of a failed application may be in the cluster.
    cluster.change("Deployment", generation=1)
    cluster.broken = False
    run(cluster, tmp_path, manifest)
    assert cluster.applications == 3


@pytest.mark.parametrize("text", ["", "{", '{"samples": 3}', '{"samples": {"digest": "x", "objects": [{}]}}'])
def test_a_record_that_cannot_be_read_is_none(cluster: Cluster, manifest: Path, tmp_path: Path, text: str) -> None:
    run(cluster, tmp_path, manifest)
    (tmp_path / RECORD).write_text(text)
    run(cluster, tmp_path, manifest)
    assert cluster.applications == 2

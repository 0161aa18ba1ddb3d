"""Kustomizations, rendered by the real kubectl, and charts, by a stand-in of helm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client.objects import Object
from mesh_lab.errors import LabError
from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.rendering import chart, is_rendered, rendered

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"


class Recorder:
    """An API that keeps what is applied."""

    def __init__(self) -> None:
        self.applied: list[Object] = []

    def apply(self, obj: Object) -> Object:
        self.applied.append(obj)
        return obj


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "deploy"
    made.mkdir()
    (made / "settings.yaml").write_text(CONFIG_MAP)
    return made


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A helm that prints a ConfigMap with its arguments and the values that it was given."""
    program = tmp_path / "bin" / "helm"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\ncat <<END\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n"
        "  arguments: '$*'\n  values: '$(cat)'\nEND\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def applied(manifest: Any) -> list[Object]:
    api = Recorder()
    Mesh(api, "shop").apply(manifest)  # type: ignore[arg-type]
    return api.applied


def test_a_folder_is_applied_as_it_is(folder: Path) -> None:
    assert not is_rendered(folder)
    assert [obj["metadata"] for obj in applied(folder)] == [{"name": "settings", "namespace": "shop"}]


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
def test_a_kustomization_is_rendered_by_kubectl(folder: Path, name: str) -> None:
    (folder / name).write_text("resources: [settings.yaml]\nnamePrefix: my-\nlabels:\n- pairs: {team: blue}\n")
    (obj,) = applied(folder)
    assert obj["metadata"] == {"name": "my-settings", "namespace": "shop", "labels": {"team": "blue"}}


def test_a_kustomization_that_does_not_render_is_an_error_in_kubectls_words(folder: Path) -> None:
    (folder / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
    with pytest.raises(LabError, match=r"`kubectl kustomize .*/deploy` failed with exit code 1:\n(.|\n)*nowhere\.yaml"):
        rendered(folder, "shop")


def test_a_chart_is_rendered_by_helm_with_its_values(helm: Path, folder: Path) -> None:
    (folder / "Chart.yaml").write_text("name: shop\n")
    (obj,) = applied(folder)
    assert obj["data"]["arguments"] == f"template test {folder} --namespace shop --no-hooks --values -"
    assert obj["data"]["values"] == "{}"
    (obj,) = chart(folder, "other", release="mine", values={"replicas": 2})
    assert obj["data"]["arguments"].startswith("template mine ")
    assert obj["data"]["values"] == '{"replicas": 2}'


def test_a_chart_that_does_not_render_is_an_error_in_helms_words(helm: Path, folder: Path) -> None:
    helm.write_text("#!/bin/sh\necho 'Error: parse error at (shop/templates/x.yaml:3)' >&2\nexit 1\n")
    with pytest.raises(LabError, match=r"failed with exit code 1:\nError: parse error at \(shop/templates/x\.yaml:3\)"):
        chart(folder, "shop")
    helm.write_text("#!/bin/sh\necho 'a: b: c'\n")
    with pytest.raises(LabError, match="is not YAML"):
        chart(folder, "shop")


def test_a_chart_without_helm_says_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LabError, match="is a chart, and helm is not on PATH") as failure:
        chart(folder, "shop")
    assert "helm.sh" in failure.value.hint

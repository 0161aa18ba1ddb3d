"""`mesh-lab rollout`: what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mesh_lab.cli.app import app
from mesh_lab.errors import LabError

ROLLOUTS = Path(__file__).parents[3] / "manifests" / "rollouts"


def asked(*arguments: str) -> BaseException | None:
    return CliRunner().invoke(app, ["rollout", *arguments], catch_exceptions=True).exception


def test_a_file_that_is_wrong_is_told_before_a_lab_is_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "rollout.yaml"
    file.write_text("route: virtualservice/shop\nstable: v1\ncanary: v2\nurl: shop\n")
    error = asked(str(file))
    assert isinstance(error, LabError)
    assert (error.exit_code, error.message) == (
        2,
        f"{file}:4: url: 'shop' is no URL of http, https, grpc or grpcs",
    )


def test_an_output_that_is_none_is_refused() -> None:
    error = asked(str(ROLLOUTS / "right.yaml"), "-o", "yaml")
    assert isinstance(error, LabError)
    assert error.exit_code == 2


@pytest.mark.parametrize("name", ["right.yaml", "broken.yaml"])
def test_the_files_that_the_lab_brings_are_rollouts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = asked(str(ROLLOUTS / name))
    assert isinstance(error, LabError)
    assert "is not up" in error.message

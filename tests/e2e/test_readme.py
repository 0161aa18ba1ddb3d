"""README's first test, run as a newcomer does: in an empty folder, with a kubeconfig and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.firsttest import first_test

pytestmark = pytest.mark.timeout(240)


def run(folder: Path, kubeconfig: Path, *options: str) -> str:
    """What pytest prints, which passes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", f"--mesh-kubeconfig={kubeconfig.resolve()}", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=220, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_test_passes_in_an_empty_folder(mesh_kubeconfig: Path, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(first_test())
    told = run(tmp_path, mesh_kubeconfig)
    assert f"rootdir: {tmp_path}\n" in told
    assert "1 passed" in told
    assert "warning" not in told


def test_two_of_them_pass_beside_each_other(mesh_kubeconfig: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(first_test())
    told = run(tmp_path, mesh_kubeconfig, "-n", "2", "-v")
    assert "2 passed" in told
    assert "[gw0]" in told
    assert "[gw1]" in told

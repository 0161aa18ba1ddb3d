"""What README shows is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.firsttest import first_test


def test_the_first_test_is_found_with_its_fixtures(tmp_path: Path) -> None:
    code = first_test()
    assert len([line for line in code.splitlines() if line]) <= 10
    (tmp_path / "test_mine.py").write_text(code)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "mesh_lab.harness.plugin",
        "--setup-plan",
        "--mesh-kubeconfig",
        "none",
    ]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SETUP    F mesh " in done.stdout

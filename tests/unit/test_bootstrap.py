"""`make install`, as far as it can be tried without installing anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "tools"


def test_a_checkout_made_with_a_strict_umask_is_opened_to_containers(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "lab" / "kube").mkdir(parents=True)
    (checkout / "lab" / "kube" / "main.py").touch()
    (checkout / "secret").touch()
    shutil.copytree(TOOLS, checkout / "tools")
    for path in (checkout, *checkout.rglob("*")):
        path.chmod(0o700 if path.is_dir() or path.suffix == ".sh" else 0o600)
    # It comes no further than to an interpreter that is not there.
    environment = {"PATH": os.environ["PATH"], "PYTHON": "/nowhere/python3"}
    done = subprocess.run(
        ["sh", "tools/bootstrap.sh"], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert "/nowhere/python3 is not installed" in done.stderr
    assert (checkout / "lab").stat().st_mode & 0o777 == 0o755
    assert (checkout / "lab" / "kube" / "main.py").stat().st_mode & 0o777 == 0o644
    assert checkout.stat().st_mode & 0o777 == 0o700
    assert (checkout / "secret").stat().st_mode & 0o777 == 0o600

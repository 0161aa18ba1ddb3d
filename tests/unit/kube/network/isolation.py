"""Runs a function of `inside.py` in network and mount namespaces of its own, as root or as an ordinary user."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
TIME_LIMIT = 60


def unshare() -> list[str]:
    """The command that makes the namespaces: an ordinary user needs a user namespace around them."""
    return ["unshare", "-nm"] if os.geteuid() == 0 else ["unshare", "-Urnm"]


@functools.cache
def obstacle() -> str:
    """Why namespaces with nftables cannot be had here; empty when they can."""
    try:
        done = subprocess.run(
            [*unshare(), "nft", "list", "ruleset"], capture_output=True, text=True, timeout=TIME_LIMIT, check=False
        )
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    return done.stderr.strip() if done.returncode else ""


def isolated(name: str, *, module: str = "tests.unit.kube.network.inside", **arguments: Any) -> Any:
    """What the function `name` of `module` returns, run in new namespaces; skips the test where there are none."""
    if reason := obstacle():
        pytest.skip(f"no namespaces with nftables: {reason}")
    command = [*unshare(), sys.executable, "-m", module, name, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

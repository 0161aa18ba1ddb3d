"""`make install`, as far as it can be tried without installing anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
SYSTEM_PROGRAMS = ("nft", "ip", "newuidmap", "unshare", "setpriv")

Bootstrap = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small one, made with a strict umask."""
    made = tmp_path / "checkout"
    (made / "lab" / "mesh_lab" / "kube").mkdir(parents=True)
    for name in ("lab/mesh_lab/kube/main.py", "secret", "requirements.lock", "pyproject.toml"):
        (made / name).touch()
    shutil.copytree(TOOLS, made / "tools")
    for path in (made, *made.rglob("*")):
        path.chmod(0o700 if path.is_dir() or path.suffix == ".sh" else 0o600)
    return made


@pytest.fixture
def bootstrap(checkout: Path, tmp_path: Path) -> Bootstrap:
    """Runs the script where all system packages are said to be there."""
    for name in SYSTEM_PROGRAMS:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.touch(0o755)

    def run(*programs: str, **environ: str) -> subprocess.CompletedProcess[str]:
        path = f"{tmp_path}/bin:{os.environ['PATH']}"
        command = ["sh", "tools/bootstrap.sh", *programs]
        return subprocess.run(
            command, cwd=checkout, env={"PATH": path, **environ}, capture_output=True, text=True, check=False
        )

    return run


def test_a_checkout_made_with_a_strict_umask_is_opened_to_containers(checkout: Path, bootstrap: Bootstrap) -> None:
    done = bootstrap(PYTHON="/nowhere/python3")  # it comes no further than to this
    assert "/nowhere/python3 is not installed" in done.stderr
    assert (checkout / "lab").stat().st_mode & 0o777 == 0o755
    assert (checkout / "lab" / "mesh_lab" / "kube" / "main.py").stat().st_mode & 0o777 == 0o644
    assert checkout.stat().st_mode & 0o777 == 0o700
    assert (checkout / "secret").stat().st_mode & 0o777 == 0o600


def test_the_package_is_compiled_for_containers_and_again_when_it_changes(checkout: Path, bootstrap: Bootstrap) -> None:
    """They can read what was compiled, and cannot compile themselves."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    stamp = subprocess.run(
        ["sh", "-c", "{ pwd; cat requirements.lock pyproject.toml; } | cksum"],
        cwd=checkout,
        capture_output=True,
        check=True,
    )
    (checkout / ".venv" / ".installed").write_bytes(stamp.stdout)
    umask = os.umask(0o077)
    try:
        first = bootstrap()
    finally:
        os.umask(umask)
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    source = checkout / "lab" / "mesh_lab" / "kube" / "main.py"
    (compiled,) = (source.parent / "__pycache__").glob("main.*.pyc")
    assert compiled.stat().st_mode & 0o777 == 0o644
    before = compiled.read_bytes()
    source.write_text("CHANGED = 1\n")
    later = (checkout / ".venv" / ".compiled").stat().st_mtime + 10
    os.utime(source, (later, later))
    assert bootstrap().returncode == 0
    assert compiled.read_bytes() != before


def test_a_program_that_one_target_needs_is_installed_for_it(tmp_path: Path, bootstrap: Bootstrap) -> None:
    asked = tmp_path / "asked"
    manager = tmp_path / "bin" / "apt-get"
    manager.write_text(f'#!/bin/sh\necho "$@" >> "{asked}"\n')
    manager.chmod(0o755)
    for name in ("sudo", "wrk"):
        assert not (tmp_path / "bin" / name).exists()
    sudo = tmp_path / "bin" / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] && shift; exec "$@"\n')
    sudo.chmod(0o755)
    bootstrap("wrk", PYTHON="/nowhere/python3", PATH=f"{tmp_path}/bin:{_without(tmp_path, 'wrk')}")
    assert "install -y --no-install-recommends wrk" in asked.read_text()


def _without(tmp_path: Path, program: str) -> str:
    """A directory with all programs of this machine but one."""
    place = tmp_path / "others"
    place.mkdir()
    for directory in os.environ["PATH"].split(os.pathsep):
        for file in Path(directory).glob("*") if Path(directory).is_dir() else ():
            if file.name != program and not (place / file.name).exists():
                (place / file.name).symlink_to(file)
    return str(place)

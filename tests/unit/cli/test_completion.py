"""Shell completion, asked as shells and kubectl ask; and `kubectl mesh-lab`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh_lab.client.kubectl import program
from tests.unit.cli.running import SOURCE, run


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """An environment in which `mesh-lab` and the two programs that kubectl looks for are on PATH."""
    place = tmp_path / "bin"
    place.mkdir()
    for name, module, function in (
        ("mesh-lab", "mesh_lab.cli", "main"),
        ("kubectl-mesh_lab", "mesh_lab.cli", "main"),
        ("kubectl_complete-mesh_lab", "mesh_lab.cli.completion", "complete_for_kubectl"),
    ):
        script = place / name
        script.write_text(f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n")
        script.chmod(0o755)
    return {"PATH": f"{place}:{os.environ['PATH']}", "PYTHONPATH": str(SOURCE), "HOME": str(tmp_path)}


def kubectl(plugin: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    place = plugin["HOME"]
    command = [program(), *arguments]
    return subprocess.run(command, env=plugin, cwd=place, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(tmp_path: Path, shell: str) -> None:
    outcome = run(tmp_path, "completion", shell)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"_MESH_LAB_COMPLETE=complete_{shell}" in outcome.out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("sta",), ["status"]),
        (("up", "--cluster", ""), ["embedded", "kind", "existing"]),
        (("tools", ""), ["install"]),
        (("status", "--clu"), ["--cluster"]),
        (("completion", "f"), ["fish"]),
    ],
)
def test_bash_offers_commands_options_and_values(
    tmp_path: Path, plugin: dict[str, str], words: tuple[str, ...], offered: list[str]
) -> None:
    """The script itself, in a bash that is told what somebody has typed."""
    typed = " ".join(f"'{word}'" for word in ("mesh-lab", *words))
    asked = f"COMP_WORDS=({typed}) COMP_CWORD={len(words)}; _mesh_lab_completion mesh-lab"
    program = f'source <(mesh-lab completion bash); {asked}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", program], env=plugin, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (offered, "")


def test_kubectl_runs_the_command_and_its_usage_says_so(plugin: dict[str, str]) -> None:
    helped = kubectl(plugin, "mesh-lab", "--help")
    assert (helped.returncode, helped.stdout.splitlines()[0]) == (
        0,
        "Usage: kubectl mesh-lab [OPTIONS] COMMAND [ARGS]...",
    )
    stopped = kubectl(plugin, "mesh-lab", "status")
    assert (stopped.returncode, "stopped" in stopped.stdout) == (1, True)
    wrong = kubectl(plugin, "mesh-lab", "status", "--frobnicate")
    assert (wrong.returncode, "Usage: kubectl mesh-lab status" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("sta",), ["status\tTell how the lab is."]),
        (("up", "--cluster", "e"), ["embedded", "existing"]),
        (("wait", "-f", ""), []),  # kubectl then has the shell offer files
    ],
)
def test_kubectl_completes_it(plugin: dict[str, str], words: tuple[str, ...], offered: list[str]) -> None:
    done = kubectl(plugin, "__complete", "mesh-lab", *words)
    assert [line for line in done.stdout.splitlines() if line] == [*offered, ":0"]

"""The GitHub Action: its scripts as a runner runs them, with stand-ins for what they install and call."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]

SYSTEM_PROGRAMS = ("nft", "ip", "newuidmap", "unshare", "sudo", "apt-get", "sysctl")
# `python -m venv PLACE` makes one whose Python writes down what pip is asked for, and which has a mesh-lab.
INTERPRETER = """\
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$@" >>"{told}/pip"\\n' >"$3/bin/python"
printf '#!/bin/sh\\n. "{told}/mesh-lab"\\n' >"$3/bin/mesh-lab"
chmod +x "$3/bin/python" "$3/bin/mesh-lab"
"""
MESH_LAB = """\
echo "$PWD: $@" >>"{told}/calls"
case "$*" in
    *kubeconfig*) echo "$PWD/.lab/kubeconfig" ;;
    up*) exit {code} ;;
esac
"""
KUBECTL = """\
case "$*" in
    *jsonpath*) echo "default web-1" ;;
    *logs*) echo "the log of $*" ;;
    *) echo "kubectl $*" ;;
esac
"""


class Runner:
    """tools/run_action.sh in a directory of its own; `told` has what the stand-ins were asked for."""

    def __init__(self, place: Path) -> None:
        self.told, self.temp, self.work = place / "told", place / "temp", place / "work"
        self._bin = place / "bin"
        for directory in (self.told, self.temp, self.work, self._bin):
            directory.mkdir()
        for name in SYSTEM_PROGRAMS:
            self._program(name, f'echo "{name} $@" >>"{self.told}/system"')
        self._program("python-of-users", INTERPRETER.format(told=self.told))
        self._program("kubectl", KUBECTL)
        self._program("mesh-lab", f'. "{self.told}/mesh-lab"')
        self.mesh_lab(0)

    def _program(self, name: str, script: str) -> None:
        (self._bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self._bin / name).chmod(0o755)

    def mesh_lab(self, code: int) -> None:
        """Let `mesh-lab up` end with `code`."""
        (self.told / "mesh-lab").write_text(MESH_LAB.format(told=self.told, code=code))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": f"{self._bin}:{os.environ['PATH']}", "PYTHON": sys.executable, "RUNNER_TEMP": str(self.temp)}
        command = ["bash", str(ROOT / "tools/run_action.sh"), "python=python-of-users", *arguments]
        return subprocess.run(
            command, cwd=self.work, env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    def asked(self, name: str) -> list[str]:
        file = self.told / name
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_the_steps_that_follow_have_the_lab(runner: Runner) -> None:
    (runner.work / "here").mkdir()
    done = runner.run("directory=here", "--", "sh", "-c", "echo $KUBECONFIG $MESH_LAB_CLUSTER; command -v mesh-lab")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == [
        f"{runner.work}/here/.lab/kubeconfig embedded",
        f"{runner.temp}/mesh-lab/bin/mesh-lab",
    ]
    assert runner.asked("calls")[0] == f"{runner.work}/here: up --cluster embedded"
    assert "Gather evidence" not in done.stdout


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [
        ((), f"{ROOT}[test] --constraint {ROOT}/requirements.lock"),
        (("extras=",), f"{ROOT} --constraint {ROOT}/requirements.lock"),
        (("version=0.2.0", "extras=test,load"), "mesh-lab[test,load]==0.2.0"),
        (("version=dist/mesh_lab.whl",), "{work}/dist/mesh_lab.whl[test]"),
        (("install=false",), None),
        (("command=down", "install=false"), None),
    ],
)
def test_what_is_installed(runner: Runner, inputs: tuple[str, ...], asked: str | None) -> None:
    (runner.work / "dist").mkdir()
    runner.run(*inputs)
    pip = "-m pip install --quiet --disable-pip-version-check "
    assert runner.asked("pip") == ([pip + asked.format(work=runner.work)] if asked else [])


def test_a_lab_that_does_not_come_up_fails_the_job_and_leaves_evidence(runner: Runner) -> None:
    runner.mesh_lab(7)
    state = runner.work / ".lab"
    for name in ("pki/ca.key", "kubeconfig", "logs/web/0.log", "lab.log", "crash-1.log"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text(name)
    (runner.work / "reports").mkdir()
    (runner.work / "reports/load.csv").touch()
    done = runner.run("evidence=mine", "--", "echo", "not reached")
    assert done.returncode == 7
    evidence = runner.temp / "mesh-lab-evidence"
    assert f"actions/upload-artifact@v4 (name: mine, path: {evidence})" in done.stdout
    assert "not reached" not in done.stdout
    found = {str(file.relative_to(evidence)) for file in evidence.rglob("*") if file.is_file()}
    assert found >= {
        "lab/lab.log",
        "lab/crash-1.log",
        "lab/logs/web/0.log",
        "reports/load.csv",
        "events.txt",
        "status.json",
    }
    assert (evidence / "pods/default.web-1.log").read_text().startswith("the log of ")
    assert not {name for name in found if "pki" in name or "kubeconfig" in name}


def test_evidence_is_to_be_had_when_a_later_step_has_failed(runner: Runner) -> None:
    done = runner.run("command=evidence")
    assert (done.returncode, runner.asked("pip")) == (0, [])
    assert "Keep evidence" in done.stdout
    assert [call for call in runner.asked("calls") if " up" in call] == []


def test_an_input_that_is_misspelt_is_told(runner: Runner) -> None:
    done = runner.run("comand=up")
    assert (done.returncode, done.stderr) == (2, "no such input: comand\n")


def test_scripts_take_inputs_from_variables_only() -> None:
    """Text of an input within a script would be run as part of it."""
    assert [step["name"] for step in STEPS if "${{" in step.get("run", "")] == []
    assert {step["shell"] for step in STEPS if "run" in step} == {"bash"}


def test_each_input_is_used_and_each_output_made() -> None:
    text = json.dumps(ACTION["runs"]) + json.dumps(ACTION["outputs"])
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    scripts = {step.get("id"): step.get("run", "") for step in STEPS}
    for step, name in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
        assert f'echo "{name}=' in scripts[step]
    page = (ROOT / "docs/action.md").read_text(encoding="utf-8")
    assert [name for name in ACTION["inputs"] if f"| `{name}` |" not in page] == []


def test_the_devcontainer_has_what_the_lab_needs() -> None:
    text = (ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8")
    settings = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert (settings["privileged"], settings["postCreateCommand"]) == (True, "make install")
    packages = (ROOT / ".devcontainer/Dockerfile").read_text(encoding="utf-8").split()
    assert {"make", "git", "python3-venv", "nftables", "iproute2", "uidmap", "util-linux", "curl", "wrk"} <= set(
        packages
    )

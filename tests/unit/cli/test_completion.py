"""Shell completion, asked as shells and kubectl ask; and `kubectl mesh-lab`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.cli import doctor, entry, load, status, values, wait
from mesh_lab.client.kubectl import program
from mesh_lab.clusters import existing, holding
from mesh_lab.install.images import PLATFORMS
from tests.unit.cli.running import SOURCE, run
from tests.unit.cli.terminal import missing, shell
from tests.unit.client.serving import serve

PATIENCE_SECONDS = 60.0


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
        # On a busy machine a second may be too short.
        patient = f"from mesh_lab.cli import values\nvalues.COMPLETION_SECONDS = {PATIENCE_SECONDS}"
        script.write_text(f"#!{sys.executable}\n{patient}\nfrom {module} import {function}\n{function}()\n")
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
    """The script itself, in a bash that has the words that somebody has typed."""
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
        (("wait", "vs/rev"), ["vs/reviews"]),
    ],
)
def test_kubectl_completes_it(lab: Path, plugin: dict[str, str], words: tuple[str, ...], offered: list[str]) -> None:
    done = kubectl(plugin, "__complete", "mesh-lab", *words)
    assert [line for line in done.stdout.splitlines() if line] == [*offered, ":0"]


def test_kubectl_adds_no_space_to_a_word_that_goes_on(plugin: dict[str, str]) -> None:
    done = kubectl(plugin, "__complete", "mesh-lab", "wait", "sidec")
    assert done.stdout.split() == ["sidecar/", ":2"]


LISTED = {
    "/api/v1": [("Namespace", "namespaces", False), ("ConfigMap", "configmaps", True)],
    "/apis/networking.istio.io/v1": [("VirtualService", "virtualservices", True), ("Sidecar", "sidecars", True)],
}
NAMES = {"namespaces": ["istio-system", "shop"], "virtualservices": ["ratings", "reviews"], "sidecars": []}


def answers(path: str) -> Any:
    """The API of a cluster with two VirtualServices."""
    if path in LISTED:
        return {"resources": [{"kind": k, "name": name, "namespaced": ns} for k, name, ns in LISTED[path]]}
    return {"items": [{"metadata": {"name": name}} for name in NAMES[path.rpartition("/")[2]]]}


def record(directory: Path) -> None:
    """Note a lab on that cluster as ready, which `directory` then holds."""
    (directory / "lab.toml").write_text('cluster = "existing"\n')
    state = directory / ".lab.existing"
    state.mkdir()
    shutil.copy(directory / "kubeconfig", state / "kubeconfig")
    made = existing.Record(context="lab", server="s", instance="i", namespace="n", started="now", phase="ready")
    holding.write(state, made)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    """The directory of a lab that is up."""
    with serve(tmp_path, answers):
        record(tmp_path)
        yield tmp_path


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """What is offered in a directory for the last of some words."""

    def ask(directory: Path, *words: str) -> list[str]:
        monkeypatch.chdir(directory)
        monkeypatch.setenv("_MESH_LAB_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(("mesh-lab", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        monkeypatch.setattr(sys, "argv", ["mesh-lab"])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        printed = capsys.readouterr()
        assert (ended.value.code, printed.err) == (0, "")
        return printed.out.split()

    monkeypatch.setattr(values, "COMPLETION_SECONDS", PATIENCE_SECONDS)
    return ask


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("wait", "virt"), ["virtualservice/ratings", "virtualservice/reviews"]),
        (("wait", "vs/"), ["vs/ratings", "vs/reviews"]),
        (("wait", "vs/rev"), ["vs/reviews"]),
        (("wait", "sidecar"), ["sidecar/"]),
        (("wait", "configmap/"), []),
        (("wait", "deployment/"), []),
        (("wait", "-n", "s"), ["shop"]),
        (("--dir", ".", "wait", "vs/rev"), ["vs/reviews"]),
        (("--dir", "/nowhere", "wait", "vs/"), []),
        (("wait", "--cluster", "moon", "vs/"), []),
    ],
)
def test_resources_are_offered_by_the_lab_that_is_up(
    lab: Path, offered: Callable[..., list[str]], words: tuple[str, ...], expected: list[str]
) -> None:
    assert offered(lab, *words) == expected


def test_without_a_lab_the_kinds_are_offered(tmp_path: Path, offered: Callable[..., list[str]]) -> None:
    assert offered(tmp_path, "wait", "vi") == ["virtualservice/"]
    assert offered(tmp_path, "wait", "vs/") == []


def test_a_cluster_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    """The client itself would go on for half a minute."""
    requested, ended = threading.Event(), threading.Event()

    def silent(_path: str) -> Any:
        requested.set()
        ended.wait(60)
        return {}

    program = "from mesh_lab.cli import main, values; values.COMPLETION_SECONDS = 3.0; main()"
    typed = {"_MESH_LAB_COMPLETE": "complete_bash", "COMP_WORDS": "mesh-lab\nwait\nvs/", "COMP_CWORD": "2"}
    with serve(tmp_path, silent):
        record(tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=os.environ | typed | {"PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            timeout=25,
            check=False,
        )
        ended.set()
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")
    assert requested.is_set()


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (("status", "-o"), status._PRINTERS),
        (("doctor", "-o"), doctor._PRINTERS),
        (("wait", "-o"), wait.OUTPUTS),
        (("load", "-o"), (load.TEXT, load.JSON)),
        (("wait", "--for"), wait.CONDITIONS),
        (("images", "--platform"), PLATFORMS),
    ],
)
def test_the_values_that_an_option_takes_are_those_offered(
    tmp_path: Path, offered: Callable[..., list[str]], words: tuple[str, ...], taken: Iterable[str]
) -> None:
    assert offered(tmp_path, *words, "") == list(taken)


TYPED = [
    ("mesh-lab stat", "mesh-lab status "),
    ("mesh-lab status -o k", "-o kubeconfig "),
    ("mesh-lab up --cluster em", "--cluster embedded "),
    ("mesh-lab wait vs/rev", "wait vs/reviews "),
    ("mesh-lab wait -f lab.t", "-f lab.toml "),
]


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_tab_completes_what_a_person_types(lab: Path, plugin: dict[str, str], name: str) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    with shell(name, lab, plugin) as terminal:
        for typed, completed in TYPED:
            terminal.type(f"{typed}\t")
            terminal.shows(completed)
            terminal.type("\x15")  # Ctrl-U: an empty line again


def test_bash_goes_on_after_a_kind(lab: Path, plugin: dict[str, str]) -> None:
    with shell("bash", lab, plugin) as terminal:
        terminal.type("mesh-lab wait sidec\tx")
        terminal.shows("wait sidecar/x")


def test_fish_completes_the_same(lab: Path, plugin: dict[str, str]) -> None:
    if reason := missing("fish"):
        pytest.skip(reason)
    asked = "; ".join(f'complete -C "{typed}"' for typed, _ in TYPED)
    program = ["fish", "--no-config", "-c", f"mesh-lab completion fish | source; {asked}"]
    done = subprocess.run(program, env=plugin, cwd=lab, capture_output=True, text=True, timeout=60, check=True)
    words = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert (words, done.stderr) == (["status", "kubeconfig", "embedded", "vs/reviews", "lab.toml"], "")

"""The words of the command line, and its exit codes for those who ask wrongly."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from mesh_lab.cli import entry
from mesh_lab.cli.app import app
from tests.unit.cli.running import ROOT, SOURCE, run

HELP = """\
Usage: mesh-lab [OPTIONS] COMMAND [ARGS]...

  A service mesh on a local Kubernetes: real kubectl, real Envoy, up in seconds.

Options:
  --name NAME  Which lab; several run side by side on other ports.
  --dir DIR    Where lab.toml and the lab's state are; else here or above.
  --version    Show the version, and what it is made of.
  -h, --help   Show this message and exit.

Commands:
  up            Bring the lab up, until all of it is ready.
  down          Take the lab down; its objects are kept.
  reset         Take the lab down and delete all it has kept.
  status        Tell how the lab is.
  doctor        Check what the lab needs of this machine.
  logs          Show the log of the lab's own processes.
  images        Build the images for clusters that run containers.
  wait          Wait until the proxies have acknowledged a resource.
  proxy-status  Tell how far each proxy is, as istioctl does.
  compare       Compare two conformance reports.
  rollout       Give a new version its share of requests step by step.
  completion    Print what lets a shell complete these commands.
  tools         Install kind and istioctl.
  vm            Run programs on virtual machines of the mesh.
  learn         Lessons about the mesh that check what you did.
  load          Put load on the lab with Locust.
"""
COMMANDS = [line.split()[0] for line in HELP.partition("Commands:\n")[2].splitlines()]


def test_the_version_names_what_the_lab_is_made_of(tmp_path: Path) -> None:
    outcome = run(tmp_path, "--version")
    assert outcome.code == 0
    parts = dict(part.split() for part in outcome.out.strip().split(", "))
    assert list(parts) == ["mesh-lab", "Envoy", "kubectl", "Python"]
    assert parts["Python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_help_says_what_there_is(tmp_path: Path) -> None:
    outcome = run(tmp_path, "--help")
    assert (outcome.code, outcome.out) == (0, HELP)


def test_a_profile_that_there_is_not_comes_with_those_that_there_are(tmp_path: Path) -> None:
    outcome = run(tmp_path, "up", "--profile", "ambient")
    assert outcome.code == 2
    assert "unknown profile 'ambient'" in outcome.err
    assert "Known profiles: default, demo." in outcome.err


def test_without_a_command_the_help_is_shown_and_the_usage_wrong(tmp_path: Path) -> None:
    assert run(tmp_path).code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(tmp_path: Path, command: str) -> None:
    outcome = run(tmp_path, command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: mesh-lab {command} ")
    options = [line for line in outcome.out.splitlines() if line.startswith("  -")]
    assert [line for line in options if "<" in line] == []  # a value has a name, and not a type of Python's


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"mesh-lab {name}" not in readme] == []
    registered = {
        command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback
    }
    assert registered | {group.name for group in app.registered_groups} == set(COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("frobnicate",), "No such command"),
        (("up", "--frobnicate"), "No such option"),
        (("logs", "-n", "many"), "many"),
        (("status", "-o", "xml"), "unknown output format 'xml'"),
        (("doctor", "-o", "xml"), "unknown output format 'xml'"),
        (("completion", "tcsh"), "no completion for the shell 'tcsh'"),
        (("--dir", "/nowhere", "status"), "/nowhere is not a directory"),
        (("--name", "A B", "status"), "'A B' cannot be a lab's name"),
        (("up", "--cluster", "moon"), "unknown cluster 'moon'"),
        (("up", "--kubeconfig", "x"), "--kubeconfig: only with --cluster existing"),
        (("up", "--dry-run"), "--dry-run is for the clusters kind and existing"),
        (("images", "--platform", "linux/s390x"), "unknown platform 'linux/s390x'"),
        (("wait",), "nothing to wait for"),
        (("wait", "reviews"), "'reviews' is not KIND/NAME"),
        (("wait", "deployment/reviews"), "deployment is no kind of the mesh"),
        (("wait", "-f", "/nowhere.yaml"), "cannot read /nowhere.yaml: No such file"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_why(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = run(tmp_path, *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_mistake_in_lab_toml_is_two_lines(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("[ports]\nhtttp = 1\n")
    outcome = run(tmp_path, "up")
    assert outcome.code == 1
    assert outcome.err == (
        f"mesh-lab: {tmp_path}/lab.toml:2: ports.htttp: no such setting; is it http?\n"
        "  README.md lists what lab.toml may say.\n"
    )


@pytest.mark.parametrize("arguments", [("wait", "vs/reviews"), ("load",), ("proxy-status",)])
def test_what_needs_a_lab_says_that_there_is_none(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    outcome = run(tmp_path, *arguments)
    assert outcome.code == 1
    assert f"the lab 'lab' of {tmp_path} is not up" in outcome.err
    assert "mesh-lab up" in outcome.err
    assert "mesh-lab --dir FOLDER" in outcome.err


def test_logs_of_no_lab_and_of_one_that_may_not_be_read(tmp_path: Path) -> None:
    outcome = run(tmp_path, "logs")
    assert outcome.code == 1
    assert f"there is no {tmp_path}/.lab/lab.log" in outcome.err
    (tmp_path / ".lab").write_text("in its way")
    outcome = run(tmp_path, "logs")
    assert outcome.code == 1
    assert f"cannot read {tmp_path}/.lab/lab.log: Not a directory" in outcome.err


def test_status_of_no_lab(tmp_path: Path) -> None:
    outcome = run(tmp_path, "status")
    assert outcome.code == 1
    assert "stopped" in outcome.out
    assert not (tmp_path / ".lab").exists()


def test_down_and_reset_of_no_lab_are_done_already(tmp_path: Path) -> None:
    down, reset = run(tmp_path, "down"), run(tmp_path, "reset")
    assert (down.code, down.out) == (0, "the lab 'lab' was not up\n")
    assert (reset.code, reset.out) == (0, "the lab 'lab' has kept nothing\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\n", "is not YAML"),
        ("kind: Deployment\napiVersion: apps/v1\nmetadata: {name: a}\n", "holds no resource of the mesh"),
        ("just words\n", "holds no resource of the mesh"),
    ],
)
def test_a_file_that_cannot_be_waited_for_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(text)
    outcome = run(tmp_path, "wait", "-f", str(file))
    assert outcome.code == 1
    assert f"{file} {message}" in outcome.err


def test_a_fault_of_the_lab_leaves_its_traceback_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError("of no use")

    monkeypatch.setattr("mesh_lab.cli.app.app", fail)
    monkeypatch.setattr("mesh_lab.cli.context.context.state_dir", lambda: tmp_path)
    monkeypatch.setattr(sys, "argv", ["mesh-lab", "up"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 1
    (report,) = tmp_path.glob("crash-*.log")
    message = capsys.readouterr().err
    assert message == (f"mesh-lab: a fault of the lab itself (ZeroDivisionError: of no use); particulars: {report}\n")
    assert "Traceback" in report.read_text()
    assert "'mesh-lab', 'up'" in report.read_text()


def test_an_interrupted_command_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mesh_lab.cli.status.show", interrupted)
    monkeypatch.setattr(sys, "argv", ["mesh-lab", "status"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "mesh-lab: interrupted\n"


_SLOW_IMPORT = """
    import sys, signal, builtins
    from mesh_lab.cli import main

    class Interrupted:
        def find_spec(self, name, path=None, target=None):
            if name == %r:
                signal.raise_signal(signal.SIGINT)

    sys.meta_path.insert(0, Interrupted())
    sys.argv = ["mesh-lab", "status"]
    main()
"""


@pytest.mark.parametrize("module", ["mesh_lab.cli.entry", "mesh_lab.errors", "mesh_lab.cli.app", "typer"])
def test_an_interruption_while_the_program_is_imported_ends_it_without_a_word(tmp_path: Path, module: str) -> None:
    import subprocess
    import textwrap

    program = textwrap.dedent(_SLOW_IMPORT % module)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_output_that_nobody_reads_to_its_end_is_no_fault(tmp_path: Path) -> None:
    import subprocess

    command = f"{shlex.quote(sys.executable)} -m mesh_lab.cli status | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_status_imports_nothing_heavy(tmp_path: Path) -> None:
    """What a quick command must not wait for: each of these takes as long as all the rest of it."""
    heavy = ("rich", "requests", "aiohttp", "grpc", "cryptography", "locust", "asyncio")
    code = (
        "import sys; from mesh_lab.cli.app import app\n"
        "try: app(['status'])\n"
        "except SystemExit: pass\n"
        f"sys.stdout.write(' '.join(m for m in {heavy!r} if m in sys.modules))"
    )
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].startswith("state")

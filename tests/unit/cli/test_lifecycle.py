"""`up`, `down` and `reset`: what a command that fails, or is interrupted, leaves behind."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from typer.testing import CliRunner

from mesh_lab.cli import console, lifecycle, status
from mesh_lab.cli.app import app
from mesh_lab.client.meshstatus import MeshState, ProxySync
from mesh_lab.clusters.base import ClusterStatus, Report
from mesh_lab.errors import ConfigurationRejected, LabError
from mesh_lab.install.bringup import Installed
from mesh_lab.install.recipes import MANIFESTS
from mesh_lab.settings import Lab, Settings
from tests.unit.client.serving import serve


class StandIn:
    """A cluster that only remembers what was asked of it."""

    def __init__(self, lab: Lab) -> None:
        self.called: list[str] = []
        self.running = False
        self.kubeconfig = lab.kubeconfig

    def up(self, report: Report) -> bool:
        self.called.append("up")
        fresh, self.running = not self.running, True
        return fresh

    def down(self, report: Report) -> bool:
        self.called.append("down")
        was, self.running = self.running, False
        return was

    def reset(self, report: Report) -> bool:
        self.called.append("reset")
        return self.down(report)

    def status(self) -> ClusterStatus:
        if not self.running:
            return ClusterStatus()
        ports = {"api": 6443, "http": 8080, "https": 8443, "tcp": 31400}
        return ClusterStatus(
            phase="ready", pid=42, started="2026-01-01T00:00:00Z", ports=ports, profile="demo", internet=11
        )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(Settings(), tmp_path)


@pytest.fixture
def cluster(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn(lab)
    for module in (lifecycle, status):
        monkeypatch.setattr(module, "open_cluster", lambda _lab: made)
    return made


def pod(name: str, *ready: bool) -> dict[str, Any]:
    statuses = [{"name": f"c{i}", "ready": one} for i, one in enumerate(ready)]
    return {
        "metadata": {"namespace": "default", "name": name},
        "spec": {"containers": [{"name": status["name"]} for status in statuses]},
        "status": {"phase": "Running", "podIP": "10.244.0.7", "containerStatuses": statuses},
    }


def installs(monkeypatch: pytest.MonkeyPatch, action: Callable[[], Installed]) -> None:
    monkeypatch.setattr(lifecycle, "_install", lambda _lab, _report: action())


def good() -> Installed:
    return Installed([pod("reviews-v1-abc", True, True)], MeshState(True, (ProxySync("a", True), ProxySync("b", True))))


def test_one_proxy_is_told_as_one(
    lab: Lab, cluster: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installs(monkeypatch, lambda: Installed([], MeshState(True, (ProxySync("a", True),))))
    lifecycle.up(lab, keep=False)
    assert "; 1 proxy is in sync." in capsys.readouterr().out


def test_up_ends_with_a_table_and_what_to_try_next(
    lab: Lab, cluster: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installs(monkeypatch, good)
    lifecycle.up(lab, keep=False)
    out = capsys.readouterr().out
    assert "NAMESPACE  POD             READY  STATUS   ADDRESS\n" in out
    assert "default    reviews-v1-abc  2/2    Running  10.244.0.7\n" in out
    assert "2 proxies are in sync" in out
    assert "curl -s http://127.0.0.1:8080/productpage" in out
    assert f"export KUBECONFIG={lab.kubeconfig}" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("folder", "here", "line"),
    [
        ("plain", True, "export KUBECONFIG=$PWD/.lab/kubeconfig "),
        ("with space", True, 'export KUBECONFIG="$PWD/.lab/kubeconfig" '),
        ("with space", False, 'export KUBECONFIG="{}/with space/.lab/kubeconfig" '),
        ("5$ each", False, 'export KUBECONFIG="{}/5\\$ each/.lab/kubeconfig" '),
    ],
)
def test_what_to_try_next_can_be_pasted_into_a_shell(
    tmp_path: Path,
    cluster: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: str,
    here: bool,
    line: str,
) -> None:
    place = tmp_path / folder
    place.mkdir()
    monkeypatch.chdir(place if here else "/")
    installs(monkeypatch, good)
    lifecycle.up(Lab(Settings(), place), keep=False)
    out = capsys.readouterr().out
    assert line.format(tmp_path) in out
    assert all(len(each) <= 80 for each in out.splitlines() if "KUBECONFIG" not in each and "apply -f" not in each)


@pytest.mark.parametrize("below_the_checkout", [True, False])
def test_the_manifest_to_try_next_is_there_from_where_the_user_stands(
    tmp_path: Path,
    cluster: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    below_the_checkout: bool,
) -> None:
    monkeypatch.chdir(MANIFESTS.parent if below_the_checkout else tmp_path)
    installs(monkeypatch, good)
    lifecycle.up(Lab(Settings(), tmp_path), keep=False)
    (line,) = (each for each in capsys.readouterr().out.splitlines() if "apply -f" in each)
    (file,) = shlex.split(line.partition(" -f ")[2])
    assert Path(file).is_file()
    assert Path(file).is_absolute() is not below_the_checkout


def test_a_terminal_gets_whole_names_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """They are there to be copied: on a narrow terminal a line runs on and no name is cut."""
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    console.table(("NAMESPACE", "POD"), [("istio-system", "istio-ingressgateway-9675b78ff-6s2fr")])
    assert "istio-system  istio-ingressgateway-9675b78ff-6s2fr\n" in capsys.readouterr().out


@pytest.mark.parametrize("fresh", [True, False])
def test_a_lab_that_is_killed_meanwhile_is_reported_as_that(
    lab: Lab, cluster: StandIn, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    def killed() -> Installed:
        cluster.running = False
        raise LabError("`kubectl apply -f ...` failed:\nconnection refused\nconnection refused")

    cluster.running = not fresh
    installs(monkeypatch, killed)
    with pytest.raises(LabError, match="the lab has ended while it was being brought up") as failure:
        lifecycle.up(lab, keep=False)
    assert "connection refused" not in failure.value.message
    assert "mesh-lab logs" in failure.value.hint
    assert "still up" not in failure.value.hint


def fail() -> Installed:
    raise LabError("not all became ready in time", hint="look there")


@pytest.mark.parametrize(
    ("before", "keep", "after", "message"),
    [
        (False, False, False, "the lab is down, and what it had stored is kept; `mesh-lab up --keep` leaves it up"),
        (False, True, True, "the lab is still up: `mesh-lab down` ends it"),
        (True, False, True, "the lab is still up: `mesh-lab down` ends it"),
    ],
)
def test_a_failed_installation_ends_what_was_started_and_nothing_else(
    lab: Lab, cluster: StandIn, monkeypatch: pytest.MonkeyPatch, before: bool, keep: bool, after: bool, message: str
) -> None:
    cluster.running = before
    installs(monkeypatch, fail)
    with pytest.raises(LabError, match="not all became ready in time") as failure:
        lifecycle.up(lab, keep=keep)
    assert cluster.running is after
    assert failure.value.hint.startswith("look there\n")
    assert message in failure.value.hint


@pytest.mark.parametrize("before", [False, True])
def test_a_lab_in_which_only_a_users_resource_is_wrong_stays_for_it_to_be_put_right(
    lab: Lab, cluster: StandIn, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    def refused() -> Installed:
        raise ConfigurationRejected("1 of 2 proxies are in sync", hint="correct it")

    cluster.running = before
    installs(monkeypatch, refused)
    with pytest.raises(LabError, match="1 of 2 proxies are in sync") as failure:
        lifecycle.up(lab, keep=False)
    assert cluster.running
    assert failure.value.hint == "correct it\nthe lab is still up: `mesh-lab down` ends it."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_installation_is_reported_and_ended(
    lab: Lab, cluster: StandIn, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted() -> Installed:
        os.kill(os.getpid(), number)
        threading.Event().wait(10)
        return good()

    installs(monkeypatch, interrupted)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(LabError, match="interrupted; the lab is down"):
        lifecycle.up(lab, keep=False)
    assert not cluster.running
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("kind", "interrupted; a cluster that was there before is there still"),
        ("existing", "interrupted; nothing was made in the cluster"),
    ],
)
def test_an_interrupted_look_at_a_cluster_is_not_called_its_removal(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: Literal["kind", "existing"], message: str
) -> None:
    def interrupted(_report: Report) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "up", interrupted)
    with pytest.raises(LabError, match=message):
        lifecycle.up(Lab(Settings(cluster=kind), tmp_path), keep=False)
    assert cluster.called == []


def test_when_the_removal_is_interrupted_too_the_command_for_it_is_reported(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    installs(monkeypatch, interrupted)
    monkeypatch.setattr(cluster, "down", interrupted)
    lab = Lab(Settings(name="two", cluster="kind"), tmp_path)
    with pytest.raises(
        LabError, match="interrupted; and so was taking it down: `mesh-lab --name two down --cluster kind`"
    ):
        lifecycle.up(lab, keep=False)


@pytest.mark.parametrize("directory", ["", "other place"])
@pytest.mark.parametrize("settings", [Settings(), Settings(name="two"), Settings(name="two", cluster="kind")])
def test_the_commands_that_messages_name_are_understood(tmp_path: Path, settings: Settings, directory: str) -> None:
    lab = Lab(settings, tmp_path, directory)
    for verb in ("up", "down", "reset", "status", "wait"):
        words = shlex.split(lab.command(verb))
        assert (directory in words) is bool(directory)
        assert words[0] == "mesh-lab"
        done = CliRunner().invoke(app, [*words[1:], "--help"])
        assert (done.exit_code, done.output.partition(" [OPTIONS]")[0].split()[-1]) == (0, verb), done.output


def test_a_fault_of_the_lab_ends_what_was_started_too(
    lab: Lab, cluster: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault() -> Installed:
        raise ZeroDivisionError

    installs(monkeypatch, fault)
    with pytest.raises(ZeroDivisionError):
        lifecycle.up(lab, keep=False)
    assert not cluster.running


def test_down_and_reset_say_what_they_did(lab: Lab, cluster: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.running = True
    lifecycle.down(lab)
    lifecycle.down(lab)
    cluster.running = True
    lifecycle.reset(lab)
    assert capsys.readouterr().out.splitlines() == [
        "the lab 'lab' is down",
        "the lab 'lab' was not up",
        f"deleted {lab.state_dir}",
    ]


def test_status_counts_pods_and_proxies(lab: Lab, cluster: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    leaving = pod("old", False)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    proxies = [{"proxy": "a", "synced": True, "connected": "x"}, {"proxy": "b", "synced": False, "connected": "x"}]

    def answer(path: str) -> Any:
        if path.startswith("/api/v1/pods"):
            return {"items": [pod("a", True, True), pod("b", True, False), leaving]}
        if path.startswith("/apis/apps/v1/deployments"):
            return {"items": []}
        return {"synced": False, "proxies": proxies}

    cluster.running = True
    lab.state_dir.mkdir()
    with serve(lab.state_dir, answer):
        status.show(lab, "json")
        found = msgspec.json.decode(capsys.readouterr().out)
        status.show(lab, "text")
        text = capsys.readouterr().out
    assert (found["pid"], found["phase"], found["ports"]["http"]) == (42, "ready", 8080)
    assert (found["pods"], found["proxies"]) == ({"good": 1, "total": 2}, {"good": 1, "total": 2})
    assert (found["profile"], found["internet"]) == ("demo", 11)
    assert "http://127.0.0.1:8080, https://127.0.0.1:8443 and tcp 127.0.0.1:31400" in text
    assert "11 names of the lab's own" in text
    assert "first process 42" in text
    assert "1 of 2 ready" in text
    assert "1 of 2 in sync" in text


def test_status_of_a_cluster_that_does_not_answer_is_still_a_status(
    lab: Lab, cluster: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.running = True
    lab.state_dir.mkdir()
    with serve(lab.state_dir, lambda _: {}):
        pass
    status.show(lab, "text")
    assert "unknown: no answer" in capsys.readouterr().out


def test_status_of_a_lab_that_is_down_ends_with_1(lab: Lab, cluster: StandIn) -> None:
    with pytest.raises(SystemExit) as ended:
        status.show(lab, "text")
    assert ended.value.code == 1


def test_status_prints_the_path_of_the_kubeconfig(
    lab: Lab, cluster: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        status.show(lab, "kubeconfig")
    assert capsys.readouterr().out == f"{lab.kubeconfig}\n"


def test_a_quiet_up_says_nothing(
    lab: Lab, cluster: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installs(monkeypatch, good)
    lifecycle.up(lab, keep=False, quiet=True)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert cluster.running

"""A cluster of somebody else's: which are refused before anything is touched, with a stand-in of kubectl."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from mesh_lab.client import kubectl
from mesh_lab.clusters import existing as module
from mesh_lab.clusters.existing import ExistingCluster
from mesh_lab.errors import LabError
from mesh_lab.settings import Existing, Lab, Settings
from tests.unit.standins import StandIns, answer

VIEW = {
    "current-context": "team",
    "clusters": [{"name": "c", "cluster": {"server": "https://k8s.example.com"}}],
    "contexts": [{"name": "team", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {"token": "secret"}}],
}
REFUSED = "The connection to the server k8s.example.com was refused - did you specify the right host or port?\n"


def version(minor: str = "33") -> str:
    return json.dumps({"serverVersion": {"major": "1", "minor": minor, "gitVersion": f"v1.{minor.strip('+')}.4-gke.1"}})


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "theirs").write_text("apiVersion: v1\n")
    return Lab(Settings(cluster="existing", existing=Existing(contexts=["team"], kubeconfig="theirs")), tmp_path)


@pytest.fixture
def tools(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    made = StandIns(lab.directory / "bin")
    start = ("--kubeconfig", str(lab.kubeconfig), "--cache-dir", str(lab.state_dir / "kubectl-cache"))
    made.add(
        "kubectl",
        answer("config", "view", out=json.dumps(VIEW)),
        answer(*start, "version", out=version()),
        answer(*start, "auth", "can-i", out="yes\n"),
        answer(*start, "delete", "namespaces"),
    )
    monkeypatch.setattr(kubectl, "program", lambda: str(made.directory / "kubectl"))
    monkeypatch.setattr(module, "program", lambda: str(made.directory / "kubectl"))
    return made


def opened(lab: Lab, tools: StandIns) -> ExistingCluster:
    return ExistingCluster(lab, tools.environ)


def words(tools: StandIns) -> list[str]:
    return [call[1] if call[1] == "config" else call[5] for call in tools.calls("kubectl")]


def prefer(lab: Lab, tools: StandIns, *verb: str, **how: object) -> None:
    start = ("--kubeconfig", str(lab.kubeconfig), "--cache-dir", str(lab.state_dir / "kubectl-cache"))
    tools.prefer("kubectl", answer(*start, *verb, **how))  # type: ignore[arg-type]


def quiet(_line: str) -> None:
    """Listen to nothing."""


def test_the_context_is_copied_and_the_cluster_only_read(lab: Lab, tools: StandIns) -> None:
    cluster = opened(lab, tools)
    assert cluster.up(quiet)
    assert words(tools) == ["config", "version", "auth"]
    assert json.loads(lab.kubeconfig.read_text()) == VIEW
    assert lab.kubeconfig.stat().st_mode & 0o777 == 0o600
    record = cluster.record()
    assert record is not None
    assert (record.context, record.server) == ("team", "https://k8s.example.com")
    assert record.instance.startswith("lab-")
    assert not cluster.up(quiet)
    assert (lab.directory / "theirs").read_text() == "apiVersion: v1\n"


def test_down_deletes_what_carries_the_labs_own_label_and_nothing_else(lab: Lab, tools: StandIns) -> None:
    cluster = opened(lab, tools)
    cluster.up(quiet)
    record = cluster.record()
    assert record is not None
    assert cluster.down(quiet)
    selector = f"mesh-lab/instance={record.instance}"
    delete = tools.calls("kubectl")[-1][5:]
    assert delete == ["delete", "namespaces", "--selector", selector, "--wait", "--timeout=180s"]
    assert not lab.kubeconfig.exists()
    assert not cluster.down(quiet)


def test_when_the_removal_fails_its_command_is_named_and_the_record_stays(lab: Lab, tools: StandIns) -> None:
    cluster = opened(lab, tools)
    cluster.up(quiet)
    prefer(lab, tools, "delete", err=[REFUSED], code=1)
    with pytest.raises(LabError, match="may still be there") as failure:
        cluster.down(quiet)
    assert "kubectl --context team delete namespaces --selector mesh-lab/instance=" in failure.value.hint
    assert cluster.record() is not None


@pytest.mark.parametrize("contexts", [[], ["other"]])
def test_a_context_that_is_not_listed_is_refused_before_any_request(
    lab: Lab, tools: StandIns, contexts: list[str]
) -> None:
    changed = msgspec.structs.replace(lab.settings.existing, contexts=contexts)
    lab = Lab(msgspec.structs.replace(lab.settings, existing=changed), lab.directory)
    with pytest.raises(LabError, match="'team' is not on the list of contexts") as failure:
        opened(lab, tools).up(quiet)
    assert 'contexts = ["team"]' in failure.value.hint
    assert words(tools) == ["config"]
    assert not lab.state_dir.exists()


@pytest.mark.parametrize(
    ("verb", "how", "message"),
    [
        ("version", {"err": [REFUSED], "code": 1}, "the cluster does not answer"),
        ("version", {"out": '{"clientVersion": {}}'}, "does not say which version"),
        ("version", {"out": version("29+")}, r"too old: Kubernetes v1\.29\.4-gke\.1, 1\.30 or later"),
        ("auth", {"out": "no\n", "code": 1}, "may not create namespaces"),
    ],
)
def test_an_unsuitable_cluster_is_an_error_and_nothing_is_kept(
    lab: Lab, tools: StandIns, verb: str, how: dict[str, object], message: str
) -> None:
    prefer(lab, tools, verb, **how)
    with pytest.raises(LabError, match=message):
        opened(lab, tools).up(quiet)
    assert not lab.kubeconfig.exists()
    assert opened(lab, tools).record() is None


def test_a_cluster_that_does_not_answer_times_out(lab: Lab, tools: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_QUICK_SECONDS", 1.0)
    prefer(lab, tools, "version", hangs=True)
    with pytest.raises(LabError, match="took more than 1 s"):
        opened(lab, tools).up(quiet)


def test_a_missing_or_broken_kubeconfig_is_an_error(lab: Lab, tools: StandIns) -> None:
    tools.prefer("kubectl", answer("config", err=["error: error loading config file: yaml: line 3\n"], code=1))
    with pytest.raises(LabError, match=r"cannot be used\n.*\nerror: error loading config file"):
        opened(lab, tools).up(quiet)
    tools.prefer("kubectl", answer("config", out='{"clusters": null, "current-context": ""}'))
    with pytest.raises(LabError, match="names no cluster"):
        opened(lab, tools).up(quiet)
    (lab.directory / "theirs").unlink()
    with pytest.raises(LabError, match=r"there is no kubeconfig .*theirs"):
        opened(lab, tools).up(quiet)


def test_a_lab_does_not_move_to_another_cluster_by_itself(lab: Lab, tools: StandIns) -> None:
    opened(lab, tools).up(quiet)
    moved = VIEW | {"clusters": [{"name": "c", "cluster": {"server": "https://other.example.com"}}]}
    tools.prefer("kubectl", answer("config", out=json.dumps(moved)))
    with pytest.raises(LabError, match=r"is on team at https://k8s\.example\.com already"):
        opened(lab, tools).up(quiet)


def test_the_plan_writes_nothing(lab: Lab, tools: StandIns) -> None:
    elsewhere = ("--kubeconfig", "*", "--cache-dir", "*")
    tools.prefer("kubectl", answer(*elsewhere, "version", out=version()), answer(*elsewhere, "auth", out="yes\n"))
    assert opened(lab, tools).plan() == ["use the context team at https://k8s.example.com", "Kubernetes v1.33.4-gke.1"]
    assert not lab.state_dir.exists()
    with opened(lab, tools).looked_at() as kubeconfig:
        assert json.loads(kubeconfig.read_text()) == VIEW
    assert not lab.state_dir.exists()


def test_the_plan_for_an_unsuitable_cluster_is_an_error(lab: Lab, tools: StandIns) -> None:
    elsewhere = ("--kubeconfig", "*", "--cache-dir", "*")
    tools.prefer("kubectl", answer(*elsewhere, "version", out=version("29")))
    with pytest.raises(LabError, match=r"too old: Kubernetes v1\.29"):
        opened(lab, tools).plan()
    assert not lab.state_dir.exists()


def test_relative_paths_of_a_kubeconfig_still_lead_there_from_the_copy(lab: Lab, tools: StandIns) -> None:
    (lab.directory / "home").mkdir()
    theirs = lab.directory / "home" / "config"
    theirs.write_text("users:\n- name: u\n")
    nobodys = lab.directory / "nobodys"
    nobodys.write_text("users:\n- name: other\n")
    environ = tools.environ | {"KUBECONFIG": f"{nobodys}:{lab.directory / 'gone'}:{theirs}"}
    changed = msgspec.structs.replace(lab.settings.existing, kubeconfig="")
    lab = Lab(msgspec.structs.replace(lab.settings, existing=changed), lab.directory)
    for user, kept in (
        ({"exec": {"command": "./sign-in"}}, {"exec": {"command": f"{theirs.parent}/sign-in"}}),
        ({"exec": {"command": "aws"}}, {"exec": {"command": "aws"}}),
        ({"exec": {"command": "/opt/sign-in"}}, {"exec": {"command": "/opt/sign-in"}}),
        ({"tokenFile": "token"}, {"tokenFile": f"{theirs.parent}/token"}),
    ):
        view = VIEW | {"users": [{"name": "u", "user": user}]}
        tools.prefer("kubectl", answer("config", "view", out=json.dumps(view)))
        ExistingCluster(lab, environ).up(quiet)
        assert json.loads(lab.kubeconfig.read_text())["users"][0]["user"] == kept

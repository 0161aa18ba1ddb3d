"""Small parts of the harness."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh_lab.client.rollout import is_rolled_out
from mesh_lab.harness.convergence import eventually
from mesh_lab.harness.namespaces import _dns_label
from mesh_lab.harness.proxies import parse_stats, total
from mesh_lab.harness.traffic import as_sent
from mesh_lab.harness.workloads import IMAGE, Template, client_deployment, echo_deployment, echo_service


def test_statistics_are_read_and_added_up() -> None:
    text = (
        'cluster.outbound|80||echo.upstream_rq_retry: 3\ncluster.other.upstream_rq_retry: 4\nx: P0(1,2)\nversion: "a"\n'
    )
    stats = parse_stats(text)
    assert len(stats) == 2
    assert total(stats, "upstream_rq_retry") == 7
    assert total(stats, "echo", "upstream_rq_retry") == 3


@pytest.mark.parametrize(
    ("text", "label"),
    [("test_split_90_10[a-b]", "split-90-10-a-b"), ("x" * 80, "x" * 50), ("___", "test")],
)
def test_namespaces_are_named_for_their_test(text: str, label: str) -> None:
    assert _dns_label(text) == label


def test_eventually_gives_what_it_found_or_says_why_it_waited() -> None:
    answers = iter([None, 0, 7])
    assert eventually(lambda: next(answers), timeout=5, why="it comes") == 7
    with pytest.raises(TimeoutError, match=r"it comes \(last seen: 0\)"):
        eventually(lambda: 0, timeout=0.01, why="it comes")


def test_a_rollout_is_done_when_all_replicas_are_new_and_available() -> None:
    status = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    deployment = {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}
    assert is_rolled_out(deployment)
    for field, value in (("observedGeneration", 1), ("replicas", 3), ("updatedReplicas", 1), ("availableReplicas", 0)):
        assert not is_rolled_out({**deployment, "status": {**status, field: value}})


def test_workloads_select_the_pods_that_they_make() -> None:
    template = Template("echo", labels={"extra": "1"})
    deployment = echo_deployment(template, "v2", 3)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app": "echo", "version": "v2", "extra": "1"}
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert echo_service("echo")["spec"]["selector"].items() <= labels.items()
    assert [c["image"] for c in deployment["spec"]["template"]["spec"]["containers"]] == [IMAGE]
    own = client_deployment(Template("client", "registry.test/client:1"), capture=True)
    assert {c["image"] for c in own["spec"]["template"]["spec"]["containers"]} == {"registry.test/client:1"}
    capture = client_deployment(Template("client"), capture=True)["spec"]["template"]["spec"]["containers"][1]
    assert capture["securityContext"]["capabilities"] == {"add": ["NET_RAW"]}


def test_loading_the_plugin_imports_next_to_nothing() -> None:
    # Every pytest of the environment loads it.
    code = (
        "import sys, pytest; before = set(sys.modules); import mesh_lab.harness.plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"mesh_lab", "mesh_lab.harness", "mesh_lab.harness.plugin"}


def test_a_pytest_that_has_the_plugin_imports_none_of_the_harness(tmp_path: Path) -> None:
    code = "print('imported', *sorted(name for name in sys.modules if name.startswith('mesh_lab')))"
    (tmp_path / "test_all.py").write_text(f"import sys\n\ndef test_it():\n    {code}\n")
    command = [sys.executable, "-m", "pytest", "-qs", "-p", "mesh_lab.harness.plugin", str(tmp_path)]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    imported = next(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("imported"))
    assert set(imported) == {
        "mesh_lab",
        "mesh_lab.harness",
        "mesh_lab.harness.oldnames",
        "mesh_lab.harness.plugin",
        "mesh_lab.rollout",
        "mesh_lab.rollout.fixtures",
    }


def test_a_request_that_is_traced_keeps_the_id_that_its_client_gave_it() -> None:
    assert as_sent("5a44fab3-0d6d-9986-a872-7453ec805ecf") == "5a44fab3-0d6d-4986-a872-7453ec805ecf"
    assert as_sent("5a44fab3-0d6d-4986-a872-7453ec805ecf") == "5a44fab3-0d6d-4986-a872-7453ec805ecf"
    assert as_sent("mine") == "mine"

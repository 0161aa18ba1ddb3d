"""The lab as a guest in a cluster that somebody else runs: this one, which it is told nothing else about."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.harness.api import Api, Reference
from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.timeout(240)
NAMESPACE = "mesh-lab-guest"
KINDS = (
    "namespaces",
    "deployments",
    "services",
    "serviceaccounts",
    "configmaps",
    "secrets",
    "customresourcedefinitions",
)
MESH_KINDS = ("virtualservices", "destinationrules", "gateways", "peerauthentications", "authorizationpolicies")


class Guest:
    """`mesh-lab --cluster existing` in a directory of its own."""

    def __init__(self, directory: Path, kubeconfig: Path, context: str) -> None:
        self.directory = directory
        self.kubeconfig = kubeconfig
        listed = json.dumps([context])
        (directory / "lab.toml").write_text(f'[existing]\ncontexts = {listed}\nnamespace = "{NAMESPACE}"\n')

    def run(self, command: str, *arguments: str, code: int = 0) -> str:
        """What a command prints, both streams; its exit code is `code`."""
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "lab.cli",
                "--dir",
                str(self.directory),
                command,
                "--cluster",
                "existing",
                *arguments,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == code, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout

    def up(self, *arguments: str, code: int = 0) -> str:
        """Bring it up on the cluster under test."""
        return self.run("up", "--kubeconfig", str(self.kubeconfig), *arguments, code=code)


@pytest.fixture
def guest(kube: Api, mesh_kubeconfig: Path, tmp_path: Path) -> Iterator[Guest]:
    context = kube.kubectl("config", "current-context").strip()
    made = Guest(tmp_path, mesh_kubeconfig.resolve(), context)
    yield made
    made.run("down")


def inventory(kube: Api) -> set[str]:
    """Everything in the cluster that a guest could have made or removed."""
    found = kube.kubectl("get", ",".join((*KINDS, *MESH_KINDS)), "--all-namespaces", "--output", "json")
    objects = [(item["kind"], item["metadata"]) for item in json.loads(found)["items"]]
    tests = {
        meta["name"] for kind, meta in objects if kind == "Namespace" and "mesh-lab/test" in meta.get("labels", {})
    }
    return {
        f"{kind} {meta.get('namespace', '')}/{meta['name']} {meta.get('labels')}"
        for kind, meta in objects
        if meta.get("namespace") not in tests and meta["name"] not in tests
    }


def test_a_guest_lives_in_a_namespace_of_its_own_and_leaves_nothing(kube: Api, guest: Guest) -> None:
    before = inventory(kube)
    plan = guest.up("--dry-run")
    assert f"make Deployment {NAMESPACE}/productpage-v1" in plan
    assert inventory(kube) == before

    guest.up()
    made = inventory(kube) - before
    assert before <= inventory(kube)
    assert {line.split()[1].split("/")[0] for line in made if not line.startswith("Namespace")} == {NAMESPACE}
    assert guest.up().count("is up after") == 1

    url = f"http://istio-ingressgateway.{NAMESPACE}/productpage"
    client = ("exec", "--namespace", NAMESPACE, "deploy/traffic-client", "--container", "client", "--")
    kube.kubectl(*client, "mesh-lab-app", "send", url)
    kube.kubectl("apply", "--namespace", NAMESPACE, "-f", str(ROOT / "manifests/scenarios/canary-90-10.yaml"))
    assert guest.run("wait", "--namespace", NAMESPACE, "virtualservice/reviews").endswith("live\n")

    guest.run("down")
    assert inventory(kube) == before


def test_a_namespace_of_somebody_elses_is_not_touched(kube: Api, guest: Guest) -> None:
    theirs = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {"team": "other"}}}
    kube.create(theirs)
    try:
        before = inventory(kube)
        assert f"there is a namespace {NAMESPACE} that this lab did not make" in guest.up(code=1)
        assert inventory(kube) == before
    finally:
        kube.delete(Reference("v1", "Namespace", NAMESPACE))
        kube.kubectl("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=60s")


def test_a_context_that_is_not_listed_is_not_used(kube: Api, guest: Guest) -> None:
    (guest.directory / "lab.toml").write_text("[existing]\ncontexts = []\n")
    assert "is not on the list of contexts that the lab may touch" in guest.up(code=1)

"""The lab as a guest in a cluster that somebody else runs: this one, which it is told nothing else about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh_lab.testing import Api, Object, Reference
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.timeout(240), pytest.mark.mesh_exclusive]
NAMESPACE = "mesh-lab-guest"
MOVING = (
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "ipaddresses.networking.k8s.io",
    "componentstatuses",
)
"""Kinds whose objects the cluster makes and changes by itself."""
LEADER = "control-plane.alpha.kubernetes.io/leader"


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
                "mesh_lab.cli",
                "--dir",
                str(self.directory),
                command,
                "--cluster",
                "existing",
                *arguments,
            ],
            cwd=ROOT,
            # What this lab was started with is no setting of its guest's.
            env={name: value for name, value in os.environ.items() if not name.startswith("MESH_LAB_")},
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
def guest(mesh_api: Api, mesh_kubeconfig: Path, tmp_path: Path) -> Iterator[Guest]:
    context = mesh_api.kubectl("config", "current-context").strip()
    made = Guest(tmp_path, mesh_kubeconfig.resolve(), context)
    yield made
    made.run("down")


def inventory(mesh_api: Api) -> dict[str, Object]:
    """Every object as somebody has made it, but for those of other tests, by kind, namespace and name."""
    served = mesh_api.kubectl("api-resources", "--verbs=list", "--output", "name").split()
    kinds = [kind for kind in served if kind not in MOVING and not kind.endswith(".metrics.k8s.io")]
    found = mesh_api.kubectl("get", ",".join(kinds), "--all-namespaces", "--output", "json")
    objects: list[Object] = json.loads(found)["items"]
    tests = {
        obj["metadata"]["name"]
        for obj in objects
        if obj["kind"] == "Namespace" and "mesh-lab/test" in obj["metadata"].get("labels", {})
    }
    return {
        f"{obj['kind']} {meta.get('namespace', '')}/{meta['name']}": _as_made(obj)
        for obj in objects
        if (meta := obj["metadata"]).get("namespace") not in tests and meta["name"] not in tests
    }


def _as_made(obj: Object) -> Object:
    """The object without what the cluster itself keeps up to date; its `uid` tells whether it is still the same."""
    meta = {key: value for key, value in obj["metadata"].items() if key not in ("resourceVersion", "managedFields")}
    if LEADER in meta.get("annotations", {}):
        meta["annotations"] = {key: value for key, value in meta["annotations"].items() if key != LEADER}
    return {key: value for key, value in obj.items() if key != "status"} | {"metadata": meta}


def test_a_guest_lives_in_a_namespace_of_its_own_and_leaves_nothing(mesh_api: Api, guest: Guest) -> None:
    before = inventory(mesh_api)
    plan = guest.up("--dry-run")
    assert f"make Deployment {NAMESPACE}/productpage-v1" in plan
    assert inventory(mesh_api) == before

    guest.up()
    present = inventory(mesh_api)
    assert {name: present.get(name) for name in before} == before
    made = [name for name in present if name not in before]
    assert f"Namespace /{NAMESPACE}" in made
    assert {name.split()[1].split("/")[0] for name in made if not name.startswith("Namespace ")} == {NAMESPACE}
    assert guest.up().count("is up after") == 1

    url = f"http://istio-ingressgateway.{NAMESPACE}/productpage"
    client = ("exec", "--namespace", NAMESPACE, "deploy/traffic-client", "--container", "client", "--")
    mesh_api.kubectl(*client, "mesh-lab-app", "send", url)
    mesh_api.kubectl("apply", "--namespace", NAMESPACE, "-f", str(ROOT / "manifests/scenarios/canary-90-10.yaml"))
    assert guest.run("wait", "--namespace", NAMESPACE, "virtualservice/reviews").endswith("live\n")

    guest.run("down")
    assert inventory(mesh_api) == before


def test_a_namespace_of_somebody_elses_is_not_touched(mesh_api: Api, guest: Guest) -> None:
    theirs = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {"team": "other"}}}
    mesh_api.create(theirs)
    try:
        before = inventory(mesh_api)
        assert f"there is a namespace {NAMESPACE} that this lab did not make" in guest.up(code=1)
        assert inventory(mesh_api) == before
    finally:
        mesh_api.delete(Reference("v1", "Namespace", NAMESPACE))
        mesh_api.kubectl("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=60s")


def test_a_context_that_is_not_listed_is_not_used(mesh_api: Api, guest: Guest) -> None:
    (guest.directory / "lab.toml").write_text("[existing]\ncontexts = []\n")
    assert "is not on the list of contexts that the lab may touch" in guest.up(code=1)

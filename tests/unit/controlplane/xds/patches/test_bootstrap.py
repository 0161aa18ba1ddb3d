"""EnvoyFilter with `applyTo: BOOTSTRAP`: merged into what a pod's proxy is started with."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.injection.injector import Place, inject
from mesh_lab.controlplane.model import EnvoyFilter
from tests.unit.controlplane.authorities import signer
from tests.unit.controlplane.cluster import bookinfo
from tests.unit.controlplane.edges import Case
from tests.unit.controlplane.envoy import ENVOY
from tests.unit.controlplane.judging import accepted
from tests.unit.controlplane.xds.patches.patched import envoy_filter, patch
from tests.unit.controlplane.xds.patches.values import patches

APPLICATION = {"metadata": {"name": "a", "labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}


def started(*filters: dict[str, Any]) -> dict[str, Any]:
    """The bootstrap of an injected pod."""
    table = bookinfo().istio(*filters).snapshot().of(EnvoyFilter)
    spec = inject(APPLICATION, Place(filters=table), "default")["spec"]
    (proxy,) = (each for each in (*spec["containers"], *spec["initContainers"]) if each["name"] == "istio-proxy")
    document: dict[str, Any] = json.loads(proxy["args"][proxy["args"].index("--config-yaml") + 1])
    return document


def test_it_is_merged_into_the_bootstrap_of_the_pods_that_it_selects() -> None:
    change = patch("BOOTSTRAP", "MERGE", {"stats_flush_interval": "7s", "stats_sinks": [{"name": "mine"}]})
    found = started(envoy_filter(change, workloadSelector={"labels": {"app": "a"}}))
    assert found["stats_flush_interval"] == "7s"
    assert found["stats_sinks"] == [{"name": "mine"}]
    assert found["node"] == started()["node"]
    assert len(found["static_resources"]["clusters"]) == len(started()["static_resources"]["clusters"])
    assert started(envoy_filter(change, workloadSelector={"labels": {"app": "b"}})) == started()
    assert started(envoy_filter({**change, "match": {"context": "GATEWAY"}})) == started()


SECRETS = "/var/run/secrets"
DEPTH = 1


def judged(text: str, file: Path) -> tuple[int, str]:
    """Envoy's exit code for a bootstrap, and its last words. Files that the bootstrap names are made beside it."""
    file.write_text(text)
    command = [str(ENVOY), "--mode", "validate", "--disable-hot-restart", "-l", "critical", "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=file.parent)
    return done.returncode, done.stderr.strip()


def edges() -> list[dict[str, Any]]:
    """Patches with a field of the bootstrap at an edge, which pass the checks."""
    made = (each for each in patches("BOOTSTRAP", DEPTH) if each["patch"]["operation"] == "MERGE")
    return [each for each in made if accepted(Case("EnvoyFilter", "", {"configPatches": [each]}))]


def ends(cases: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of each field the first and the last value: each is a run of Envoy's."""
    by_field: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        by_field.setdefault(field_of(case["patch"]["value"]), []).append(case)
    for some in by_field.values():
        yield some[0]
        if some[-1] is not some[0]:
            yield some[-1]


def field_of(value: Any) -> str:
    if isinstance(value, list):
        return field_of(value[0])
    return "".join(f".{name}{field_of(inner)}" for name, inner in value.items()) if isinstance(value, dict) else ""


def test_no_pod_is_refused_for_one_with_a_field_at_an_edge() -> None:
    cases = edges()
    assert len(cases) > 300
    for each in cases:
        assert started(envoy_filter(each))["node"]["cluster"]


@pytest.mark.timeout(900)
def test_envoy_starts_with_it_or_says_why_not(tmp_path: Path) -> None:
    """It does not crash: its last words stand in the status of the container."""
    for part, name in (("tokens", "istio-token"), ("istio", "root-cert.pem")):
        (tmp_path / part).mkdir()
        (tmp_path / part / name).write_bytes(signer("root").pem)
    documents = [
        json.dumps(started(envoy_filter(each))).replace(SECRETS, str(tmp_path)).replace("$(INSTANCE_IP)", "127.0.0.1")
        for each in ends(edges())
    ]
    with ThreadPoolExecutor(2) as pool:
        verdicts = [*pool.map(judged, documents, (tmp_path / f"{number}.json" for number in range(len(documents))))]
    assert {code for code, _ in verdicts} == {0, 1}
    assert all(words for code, words in verdicts if code)

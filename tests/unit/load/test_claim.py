"""One load run at a time: the second is refused, and what a killed one has left is taken over."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

import msgspec
import pytest

from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Object, Reference
from mesh_lab.load import claim
from mesh_lab.load.claim import Claim, RunUnderWay

NAMESPACE: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "load", "labels": {"a": "b"}}}
REF = Reference("v1", "Namespace", "load")


class Cluster:
    """Namespaces, as far as a run needs them."""

    def __init__(self) -> None:
        self.stored: dict[str, Object] = {}
        self.removed: list[str] = []

    def create(self, obj: Object) -> Object:
        name = obj["metadata"]["name"]
        if name in self.stored:
            raise ApiError(409, "already exists", reason="AlreadyExists")
        self.stored[name] = obj
        return obj

    def find(self, ref: Reference) -> Object | None:
        return self.stored.get(ref.name)

    def delete(self, ref: Reference, grace: int | None = None) -> None:
        self.removed.append(ref.name)
        self.stored.pop(ref.name, None)

    def path(self, api_version: str, kind: str) -> str:
        return "/api/v1/namespaces"

    def wait_until(self, _path: str, condition: Any, **_: Any) -> None:
        assert condition(self.stored)


def take(cluster: Cluster, mine: Claim, *, replace: bool = False) -> None:
    claim.take(cluster, NAMESPACE, mine, replace=replace)  # type: ignore[arg-type]


def dead() -> Claim:
    """The claim of a process that has ended."""
    with subprocess.Popen(["sleep", "60"]) as process:
        made = msgspec.structs.replace(Claim.here(60), process=process.pid, started=claim._started(process.pid))
        assert not made.over()
        process.kill()
    return made


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_run_marks_its_namespace_and_keeps_the_labels(cluster: Cluster) -> None:
    mine = Claim.here(60)
    take(cluster, mine)
    assert cluster.stored["load"]["metadata"]["labels"] == {"a": "b"}
    assert claim.held(cluster, REF, mine)  # type: ignore[arg-type]


def test_a_second_run_is_refused_with_the_process_and_the_end_of_the_first(cluster: Cluster) -> None:
    take(cluster, Claim.here(60))
    with pytest.raises(RunUnderWay, match=rf"process {os.getpid()} on .*, since .*, until .*--replace"):
        take(cluster, msgspec.structs.replace(Claim.here(60), process=1, started="1"))
    assert cluster.removed == []


def test_a_run_of_another_machine_is_believed_until_its_time_is_over(cluster: Cluster) -> None:
    theirs = msgspec.structs.replace(dead(), host="elsewhere")
    take(cluster, theirs)
    with pytest.raises(RunUnderWay, match="on elsewhere"):
        take(cluster, Claim.here(60))
    cluster.stored.clear()
    take(cluster, msgspec.structs.replace(theirs, until=time.time() - 1))
    take(cluster, Claim.here(60))


def test_what_a_killed_run_has_left_is_removed(cluster: Cluster) -> None:
    take(cluster, dead())
    mine = Claim.here(60)
    take(cluster, mine)
    assert cluster.removed == ["load"]
    assert claim.held(cluster, REF, mine)  # type: ignore[arg-type]


@pytest.mark.parametrize("annotations", [{}, {claim.ANNOTATION: "{"}, {claim.ANNOTATION: '{"host": 1}'}])
def test_a_namespace_that_does_not_say_whose_it_is_stays(cluster: Cluster, annotations: dict[str, str]) -> None:
    cluster.stored["load"] = {**NAMESPACE, "metadata": {"name": "load", "annotations": annotations}}
    with pytest.raises(RunUnderWay, match="it does not say whose it is"):
        take(cluster, Claim.here(60))
    take(cluster, Claim.here(60), replace=True)
    assert cluster.removed == ["load"]


def test_a_run_that_was_replaced_no_longer_holds_the_namespace(cluster: Cluster) -> None:
    first, second = Claim.here(60), msgspec.structs.replace(Claim.here(60), since=1.0)
    take(cluster, first)
    take(cluster, second, replace=True)
    assert not claim.held(cluster, REF, first)  # type: ignore[arg-type]
    assert claim.held(cluster, REF, second)  # type: ignore[arg-type]

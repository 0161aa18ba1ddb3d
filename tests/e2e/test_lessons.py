"""Each lesson is right: its untouched start fails, each wrong solution fails with its own words, its solution passes.

`make lessons` runs this module, and shows how many seconds each step takes.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh_lab.client.connection import ApiError
from mesh_lab.client.kubectl import program
from mesh_lab.errors import LabError
from mesh_lab.harness.workloads import Images
from mesh_lab.learn import catalogue, trial
from mesh_lab.learn.lesson import namespace_of, read, solution_of
from mesh_lab.learn.making import make
from mesh_lab.learn.place import Place
from mesh_lab.learn.variants import choose
from mesh_lab.testing import Api, Reference

RESET_SECONDS = 2.0
NAMES = catalogue.names()


def tell(line: str) -> None:
    """Shown by `pytest -s`, and with a test that fails."""
    print(line, flush=True)  # noqa: T201


@pytest.fixture
def images(mesh_echo_image: str, mesh_client_image: str) -> Images:
    return Images(mesh_echo_image, mesh_client_image)


def usable(request: pytest.FixtureRequest, name: str) -> None:
    kind, wanted = request.config.getoption("--mesh-cluster"), catalogue.find(name).about.clusters
    if kind not in wanted:
        pytest.skip(f"the lesson {name} is for {', '.join(wanted)}, not for {kind} clusters")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(300)
def test_a_lesson_is_right(name: str, mesh_api: Api, images: Images, request: pytest.FixtureRequest) -> None:
    usable(request, name)
    begun = time.monotonic()
    tell(f"\n{name}")
    trial.of(mesh_api, catalogue.find(name), "", images, tell)
    tell(f"  {time.monotonic() - begun:.1f} s")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(300)
def test_the_commands_of_a_text_show_something(
    name: str, mesh_api: Api, images: Images, request: pytest.FixtureRequest
) -> None:
    """Those before the tasks at the start, and those of what happens underneath once all is solved."""
    usable(request, name)
    lesson = catalogue.find(name)
    given = lesson.values(namespace_of(name, "shown"), choose(lesson.about.variants, "", name))
    place = Place(mesh_api, lesson.filled(given), given, images, "0" * 32)
    place.set_up()
    try:
        silent = [command for command in commands(place.lesson.opening) if not shown(mesh_api, command)]
        for task in place.lesson.tasks:
            place.apply(place.solution(solution_of(lesson, task.number)))
            assert place.check(task.number).passed
        closing = [command for section in place.lesson.closing for command in commands(section.text)]
        silent += [command for command in closing if not shown(mesh_api, command)]
    finally:
        place.remove()
    assert silent == []


def commands(text: str) -> list[str]:
    """What a learner is to type: the blocks of a shell."""
    return re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shown(api: Api, command: str) -> bool:
    """Whether each line of a block succeeds, and the block prints something."""
    path = f"{Path(program()).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", command.replace("kubectl ", f"{program()} ")],
        env=os.environ | {"KUBECONFIG": str(api.kubeconfig), "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    tell(f"{command}{done.stdout[-2000:]}{done.stderr}")
    return done.returncode == 0 and bool(done.stdout.strip())


def test_a_new_lesson_is_right(tmp_path: Path, mesh_api: Api, images: Images) -> None:
    make(tmp_path / "mine")
    trial.of(mesh_api, read(tmp_path / "mine"), "", images, tell)


@pytest.fixture
def place(mesh_api: Api, images: Images) -> Iterator[Place]:
    """The lesson on canaries, begun."""
    lesson = catalogue.find("canary")
    given = lesson.values(namespace_of("canary", "e2e"), choose(lesson.about.variants, "", "canary"))
    place = Place(mesh_api, lesson.filled(given), given, images, "0" * 32)
    place.set_up()
    yield place
    place.remove()


def test_a_reset_brings_the_start_back_within_two_seconds(place: Place, mesh_api: Api) -> None:
    """Whatever a learner has added, changed and deleted."""
    before = sorted(pod["metadata"]["name"] for pod in place.mesh.pods("shop"))
    place.apply(place.solution("solution/task-1.yaml"))
    place.mesh.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}, "data": {"a": "b"}})
    mesh_api.patch(Reference("v1", "Service", "shop", place.namespace), {"spec": {"selector": {"app": "nobody"}}})
    begun = time.monotonic()
    place.set_up()
    took = time.monotonic() - begun
    assert mesh_api.list_all("networking.istio.io/v1", "VirtualService", place.namespace) == []
    assert mesh_api.find(Reference("v1", "ConfigMap", "notes", place.namespace)) is None
    service = mesh_api.get(Reference("v1", "Service", "shop", place.namespace))
    assert service["spec"]["selector"] == {"app": "shop"}
    assert sorted(pod["metadata"]["name"] for pod in place.mesh.pods("shop")) == before, "pods were made anew"
    assert took < RESET_SECONDS, f"the reset took {took:.1f} s"


def test_a_deleted_deployment_is_named_and_brought_back(place: Place, mesh_api: Api) -> None:
    mesh_api.delete(Reference("apps/v1", "Deployment", "client", place.namespace))
    with pytest.raises(LabError) as missing:
        place.check(1)
    assert missing.value.message == f"{place.namespace} lacks its Deployments client"
    assert "mesh-lab learn reset" in missing.value.hint
    place.set_up()
    assert not place.check(1).passed


def test_a_deleted_namespace_is_named_and_brought_back(place: Place, mesh_api: Api) -> None:
    mesh_api.delete(Reference("v1", "Namespace", place.namespace))
    with pytest.raises(LabError) as missing:
        place.check(1)
    assert missing.value.message == f"the lesson's namespace {place.namespace} is deleted"
    place.set_up()
    assert not place.check(1).passed


def test_a_namespace_of_somebody_else_is_left_alone(mesh_api: Api, images: Images) -> None:
    """A start deletes what its namespace holds, so it must be the lesson's own."""
    lesson = catalogue.find("canary")
    name = namespace_of("canary", "foreign")
    mesh_api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        given = lesson.values(name, lesson.about.variants[0])
        with pytest.raises(LabError) as refused:
            Place(mesh_api, lesson.filled(given), given, images, "0" * 32).set_up()
        assert "is not of a lesson" in refused.value.message
    finally:
        mesh_api.delete(Reference("v1", "Namespace", name))


def test_a_rule_that_the_mesh_refuses_is_told_as_such(place: Place) -> None:
    """A learner's mistake is a verdict, and no fault of the lesson."""
    wrong = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "shop"},
        "spec": {"hosts": ["shop"], "http": [{"route": [{"destination": {"host": "shop"}, "weight": -5}]}]},
    }
    with pytest.raises(ApiError):
        place.apply([wrong])
    assert not place.check(1).passed

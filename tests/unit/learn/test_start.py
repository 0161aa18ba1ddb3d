"""The start's objects: sidecars as the front matter says, a token that stays, and what is wrong with a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.harness.workloads import TOKEN_VARIABLE, Images
from mesh_lab.learn.lesson import Lesson, read, solution_of
from mesh_lab.learn.problems import BrokenLesson
from mesh_lab.learn.start import INJECT, manifests, start, workloads
from tests.unit.learn.folders import OBJECT, TEXT, lesson

GIVEN = {"share": 10, "namespace": "learn-mine", "lesson": "mine"}


def with_front(tmp_path: Path, **changes: str) -> Lesson:
    text = TEXT
    for old, new in changes.items():
        text = text.replace(f"{old}:", f"{old}: {new}") if new else text
    return read(lesson(tmp_path / "mine", lesson_md=text))


def injected(found: Lesson) -> dict[str, str | None]:
    deployments = [obj for obj in workloads(found, Images(), "t") if obj["kind"] == "Deployment"]
    return {obj["metadata"]["name"]: obj["spec"]["template"]["metadata"]["labels"].get(INJECT) for obj in deployments}


@pytest.mark.parametrize(
    ("injection", "sidecar", "label"),
    [
        ("enabled", "true", None),
        ("enabled", "false", "false"),
        ("unset", "true", "true"),
        ("unset", "false", None),
    ],
)
def test_a_pod_has_a_label_where_its_namespace_says_otherwise(
    tmp_path: Path, injection: str, sidecar: str, label: str | None
) -> None:
    text = TEXT.replace("minutes: 5", f"minutes: 5\ninjection: {injection}")
    text = text.replace("client: {}", f"client: {{sidecar: {sidecar}}}")
    assert injected(read(lesson(tmp_path / "mine", lesson_md=text)))["client"] == label


def test_each_version_of_a_server_is_a_deployment(tmp_path: Path) -> None:
    assert list(injected(read(lesson(tmp_path / "mine")))) == ["shop-v1", "shop-v2", "client"]


def test_pods_take_orders_that_carry_the_learners_token_in_each_process(tmp_path: Path) -> None:
    found = workloads(read(lesson(tmp_path / "mine")), Images(), "secret")
    containers = [
        container
        for obj in found
        if obj["kind"] == "Deployment"
        for container in obj["spec"]["template"]["spec"]["containers"]
    ]
    variables = [{each["name"]: each["value"] for each in container["env"]} for container in containers]
    assert [each[TOKEN_VARIABLE] for each in variables] == ["secret"] * 3


def test_manifests_have_the_values_filled_in(tmp_path: Path) -> None:
    found = read(lesson(tmp_path / "mine", start__a_yaml=OBJECT))
    assert start(found, GIVEN, Images(), "t")[-1]["data"] == {"share": "10"}


def test_a_lesson_without_a_start_folder_has_its_workloads_only(tmp_path: Path) -> None:
    found = read(lesson(tmp_path / "mine"))
    assert start(found, GIVEN, Images(), "t") == workloads(found, Images(), "t")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: [1\nb: 2\n", 2, "is no YAML"),
        ("kind: ConfigMap\n", 1, "an object has no apiVersion, kind or metadata"),
        ("apiVersion: v1\nkind: X\nmetadata: {name: '{{sahre}}'}\n", 3, "{{sahre}} is no value"),
    ],
)
def test_a_manifest_that_is_wrong_is_told_with_file_and_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    found = read(lesson(tmp_path / "mine", start__a_yaml=text))
    with pytest.raises(BrokenLesson) as broken:
        manifests(found, "start", GIVEN)
    assert (broken.value.file, broken.value.line) == (found.folder / "start" / "a.yaml", line)
    assert what in broken.value.what


def test_each_of_several_tasks_needs_a_solution(tmp_path: Path) -> None:
    found = read(lesson(tmp_path / "mine"))
    assert solution_of(found, 2) == "solution/task-2.yaml"
    (found.folder / "solution" / "task-2.yaml").unlink()
    with pytest.raises(BrokenLesson, match=r"task-2\.yaml:1: is missing"):
        solution_of(found, 2)

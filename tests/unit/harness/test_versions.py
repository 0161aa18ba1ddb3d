"""Versions that other people's servers tell in their own ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh_lab.harness.results import Result
from mesh_lab.harness.versions import by_header, by_json

BODY = {"version": "v2", "app": {"build.number": 7, "tags": ["old", {"id": "new"}]}, "none": None, "beta": True}


def answer(body: Any = "", **headers: str) -> Result:
    return Result(200, 0.0, 1.0, body=body if isinstance(body, str) else json.dumps(body), headers=headers)


def test_a_header_tells_the_version_whatever_its_case() -> None:
    assert by_header("Server")(answer(server="shop/2")) == "shop/2"
    assert by_header("x-version")(answer(server="shop/2")) == ""


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("$.version", "v2"),
        ("version", "v2"),
        ("$['version']", "v2"),
        ('app["build.number"]', "7"),
        ("$.app.tags[0]", "old"),
        ("app.tags.1.id", "new"),
        ("app.tags[-1].id", "new"),
        ("beta", "true"),
        ("none", ""),
        ("app.tags[2]", ""),
        ("app.tags.id", ""),
        ("version.more", ""),
        ("missing", ""),
    ],
)
def test_a_path_leads_to_the_version_in_the_body(path: str, version: str) -> None:
    assert by_json(path)(answer(BODY)) == version


def test_an_answer_that_is_no_json_has_no_version() -> None:
    assert by_json("$.version")(answer("upstream connect error")) == ""
    assert by_json("$.version")(answer()) == ""


@pytest.mark.parametrize("path", ["", "$", "$..version", "$.*", "a[", "a[*]", "a[0:2]", "a."])
def test_a_path_that_is_more_than_names_and_indexes_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"no path of names|names nothing"):
        by_json(path)

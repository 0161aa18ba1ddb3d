"""Where values stand in TOML text."""

from __future__ import annotations

import pytest

from mesh_lab.tomlplaces import line_of

TEXT = """name = "a"
[ports]
api = 6443
[images."x.y"]
command = ["sh"]
[[sites]]
host = "a.example"
[[sites]]
host = "b.example"
mesh.profile = "demo"
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["name"], 1),
        (["ports", "api"], 3),
        (["ports", "missing"], 2),
        (["images", "[...]", "command"], 5),
        (["sites", "[1]", "host"], 9),
        (["sites", "[1]", "mesh", "profile"], 10),
        (["other"], None),
    ],
)
def test_the_deepest_part_that_is_there_is_found(path: list[str], line: int | None) -> None:
    assert line_of(TEXT, path) == line


def test_none_is_given_where_several_may_be_meant() -> None:
    assert line_of("[a.x]\nk = 1\n[a.y]\nk = 2\n", ["a", "[...]", "k"]) is None

"""A configuration that is made anew for each reader."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from mesh_lab.prometheus.handing import hand_out

LONG = "x" * 300_000
"""More than a pipe holds: the reader has to take some of it before the rest can be written."""


def test_each_reader_gets_one_whole_content_of_its_own(tmp_path: Path) -> None:
    number = count(1)
    file = tmp_path / "prometheus.yml"
    hand_out(file, lambda: f"{next(number)} {LONG}")
    for expected in range(1, 20):
        assert file.read_text() == f"{expected} {LONG}"


def test_a_reader_that_leaves_early_does_not_keep_the_next_from_it(tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    hand_out(file, lambda: LONG)
    with file.open() as reader:
        assert reader.read(1) == "x"
    assert file.read_text() == LONG

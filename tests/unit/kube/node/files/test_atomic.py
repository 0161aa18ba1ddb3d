"""Files of a volume change all at once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mesh_lab.kube.node.files.atomic import AtomicDirectory, FileContent


def test_files_are_reached_through_the_data_link(tmp_path: Path) -> None:
    volume = AtomicDirectory(tmp_path / "v")
    assert volume.write({"a": FileContent(b"1", 0o600), "sub/b": FileContent(b"2")})
    assert (tmp_path / "v" / "a").readlink() == Path("..data/a")
    assert (tmp_path / "v" / "sub" / "b").read_bytes() == b"2"
    assert stat.S_IMODE((tmp_path / "v" / "a").stat().st_mode) == 0o600


def test_an_update_swaps_everything_and_leaves_nothing_old(tmp_path: Path) -> None:
    volume = AtomicDirectory(tmp_path)
    volume.write({"a": FileContent(b"1"), "gone": FileContent(b"x")})
    before = (tmp_path / "..data").readlink()
    opened = (tmp_path / "a").open("rb")
    assert volume.write({"a": FileContent(b"2"), "new": FileContent(b"y")})
    with opened:
        assert opened.read() == b"1"  # who reads on keeps the old file
    assert (tmp_path / "..data").readlink() != before
    assert (tmp_path / "a").read_bytes() == b"2"
    assert sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("..")) == ["a", "new"]
    assert not (tmp_path / before).exists()


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    volume = AtomicDirectory(tmp_path)
    volume.write({"a": FileContent(b"1")})
    before = (tmp_path / "..data").readlink()
    assert not volume.write({"a": FileContent(b"1")})
    assert (tmp_path / "..data").readlink() == before


def test_a_failed_update_leaves_what_was_there(tmp_path: Path) -> None:
    volume = AtomicDirectory(tmp_path)
    volume.write({"a": FileContent(b"1")})
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        volume.write({"a": FileContent(b"2"), "a/b": FileContent(b"3")})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert len([entry for entry in tmp_path.iterdir() if entry.name.startswith("..2")]) == 1

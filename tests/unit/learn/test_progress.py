"""Progress: it outlives everything but its deletion, and is never half written."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import msgspec
import pytest

from mesh_lab.errors import LabError
from mesh_lab.learn.progress import Notebook, Progress, Standing
from mesh_lab.settings import Lab, Settings


def notebook(directory: Path, learner: str = "") -> Notebook:
    return Notebook(Lab(Settings(), directory), learner)


def solve(book: Notebook, name: str) -> None:
    with book.changing() as change:
        standing = change.progress.lessons.get(name, Standing())
        more = msgspec.structs.replace(standing, solved=standing.solved + 1)
        change.progress = change.progress.with_standing(name, more)


def test_nobody_has_begun_anything_at_first(tmp_path: Path) -> None:
    assert notebook(tmp_path).read() == Progress()
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"


def test_what_was_noted_is_read_again_by_another_process(tmp_path: Path) -> None:
    solve(notebook(tmp_path), "canary")
    found = notebook(tmp_path).read()
    assert (found.current, found.lessons["canary"].solved) == ("canary", 1)


def test_each_learner_has_a_file_of_their_own(tmp_path: Path) -> None:
    solve(notebook(tmp_path, "ann"), "canary")
    assert notebook(tmp_path, "bob").read() == Progress()


def test_the_file_is_outside_of_what_a_reset_of_the_lab_deletes(tmp_path: Path) -> None:
    lab = Lab(Settings(), tmp_path)
    assert lab.state_dir not in notebook(tmp_path).path.parents


def test_two_terminals_lose_nothing_of_each_other(tmp_path: Path) -> None:
    threads = [threading.Thread(target=solve, args=(notebook(tmp_path), "canary")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notebook(tmp_path).read().lessons["canary"].solved == 20


def test_the_token_stays_the_same_and_is_for_its_owner_only(tmp_path: Path) -> None:
    solve(notebook(tmp_path), "canary")
    token = notebook(tmp_path).read().token
    solve(notebook(tmp_path), "mtls")
    assert len(token) == 32
    assert notebook(tmp_path).read().token == token
    assert stat.S_IMODE(notebook(tmp_path).path.stat().st_mode) == 0o600


def test_a_full_disk_leaves_the_progress_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solve(notebook(tmp_path), "canary")
    before = notebook(tmp_path).path.read_bytes()

    def full(_number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mesh_lab.learn.progress.os.fsync", full)
    with pytest.raises(LabError) as failed:
        solve(notebook(tmp_path), "canary")
    assert "No space left on device" in failed.value.message
    assert notebook(tmp_path).path.read_bytes() == before
    assert sorted(path.name for path in notebook(tmp_path).path.parent.iterdir()) == [".lock", "lab.json"]


def test_a_change_that_fails_writes_nothing(tmp_path: Path) -> None:
    book = notebook(tmp_path)

    def interrupted() -> None:
        with book.changing() as change:
            change.progress = change.progress.with_standing("canary", Standing())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert book.read() == Progress()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"lessons": 5}', b"\xff"])
def test_a_damaged_file_is_told_and_not_overwritten(tmp_path: Path, damage: bytes) -> None:
    book = notebook(tmp_path)
    solve(book, "canary")
    book.path.write_bytes(damage)
    with pytest.raises(LabError, match="is damaged") as told:
        solve(book, "canary")
    assert str(book.path) in told.value.message
    assert book.path.read_bytes() == damage

"""One `up` at a time: the second waits, and takes over from one that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mesh_lab.clusters.turns import LOCK_NAME, turn
from mesh_lab.errors import LabError

HOLDER = """
import sys, time
from pathlib import Path
from mesh_lab.clusters.turns import turn
with turn(Path(sys.argv[1]), 5, print):
    print("held", flush=True)
    sys.stdin.read()
"""
LIMIT_S = 20.0


def holder(state: Path) -> subprocess.Popen[str]:
    """Another process that holds the turn until its standard input is closed."""
    command = [sys.executable, "-c", HOLDER, str(state)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_up_waits_and_names_the_process_of_the_first(tmp_path: Path) -> None:
    lines: list[str] = []
    with holder(tmp_path) as first:
        assert first.stdin is not None

        def report(line: str) -> None:
            lines.append(line)
            first.stdin.close()  # type: ignore[union-attr]  # checked above

        with turn(tmp_path, LIMIT_S, report):
            assert first.wait(LIMIT_S) == 0
    assert lines == [f"another command (process {first.pid}) is bringing this lab up; waiting for it"]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        os.kill(first.pid, signal.SIGKILL)
        first.wait(LIMIT_S)
    lines: list[str] = []
    with turn(tmp_path, LIMIT_S, lines.append):
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    assert lines == []


def test_the_wait_ends_with_an_error_that_names_the_process(tmp_path: Path) -> None:
    with (
        holder(tmp_path) as first,
        pytest.raises(LabError, match=rf"process {first.pid}\) has been bringing up the lab in {tmp_path}"),
        turn(tmp_path, 0.1, lambda _: None),
    ):
        pass


def test_after_a_reset_only_one_process_holds_the_lock(tmp_path: Path) -> None:
    state = tmp_path / "state"
    waiting, turns = threading.Event(), []
    with holder(state) as first:
        assert first.stdin is not None

        def second() -> None:
            with turn(state, LIMIT_S, lambda _: waiting.set()):
                turns.append((state / LOCK_NAME).read_text())

        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(LIMIT_S)
        shutil.rmtree(state)
        first.stdin.close()
        thread.join(LIMIT_S)
    assert turns == [f"{os.getpid()}\n"]


def test_a_directory_that_cannot_be_written_is_no_error_of_the_lock(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lines: list[str] = []
    with turn(tmp_path / "file" / "state", LIMIT_S, lines.append):
        pass
    assert lines == []

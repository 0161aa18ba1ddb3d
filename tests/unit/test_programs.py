"""Running other people's programs: what they say, how they fail, what they leave behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh_lab import programs
from mesh_lab.errors import LabError
from mesh_lab.programs import Program, ProgramFailedError, Programs, run, stream


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def lives(pid: int) -> bool:
    """Whether the process still runs; what nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_output_is_given_and_input_taken() -> None:
    assert run(python("print(input()[::-1])"), timeout=20, stdin="abc\n") == "cba\n"


def test_a_failure_is_told_with_the_programs_last_words() -> None:
    with pytest.raises(ProgramFailedError, match="failed with exit code 3\nbad luck"):
        run(python("import sys; print('bad luck', file=sys.stderr); sys.exit(3)"), timeout=20)


def test_lines_are_reported_as_they_come_those_drawn_over_too() -> None:
    said: list[str] = []
    code = "import sys; sys.stdout.write('one\\rtwo\\n'); sys.stdout.flush(); sys.stderr.write('three')"
    assert stream(python(code), timeout=20, report=said.append) == "one\ntwo\nthree"
    assert said == ["one", "two", "three"]


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = (
        f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid())); print('up', flush=True); time.sleep(300)"
    )
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {child!r}])"
    with pytest.raises(ProgramFailedError, match="did not end within 2 s"):
        stream(python(code), timeout=2, report=lambda _: None)
    pid, deadline = int(file.read_text()), time.monotonic() + 10
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lives(pid)


def test_a_program_does_not_outlive_a_lab_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = f"import os, time; open({str(file)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(300)"
    code = f"from mesh_lab.programs import run; run([{sys.executable!r}, '-S', '-c', {child!r}], timeout=300)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(programs.__file__).parents[1]) as lab:
        until(lambda: file.exists() and file.read_text().endswith("\n"))
        pid = int(file.read_text())
        assert lives(pid)
        lab.kill()
    assert until(lambda: not lives(pid))


def until(holds: Callable[[], bool]) -> bool:
    """Whether it came to hold within 20 seconds."""
    deadline = time.monotonic() + 20
    while not (now := holds()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return now


def test_a_program_that_ends_while_a_child_holds_its_output_is_not_waited_for_longer_than_the_limit() -> None:
    code = "import os, time\nif os.fork() == 0: time.sleep(300)"
    with pytest.raises(ProgramFailedError, match="did not end within 1 s"):
        stream(python(code), timeout=1, report=lambda _: None)


def test_silence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_SILENCE_SECONDS", 0.1)
    silences: list[int] = []
    stream(python("import time; time.sleep(1)"), timeout=20, report=print, when_silent=lambda: silences.append(1))
    assert silences


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = Programs(tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(LabError, match="tool is not installed: it does it") as failure:
        found.need(Program("tool", "it does it", "get it"))
    assert failure.value.hint == "get it"
    with pytest.raises(LabError, match=r"cannot run .*: No such file"):
        run([str(tmp_path / "tool")], timeout=1)

"""Which locustfile a run has, and what is said of one that cannot be used."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mesh_lab.errors import LabError
from mesh_lab.load import locustfiles
from mesh_lab.load.locustfiles import SHARED, USERS, files, try_out

DOCS = Path(__file__).parents[3] / "docs" / "load.md"
GOOD = "from locust import HttpUser\n\n\nclass Me(HttpUser):\n    pass\n"
OWN_SHAPE = f"""
from locust import LoadTestShape
from meshload import count_version
{GOOD}

class Endless(LoadTestShape):
    def tick(self):
        return 5, 5.0
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    return file


def test_a_run_has_its_users_and_what_every_run_has(mine: Path) -> None:
    assert files(mine)[USERS] == GOOD
    assert set(files(mine)) == {*SHARED, "limits.py", USERS}
    assert "/productpage" in files(None)[USERS]
    assert "LOAD_PATH" in files(None, "http://a/b")[USERS]


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file"), (b"\xff\xfe", "it is not UTF-8"), (b"#" * 1_000_000, "has more than 900000 bytes")],
)
def test_a_file_that_cannot_be_sent_is_wrong_usage(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "theirs.py"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LabError, match=why) as failure:
        files(file)
    assert failure.value.exit_code == 2
    assert str(file) in failure.value.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import locust\nraise RuntimeError('not today')\n", "mine.py:2: RuntimeError: not today"),
        ("import nothing_of_this_name\n", "mine.py:1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def f(:\n", "mine.py:1: SyntaxError: "),
        ("x = 1\n", "mine.py has no class of users"),
    ],
)
def test_a_file_that_locust_cannot_use_is_refused_before_the_run(mine: Path, text: str, why: str) -> None:
    mine.write_text(text)
    with pytest.raises(LabError) as failure:
        try_out(mine, files(mine), "steady")
    assert why in failure.value.message
    assert failure.value.exit_code == 2


@pytest.mark.parametrize(("text", "shape"), [(GOOD, "steady"), (OWN_SHAPE, "own")])
def test_a_good_file_passes(mine: Path, text: str, shape: str) -> None:
    mine.write_text(text)
    try_out(mine, files(mine), shape)


def test_the_files_that_the_lab_brings_pass(tmp_path: Path) -> None:
    for target in ("", "http://a/b", "tcp://a:1", "grpc://a:1/b.C/D"):
        try_out(tmp_path, files(None, target), "ramp")


@pytest.mark.parametrize("sample", re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))
def test_the_samples_of_the_documentation_pass(mine: Path, sample: str) -> None:
    mine.write_text(sample)
    try_out(mine, files(mine), "steady")


def test_a_file_that_does_not_end_is_refused(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("locust", timeout)

    monkeypatch.setattr(locustfiles.subprocess, "run", late)
    with pytest.raises(LabError, match=r"mine\.py is not loaded within 60 s"):
        try_out(mine, files(mine), "steady")

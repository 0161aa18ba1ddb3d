"""The end of a log, as far as it says why a container failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.kube.node.files import logreading

STAMP = "2026-01-02T03:04:05.000000006Z stderr F "


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{STAMP}{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ((), ""),
        (("one", "two"), "one\ntwo"),
        (
            (
                "[critical][assert] assert failure: watch_fd >= 0. Details: inotify",
                "[critical][backtrace] Caught Aborted, suspect faulting address 0x1",
                "[critical][backtrace] #0: [0x7f]",
                "#1: main",
            ),
            "[critical][assert] assert failure: watch_fd >= 0. Details: inotify",
        ),
        (tuple(str(n) for n in range(200)), "\n".join(str(n) for n in range(120, 200))),
    ],
)
def test_the_end_of_a_log(tmp_path: Path, lines: tuple[str, ...], kept: str) -> None:
    assert logreading.tail(written(tmp_path / "0.log", *lines)) == kept


def test_the_end_of_a_log_is_limited_as_in_a_kubelet_and_stays_text(tmp_path: Path) -> None:
    found = logreading.tail(written(tmp_path / "0.log", "ä" * 3000))
    assert len(found.encode()) <= 2048
    assert set(found) == {"ä"}


def test_the_end_of_a_missing_log_is_empty(tmp_path: Path) -> None:
    assert logreading.tail(tmp_path / "none.log") == ""


def test_the_end_of_a_log_on_one_line() -> None:
    assert logreading.last_line("one\n two \n\n") == "two"
    assert logreading.last_line("") == ""

"""What `mesh-lab doctor` makes of a kernel that refuses."""

from __future__ import annotations

import pytest

from lab.cli import doctor


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("unshare: newuidmap: write to uid_map failed: Operation not permitted", "must be setuid root"),
        ("unshare: unshare failed: No space left on device", "The kernel refused"),
    ],
)
def test_a_refused_trial_comes_with_what_it_was_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, said: str, remedy: str
) -> None:
    refuse = ["sh", "-c", f"echo '{said}' >&2; exit 1"]
    monkeypatch.setattr("lab.cli.doctor.namespaces.isolate", lambda _command, **_: refuse)
    (finding,) = doctor._trial()
    assert finding.detail == said
    assert remedy in finding.remedy

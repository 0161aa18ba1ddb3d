"""What `mesh-lab wait` waits for."""

from __future__ import annotations

from pathlib import Path

from lab.cli import wait
from lab.controlplane import model

LIST = """
apiVersion: v1
kind: List
items:
- {apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}}
- {apiVersion: v1, kind: Service, metadata: {name: b}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: c, namespace: d}}
"""


def test_every_kind_that_proxies_acknowledge_can_be_waited_for() -> None:
    expected = {
        name: (f"{kind.group}/{kind.versions[0]}", kind.plural, kind.short) for name, kind in model.KINDS.items()
    }
    assert expected == wait.KINDS


def test_a_file_may_hold_a_list(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(LIST)
    assert [str(each) for each in wait._in_file(file, "n")] == ["VirtualService n/a", "PeerAuthentication d/c"]

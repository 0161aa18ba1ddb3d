"""Counting begins when the proxies show all requests of before."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.harness import agreement
from mesh_lab.harness.agreement import counting


class Late:
    """A proxy that shows requests of before with its next two answers only."""

    def __init__(self, *counts: int) -> None:
        self._counts = list(counts)

    def metrics(self) -> str:
        count = self._counts.pop(0) if len(self._counts) > 1 else self._counts[0]
        return "\n".join(
            f'istio_requests_total{{reporter="{side}",response_code="200"}} {count}'
            for side in ("source", "destination")
        )


def test_requests_of_before_that_show_late_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "SETTLED_SECONDS", 0.0)
    source: Any = Late(5, 20, 25, 25, 28)
    server: Any = Late(5, 5, 8)
    with counting(source, {}, [server], {}) as counted:
        assert (counted.source(), counted.destination()) == ({"200": 3}, {"200": 3})

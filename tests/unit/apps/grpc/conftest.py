"""The servers' fixture of the directory above."""

from __future__ import annotations

from tests.unit.apps.conftest import start

__all__ = ["start"]

"""The pure modules of loadtests/, imported as Locust finds them: beside each other, with the lab's limits."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from mesh_lab.load import limits

LOADTESTS = Path(__file__).parents[3] / "loadtests"


def loaded(name: str) -> ModuleType:
    """The module `name`."""
    sys.modules.setdefault("limits", limits)
    sys.path.insert(0, str(LOADTESTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(LOADTESTS))

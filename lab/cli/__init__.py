"""`mesh-lab`: the command line, on top of everything and imported by nothing."""

from __future__ import annotations

from lab.cli.entry import main

__all__ = ["main"]

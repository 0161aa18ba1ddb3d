"""Lua programs in a bootstrap: as short as they can be read, since each injected pod carries them."""

from __future__ import annotations


def compact(program: str) -> str:
    """The program without indentation and lines of comment; its lines keep their numbers, which Envoy's log names."""
    lines = (line.strip() for line in program.splitlines())
    return "\n".join("" if line.startswith("--") else line for line in lines)

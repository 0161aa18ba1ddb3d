"""Where in a TOML file a value stands, which Python's parser does not tell."""

from __future__ import annotations

import re

_KEY = r"(?:\"[^\"]*\"|'[^']*'|[\w-]+)"
_HEADER = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")


def line_of(text: str, path: list[str]) -> int | None:
    """The line that sets the deepest part of `path` that stands in the text; None when several may be meant."""
    places: dict[int, list[int]] = {}
    table: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _keys(header[2])
            if header[1] == "[[":
                seen[header[2]] = seen.get(header[2], -1) + 1
                table.append(f"[{seen[header[2]]}]")
            full = table
        elif key := _ASSIGNMENT.match(line):
            full = table + _keys(key[1])
        else:
            continue
        if _is_prefix(full, path):
            places.setdefault(len(full), []).append(number)
    deepest = places[max(places)] if places else []
    return deepest[0] if len(deepest) == 1 else None


def _keys(dotted: str) -> list[str]:
    return [key.strip("\"'") for key in re.findall(_KEY, dotted)]


def _is_prefix(full: list[str], path: list[str]) -> bool:
    """Whether `full` leads to `path`; msgspec writes the key of a free-form table as `[...]`."""
    return len(full) <= len(path) and all(p in (f, "[...]") for f, p in zip(full, path, strict=False))

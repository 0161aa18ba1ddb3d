"""Options in the way of Go's `flag` package: `-name value`, `-name=value`, one dash or two, before the URL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")


class FlagError(Exception):
    """An option that is not understood; the message names it."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for; times in seconds."""

    c: int = 4
    n: int = 0
    qps: float = 8.0
    t: float = 5.0
    timeout: float = 3.0
    p: tuple[float, ...] = (50, 75, 90, 99, 99.9)
    r: float = 0.001
    H: tuple[str, ...] = ()
    X: str = ""
    payload: str = ""
    content_type: str = ""
    user: str = ""
    loglevel: str = "Info"
    json: str = ""
    labels: str = ""
    quiet: bool = False
    keepalive: bool = True
    uniform: bool = False
    jitter: bool = False
    nocatchup: bool = False
    allow_initial_errors: bool = False
    curl: bool = False
    curl_stdout_headers: bool = False
    h2: bool = False
    http_port: str = "8080"
    tcp_port: str = "8078"
    grpc_port: str = "8079"
    config_dir: str = ""
    a: bool = False
    stdclient: bool = False
    words: tuple[str, ...] = field(default=())


_TYPES = {name: type(getattr(Options(), name)) for name in Options.__dataclass_fields__ if name != "words"}


def parse(arguments: Sequence[str]) -> Options:
    """Read options and, after them, words.

    Raises:
        FlagError: an option is unknown, or its value is none.
    """
    given = list(arguments)
    found: dict[str, Any] = {}
    while given and given[0].startswith("-") and given[0] != "-":
        word = given.pop(0)
        if word == "--":
            break
        name, has_value, value = word.lstrip("-").partition("=")
        key = name.replace("-", "_")
        kind = _TYPES.get(key)
        if kind is None:
            raise FlagError(
                f"flag provided but not defined: -{name} (the lab's fortio has fewer than the published one)"
            )
        if not has_value:
            if kind is bool:
                value = "true"
            elif given:
                value = given.pop(0)
            else:
                raise FlagError(f"flag needs an argument: -{name}")
        found[key] = _value(key, name, value, found)
    return replace(Options(), **found, words=tuple(given))


def _value(key: str, name: str, text: str, found: dict[str, Any]) -> Any:
    try:
        if key == "H":
            return (*found.get("H", ()), text)
        if key == "p":
            return tuple(float(one) for one in text.split(","))
        if key in ("t", "timeout"):
            return duration(text)
        if _TYPES[key] is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return _TYPES[key](text)
    except (ValueError, KeyError):
        raise FlagError(f'invalid value "{text}" for flag -{name}') from None


def duration(text: str) -> float:
    """A duration as Go writes it: `1m30s`, `250ms`, `0`.

    Raises:
        ValueError: it is none.
    """
    if text == "0":
        return 0.0
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)

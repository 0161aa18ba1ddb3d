"""Values of options that typer has no type for. Each raises `typer.BadParameter`, which names the option."""

from __future__ import annotations

import math
import re

import typer


def positive(text: str) -> float:
    """A number above 0."""
    if not 0 < (number := _number(text)) < math.inf:
        raise typer.BadParameter(f"{text!r} is not a number above 0")
    return number


def ratio(text: str) -> float:
    """A number from 0 to 1."""
    if not 0 <= (number := _number(text)) <= 1:
        raise typer.BadParameter(f"{text!r} is not a number from 0 to 1")
    return number


def url(text: str) -> str:
    """An address that HTTP is spoken at."""
    if not re.match(r"https?://[^/]", text):
        raise typer.BadParameter(f"{text!r} is not an http:// or https:// URL")
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

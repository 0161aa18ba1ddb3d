"""nginx' configuration files as directives (http://nginx.org/en/docs/beginners_guide.html#conf_structure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*) | (?P<mark>[{};]) | "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>(?:[^'\\]|\\.)*)'
      | (?P<plain>(?:\$\{[^}]*\} | \\. | [^\s;{}])+) | (?P<bad>.)""",
    re.VERBOSE | re.DOTALL,
)


class ConfigError(Exception):
    """A configuration that is not understood; the message has nginx' form, with file and line."""

    def __init__(self, what: str, place: str) -> None:
        super().__init__(f"{what} in {place}")


@dataclass(frozen=True)
class Directive:
    """One directive: its name, its words, and what stands in its braces (None where it has none)."""

    name: str
    words: tuple[str, ...]
    block: tuple[Directive, ...] | None
    place: str


def read(path: Path) -> tuple[Directive, ...]:
    """A file's directives.

    Raises:
        ConfigError: the file is missing, or is none of nginx'.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f'open() "{path}" failed: {error.strerror}', str(path)) from None
    tokens = _tokens(text, str(path))
    directives, end = _block(tokens, 0, str(path), nested=False)
    assert end == len(tokens)
    return directives


def _tokens(text: str, name: str) -> list[tuple[str, bool, int]]:
    """The words and marks, whether it is a mark, and the line."""
    found = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind, whole = match.lastgroup, match[0]
        if kind == "bad":
            raise ConfigError(f"unexpected {whole!r}", f"{name}:{line}")
        if kind == "mark":
            found.append((whole, True, line))
        elif kind == "plain":
            found.append((re.sub(r"\\(.)", r"\1", whole) if "\\" in whole and "$" not in whole else whole, False, line))
        elif kind != "space":
            found.append((re.sub(r'\\(["\'\\])', r"\1", match[str(kind)]), False, line))
        line += whole.count("\n")
    return found


def _block(
    tokens: list[tuple[str, bool, int]], position: int, name: str, *, nested: bool
) -> tuple[tuple[Directive, ...], int]:
    directives: list[Directive] = []
    words: list[str] = []
    begun = 1
    while position < len(tokens):
        token, is_mark, line = tokens[position]
        position += 1
        if not is_mark:
            begun = begun if words else line
            words.append(token)
            continue
        if token == "}":
            if not nested or words:
                raise ConfigError('unexpected "}"', f"{name}:{line}")
            return tuple(directives), position
        if not words:
            raise ConfigError(f'unexpected "{token}"', f"{name}:{line}")
        inner: tuple[Directive, ...] | None = None
        if token == "{":
            inner, position = _block(tokens, position, name, nested=True)
        directives.append(Directive(words[0], tuple(words[1:]), inner, f"{name}:{begun}"))
        words = []
    if words or nested:
        raise ConfigError("unexpected end of file", f"{name}:{tokens[-1][2] if tokens else 1}")
    return tuple(directives), position

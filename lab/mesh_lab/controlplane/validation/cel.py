"""Whether a text is an expression of CEL, the language of Telemetry's filters and of Envoy's.

Its grammar only, as the specification has it: which attributes there are, and of which types, Envoy knows.
https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from mesh_lab.controlplane.validation.common import Problem, error

_DEEPEST = 100
"""Of parts within parts; Google's own parsers have a limit too."""
_LONGEST = 100_000  # characters
_SHOWN = 80

_RESERVED = frozenset(
    [
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let", "loop"),
        *("namespace", "package", "return", "var", "void", "while"),
    ]
)
_LITERALS = frozenset(["true", "false", "null"])
# Weakest first.
_BINARY = (("||",), ("&&",), ("<=", ">=", "==", "!=", "<", ">", "in"), ("+", "-"), ("*", "/", "%"))

_ESCAPE = r"\\(?:[abfnrtv?\"'`\\]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"
_TOKEN = re.compile(
    rf"""
    (?P<space>[ \t\r\n\f]+|//[^\n]*)
  | (?P<text>(?:[bB]?[rR]|[rR][bB])(?:\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''|"[^"\r\n]*"|'[^'\r\n]*')
    |[bB]?(?:\"\"\"(?:{_ESCAPE}|[^\\])*?\"\"\"|'''(?:{_ESCAPE}|[^\\])*?'''
      |"(?:{_ESCAPE}|[^\\"\r\n])*"|'(?:{_ESCAPE}|[^\\'\r\n])*'))
  | (?P<number>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+
    |0x[0-9a-fA-F]+[uU]?|[0-9]+[uU]?)
  | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<quoted>`[-._/ a-zA-Z0-9]+`)
  | (?P<sign>\|\||&&|<=|>=|==|!=|[-<>+*/%!?:.,()\[\]{{}}])
    """,
    re.VERBOSE,
)


_ABLE = frozenset(
    [
        *("bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "has", "int", "matches", "size"),
        *("startsWith", "timestamp", "type", "uint"),
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds"),
        *("getMinutes", "getMonth", "getSeconds"),
    ]
)
"""The functions that Envoy has, as its project builds it: neither `string` nor any that goes through a list."""


class _SyntaxError(ValueError):
    """A text that is no expression."""


def expression(path: str, text: str) -> Iterator[Problem]:
    """A problem, unless the text is an expression."""
    complaint = _complaint(text)
    if complaint:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        yield error(path, f"must be a valid CEL expression, {complaint}: {shown!r}")


@lru_cache(maxsize=1024)
def _complaint(text: str) -> str:
    """What is wrong with a text, or nothing; cached, since each snapshot judges the same ones again."""
    if len(text) > _LONGEST:
        return f"it is longer than {_LONGEST} characters"
    try:
        _Parser(text).whole()
    except _SyntaxError as failure:
        return str(failure)
    return ""


@lru_cache(maxsize=1024)
def unable(text: str) -> str:
    """The first function of an expression that Envoy cannot call, which would refuse it; empty when there is none."""
    if _complaint(text):
        return text
    tokens = list(_tokens(text))
    for at, ((sort, name), (_, after)) in enumerate(pairwise(tokens)):
        if sort == "name" and after == "(" and name not in _ABLE:
            return name
        if name == "has" and after == "(" and tokens[_end_of(tokens, at + 1) - 1][1] == "]":
            return "has(...[...])"
    return ""


def _end_of(tokens: list[tuple[str, str]], opening: int) -> int:
    """Where the parenthesis at a place is closed."""
    depth = 0
    for at in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[at][1], 0)
        if depth == 0:
            return at
    return opening


class _Parser:
    """Reads the tokens from left to right, with one method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> None:
        self._expression()
        self._expect("end")

    def _peek(self) -> str:
        """The next token, or for a literal or a name its sort."""
        sort, text = self._tokens[self._at]
        return text if sort == "sign" or text == "in" else sort

    def _take(self, *wanted: str) -> bool:
        if self._peek() not in wanted:
            return False
        self._at += 1
        return True

    def _expect(self, wanted: str) -> None:
        if not self._take(wanted):
            found = self._tokens[self._at][1] or "the end"
            raise _SyntaxError(f"there is {found[:_SHOWN]} where {wanted} is expected")

    def _expression(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _SyntaxError(f"there are more than {_DEEPEST} parts within each other")
        self._binary(0)
        if self._take("?"):
            self._binary(0)
            self._expect(":")
            self._expression()
        self._depth -= 1

    def _binary(self, level: int) -> None:
        if level == len(_BINARY):
            self._unary()
            return
        self._binary(level + 1)
        while self._take(*_BINARY[level]):
            self._binary(level + 1)

    def _unary(self) -> None:
        sign = self._peek()
        if sign in ("!", "-"):
            while self._take(sign):
                pass
        self._primary()
        while True:
            if self._take("."):
                if not self._take("quoted"):
                    self._expect("name")
                    self._arguments()
            elif self._take("["):
                self._expression()
                self._expect("]")
            elif self._peek() == "{" and self._tokens[self._at - 1][0] == "name":
                self._pairs(of_fields=True)
            else:
                return

    def _primary(self) -> None:
        if self._take("text", "number"):
            return
        if self._take("("):
            self._expression()
            self._expect(")")
        elif self._take("["):
            self._listed("]")
        elif self._peek() == "{":
            self._pairs(of_fields=False)
        else:
            self._take(".")
            self._expect("name")
            name = self._tokens[self._at - 1][1]
            if name in _RESERVED:
                raise _SyntaxError(f"{name} is a reserved word")
            if name not in _LITERALS:
                self._arguments()

    def _arguments(self) -> None:
        if self._take("(") and not self._take(")"):
            self._expression()
            while self._take(","):
                self._expression()
            self._expect(")")

    def _listed(self, end: str) -> None:
        """Elements, after the last of which a comma may stand."""
        while not self._take(end):
            self._expression()
            if not self._take(","):
                self._expect(end)
                return

    def _pairs(self, *, of_fields: bool) -> None:
        """The entries of a map, or the fields of a message."""
        self._expect("{")
        while not self._take("}"):
            if not of_fields:
                self._expression()
            elif not self._take("quoted"):
                self._expect("name")
            self._expect(":")
            self._expression()
            if not self._take(","):
                self._expect("}")
                return


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _SyntaxError(f"there is no token at position {at}")
        if found.lastgroup != "space":
            yield str(found.lastgroup), found.group()
        at = found.end()
    yield "end", ""

"""Literals that can be judged without a value: regular expressions, durations and times.

https://pkg.go.dev/github.com/google/cel-go/cel#ValidateRegexLiterals
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from mesh_lab.kube.registry.cel.trees import nodes
from mesh_lab.kube.registry.cel.values import FormatError, parse_duration

if TYPE_CHECKING:
    from cel.expr.syntax_pb2 import Expr, ParsedExpr


def problem(tree: ParsedExpr, text: str) -> str:
    """What is wrong with the first literal that is wrong, as cel-go tells it; empty when none is."""
    for node in nodes(tree.expr):
        call = node.call_expr
        if call.function in _CHECKS and call.args and not _CHECKS[call.function](_literal(call.args[-1])):
            return _told(f"invalid {call.function} argument", text, tree.source_info.positions.get(call.args[-1].id, 0))
    return ""


def _literal(node: Expr) -> str | None:
    is_text = node.const_expr.WhichOneof("constant_kind") == "string_value"
    return node.const_expr.string_value if is_text else None


def _told(what: str, text: str, offset: int) -> str:
    before = text[:offset]
    column = offset - (before.rfind("\n") + 1)
    line = text.splitlines()[before.count("\n")]
    return f"ERROR: <input>:{before.count(chr(10)) + 1}:{column + 1}: {what}\n | {line}\n | {'.' * column}^"


def _is_regex(text: str | None) -> bool:
    import re2  # when there is something to judge: the API server starts without it

    if text is None:
        return True
    try:
        re2.compile(text)
    except re2.error:
        return False
    return True


def _is_duration(text: str | None) -> bool:
    try:
        return text is None or parse_duration(text) is not None
    except FormatError:
        return False


def _is_timestamp(text: str | None) -> bool:
    try:
        return text is None or datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


_CHECKS: Mapping[str, Callable[[str | None], bool]] = {
    "matches": _is_regex,
    "duration": _is_duration,
    "timestamp": _is_timestamp,
}

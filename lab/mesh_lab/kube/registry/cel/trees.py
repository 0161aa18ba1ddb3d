"""Syntax trees of expressions, as the CEL library gives them: protobuf messages of `cel.expr`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cel.expr.syntax_pb2 import Expr, ParsedExpr


def parsed(serialized: bytes) -> ParsedExpr:
    """The tree of an expression that was compiled without checking."""
    from cel.expr.syntax_pb2 import ParsedExpr
    from google.protobuf.any_pb2 import Any

    tree = ParsedExpr()
    Any.FromString(serialized).Unpack(tree)
    return tree


def packed(tree: ParsedExpr) -> bytes:
    """The contrary of `parsed`."""
    from google.protobuf.any_pb2 import Any

    message = Any()
    message.Pack(tree)
    return message.SerializeToString()


def children(node: Expr) -> list[Expr]:
    """The expressions that one is made of."""
    kind = node.WhichOneof("expr_kind")
    if kind == "select_expr":
        return [node.select_expr.operand]
    if kind == "call_expr":
        call = node.call_expr
        return [*([call.target] if call.HasField("target") else []), *call.args]
    if kind == "list_expr":
        return list(node.list_expr.elements)
    if kind == "struct_expr":
        entries = node.struct_expr.entries
        return [*(entry.map_key for entry in entries if entry.HasField("map_key")), *(entry.value for entry in entries)]
    if kind == "comprehension_expr":
        loop = node.comprehension_expr
        return [loop.iter_range, loop.accu_init, loop.loop_condition, loop.loop_step, loop.result]
    return []


def nodes(node: Expr) -> Iterator[Expr]:
    """An expression and all that it is made of, what is inside first."""
    for child in children(node):
        yield from nodes(child)
    yield node


def identifiers(node: Expr) -> frozenset[str]:
    """The names that an expression reads: `self`, and `variables.name` where a field of `variables` is read."""
    found = set()
    for one in nodes(node):
        kind = one.WhichOneof("expr_kind")
        if kind == "ident_expr":
            found.add(one.ident_expr.name)
        elif kind == "select_expr" and one.select_expr.operand.WhichOneof("expr_kind") == "ident_expr":
            found.add(f"{one.select_expr.operand.ident_expr.name}.{one.select_expr.field}")
    return frozenset(found)


def bare_identifiers(node: Expr) -> frozenset[str]:
    """The names that an expression reads as a whole: `variables` in `size(variables)`."""
    selected = {one.select_expr.operand.id for one in nodes(node) if one.WhichOneof("expr_kind") == "select_expr"}
    return frozenset(
        one.ident_expr.name
        for one in nodes(node)
        if one.WhichOneof("expr_kind") == "ident_expr" and one.id not in selected
    )

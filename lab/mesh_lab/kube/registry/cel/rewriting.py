"""What Kubernetes' CEL has and the library's parser has not, made of what it has.

- `validate` and `format.named` have optional results, which functions of Python cannot return: they return lists, and
  an optional value is made of those.
- `authorizer.requestResource` is a variable, and the authorizer a message without that field.
- Macros of two variables (`map.all(key, value, ...)`): the library evaluates such loops, but does not read them.
  https://pkg.go.dev/github.com/google/cel-go/ext#TwoVarComprehensions
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesh_lab.kube.registry.cel.trees import nodes

if TYPE_CHECKING:
    from cel.expr.syntax_pb2 import Expr

_RESULT = "@result"
_TWO = {("all", 3), ("exists", 3), ("existsOne", 3), ("transformList", 3), ("transformList", 4)}
"""Macros of two variables: name and number of arguments, the two variables being the first ones."""
UNREAD = frozenset({"transformMap", "transformMapEntry", "sortBy"})
"""Macros of Kubernetes' that cannot be evaluated here."""


def has_two_variables(root: Expr) -> bool:
    """Whether an expression has a macro of two variables, which the library's checker does not know."""
    return any(_is_two(node) for node in nodes(root))


def rewrite(root: Expr) -> None:
    """Change a tree in place into one that the library evaluates."""
    made = _Maker(max((node.id for node in nodes(root)), default=0))
    for node in list(nodes(root)):
        if node.select_expr.field == "requestResource" and node.select_expr.operand.ident_expr.name == "authorizer":
            _replace(node, made.name("authorizer__requestResource"))
        if node.WhichOneof("expr_kind") != "call_expr":
            continue
        call = node.call_expr
        if call.function == "validate" and call.HasField("target") and len(call.args) == 1:
            _replace(node, made.call("optional.ofNonZeroValue", _moved(node, made)))
        elif call.function == "named" and _is_name(call, "format"):
            _replace(node, made.call("_[?_]", _moved(node, made), made.constant(int64_value=0)))
        elif _is_two(node):
            _replace(node, _loop(node, made))


def _is_name(call: Any, name: str) -> bool:
    return bool(call.HasField("target") and call.target.ident_expr.name == name)


def _is_two(node: Expr) -> bool:
    if node.WhichOneof("expr_kind") != "call_expr":
        return False
    call = node.call_expr
    variables = [arg.WhichOneof("expr_kind") for arg in call.args[:2]]
    return (call.function, len(call.args)) in _TWO and call.HasField("target") and variables == ["ident_expr"] * 2


class _Maker:
    """Makes nodes with numbers of their own."""

    def __init__(self, last: int) -> None:
        self._last = last

    def number(self) -> int:
        self._last += 1
        return self._last

    def new(self, **content: Any) -> Expr:
        from cel.expr.syntax_pb2 import Expr

        return Expr(id=self.number(), **content)

    def name(self, name: str) -> Expr:
        return self.new(ident_expr={"name": name})

    def result(self) -> Expr:
        """What a loop has come to; a node may stand in one place only."""
        return self.name(_RESULT)

    def call(self, function: str, *arguments: Expr) -> Expr:
        return self.new(call_expr={"function": function, "args": arguments})

    def constant(self, **value: Any) -> Expr:
        return self.new(const_expr=value)

    def list_of(self, *elements: Expr) -> Expr:
        return self.new(list_expr={"elements": elements})


def _moved(node: Expr, made: _Maker) -> Expr:
    copy = made.new()
    number = copy.id
    copy.CopyFrom(node)
    copy.id = number
    return copy


def _replace(node: Expr, by: Expr) -> None:
    number = node.id
    node.CopyFrom(by)
    node.id = number


def _loop(node: Expr, made: _Maker) -> Expr:
    """A macro of two variables as the loop that it stands for."""
    call = node.call_expr
    first, second, *steps = call.args
    until, done = made.constant(bool_value=True), made.result()
    if call.function == "all":
        start, step = made.constant(bool_value=True), made.call("_&&_", made.result(), steps[0])
        until = made.call("@not_strictly_false", made.result())
    elif call.function == "exists":
        start, step = made.constant(bool_value=False), made.call("_||_", made.result(), steps[0])
        until = made.call("@not_strictly_false", made.call("!_", made.result()))
    elif call.function == "existsOne":
        start = made.constant(int64_value=0)
        more = made.call("_+_", made.result(), made.constant(int64_value=1))
        step = made.call("_?_:_", steps[0], more, made.result())
        done = made.call("_==_", made.result(), made.constant(int64_value=1))
    else:
        start = made.list_of()
        step = made.call("_+_", made.result(), made.list_of(steps[-1]))
        if len(steps) == 2:
            step = made.call("_?_:_", steps[0], step, made.result())
    return made.new(
        comprehension_expr={
            "iter_var": first.ident_expr.name,
            "iter_var2": second.ident_expr.name,
            "iter_range": call.target,
            "accu_var": _RESULT,
            "accu_init": start,
            "loop_condition": until,
            "loop_step": step,
            "result": done,
        }
    )

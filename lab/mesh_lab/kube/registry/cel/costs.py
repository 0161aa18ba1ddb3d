"""What an expression may cost at most, before there are values: by the limits of the schema that they come from.

The units and formulas are Kubernetes' (`checker.Cost` of cel-go, `library.CostEstimator` of its API server). Where only
the library's checker would know a type, the least that it may be is counted.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#resource-use-by-validation-functions
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from mesh_lab.kube.registry.cel.declared import Declared

if TYPE_CHECKING:
    from cel.expr.syntax_pb2 import Expr

LIMIT = 10_000_000
"""Of one rule, times the number of places that it may be evaluated at."""
TOTAL_LIMIT = 100_000_000
"""Of all rules of a version."""
_LARGEST = 2**64 - 1
_TRAVERSAL = 0.1
_REGEX = 0.25
_NEW_LIST, _NEW_MAP, _NEW_STRUCT = 10, 30, 40
_FORMAT_REGEX = 128
_CHECK = 350_000
_RESULT = "@result"


@dataclass(frozen=True)
class _Value:
    """What is known of a value: its type, its largest size (None: unknown), and its elements."""

    kind: str = ""
    size: int | None = None
    declared: Declared | None = None
    element: _Value | None = None


@dataclass(frozen=True)
class _Priced:
    """A value, and what it costs to have it."""

    value: _Value
    cost: int


_ONE = _Value("bool", 1)


def estimate(expression: Expr, variables: Mapping[str, Declared]) -> int:
    """The most that an expression costs, given the types of its variables."""
    return min(_price(expression, {name: _of(declared) for name, declared in variables.items()}).cost, _LARGEST)


def factor(cost: int, limit: int) -> str:
    """By how much a cost is too high, as Kubernetes writes it."""
    times = cost / limit
    if times > 100:
        return "more than 100x"
    return f"{times:f}x" if times < 1.5 else f"{times:.1f}x"


def _of(declared: Declared) -> _Value:
    return _Value(declared.kind, declared.most, declared)


def _price(node: Expr, scope: Mapping[str, _Value]) -> _Priced:
    kind = node.WhichOneof("expr_kind")
    if kind == "const_expr":
        return _Priced(_constant(node), 0)
    if kind == "ident_expr":
        return _Priced(scope.get(node.ident_expr.name, _Value()), 1)
    if kind == "select_expr":
        return _select(node, scope)
    if kind == "call_expr":
        return _call(node, scope)
    if kind == "list_expr":
        elements = [_price(one, scope) for one in node.list_expr.elements]
        element = elements[0].value if elements else None
        size = len(elements)
        return _Priced(_Value("list", size, element=element), _NEW_LIST + _sum(elements))
    if kind == "struct_expr":
        entries = node.struct_expr.entries
        parts = [_price(one.map_key, scope) for one in entries if one.HasField("map_key")]
        parts += [_price(one.value, scope) for one in entries]
        base = _NEW_STRUCT if node.struct_expr.message_name else _NEW_MAP
        return _Priced(_Value("map", len(entries)), base + _sum(parts))
    if kind == "comprehension_expr":
        return _loop(node, scope)
    return _Priced(_Value(), 0)


def _constant(node: Expr) -> _Value:
    constant = node.const_expr
    kind = constant.WhichOneof("constant_kind")
    if kind == "string_value":
        return _Value("string", len(constant.string_value))
    if kind == "bytes_value":
        return _Value("bytes", len(constant.bytes_value))
    return _Value({"int64_value": "int", "double_value": "double", "bool_value": "bool"}.get(kind or "", ""), 1)


def _select(node: Expr, scope: Mapping[str, _Value]) -> _Priced:
    operand = _price(node.select_expr.operand, scope)
    if node.select_expr.test_only:
        return _Priced(_ONE, operand.cost)
    step = 1 if operand.value.kind in ("map", "object") else 0
    return _Priced(_field(operand.value, node.select_expr.field), operand.cost + step)


def _field(value: _Value, name: str) -> _Value:
    declared = value.declared
    if declared is None:
        return _element(value)
    found = declared.fields.get(name) if declared.kind == "object" else declared.element
    return _of(found) if found is not None else _Value()


def _element(value: _Value) -> _Value:
    if value.declared is not None and value.declared.element is not None:
        return _of(value.declared.element)
    return value.element or _Value()


def _loop(node: Expr, scope: Mapping[str, _Value]) -> _Priced:
    loop = node.comprehension_expr
    ranged, start = _price(loop.iter_range, scope), _price(loop.accu_init, scope)
    if loop.accu_var != _RESULT:
        # cel.bind: the loop is never entered, and its result reads what it begins with.
        result = _price(loop.result, {**scope, loop.accu_var: start.value})
        return _Priced(result.value, ranged.cost + start.cost + result.cost)
    key = _Value("string", 0) if ranged.value.kind == "map" else _Value("int", 1)
    inner = {**scope, loop.accu_var: start.value}
    if loop.iter_var2:
        inner |= {loop.iter_var: key, loop.iter_var2: _element(ranged.value)}
    else:
        inner[loop.iter_var] = key if ranged.value.kind == "map" else _element(ranged.value)
    times = _LARGEST if ranged.value.size is None else ranged.value.size
    each = _price(loop.loop_condition, inner).cost + _price(loop.loop_step, inner).cost
    result = _price(loop.result, {**scope, loop.accu_var: start.value})
    cost = ranged.cost + start.cost + result.cost + times * each
    if start.value.kind != "list":
        return _Priced(start.value, cost)
    return _Priced(_Value("list", times, element=_added(loop.loop_step, inner)), cost)


def _added(step: Expr, scope: Mapping[str, _Value]) -> _Value | None:
    """What each step of a loop adds to a list: `result + [it]`, perhaps under a condition."""
    call = step.call_expr
    if call.function == "_?_:_":
        return _added(call.args[1], scope)
    if call.function == "_+_" and call.args[1].list_expr.elements:
        return _price(call.args[1].list_expr.elements[0], scope).value
    return None


def _call(node: Expr, scope: Mapping[str, _Value]) -> _Priced:
    call = node.call_expr
    arguments = [_price(one, scope) for one in call.args]
    values = [one.value for one in arguments]
    target = _price(call.target, scope) if call.HasField("target") else None
    paid = _sum(arguments) + (target.cost if target is not None else 0)
    if call.function in ("_&&_", "_||_"):
        return _Priced(_ONE, paid)
    if call.function == "_?_:_":
        condition, yes, no = arguments
        sizes = [value.size for value in values[1:] if value.size is not None]
        value = replace(values[1], size=max(sizes) if len(sizes) == 2 else None)
        return _Priced(value, condition.cost + max(yes.cost, no.cost))
    name = "/".join((call.function, "member")) if target is not None else call.function
    operands = [target.value, *values] if target is not None else values
    cost, value = _FUNCTIONS.get(name, _constant_time)(operands)
    return _Priced(value, paid + cost)


_Function = Callable[[Sequence[_Value]], tuple[int, _Value]]


def _size(value: _Value) -> int:
    """The largest size of a value; one that is not known counts as one."""
    return 1 if value.size is None else value.size


def _traversal(size: int, times: float = 1) -> int:
    return ceil(size * times * _TRAVERSAL)


def _constant_time(_operands: Sequence[_Value]) -> tuple[int, _Value]:
    return 1, _Value()


def _compared(operands: Sequence[_Value]) -> tuple[int, _Value]:
    return _traversal(min(map(_size, operands))), _ONE


def _ordered(operands: Sequence[_Value]) -> tuple[int, _Value]:
    texts = any(value.kind in ("string", "bytes") for value in operands)
    return (_traversal(min(map(_size, operands))) if texts else 1), _ONE


def _joined(operands: Sequence[_Value]) -> tuple[int, _Value]:
    first, second = operands
    size = _size(first) + _size(second)
    if "list" in (first.kind, second.kind):
        return 1, replace(first, size=size)
    if {"string", "bytes"} & {first.kind, second.kind}:
        return _traversal(size), _Value("string", size)
    return 1, _Value(first.kind, 1)


def _contained(operands: Sequence[_Value]) -> tuple[int, _Value]:
    return (_size(operands[1]) if operands[1].kind == "list" else 1), _ONE


def _indexed(operands: Sequence[_Value]) -> tuple[int, _Value]:
    return 1, _element(operands[0])


def _kept(operands: Sequence[_Value]) -> tuple[int, _Value]:
    return 1, operands[0]


def _prefixed(operands: Sequence[_Value]) -> tuple[int, _Value]:
    return _traversal(_size(operands[1])), _ONE


def _matched(operands: Sequence[_Value]) -> tuple[int, _Value]:
    cost = _traversal(_size(operands[0]) + 1) * ceil(_size(operands[1]) * _REGEX)
    return cost, _ONE


def _found(operands: Sequence[_Value]) -> tuple[int, _Value]:
    return _matched(operands)[0], _Value("string", _size(operands[0]))


def _searched(operands: Sequence[_Value]) -> tuple[int, _Value]:
    return _traversal(_size(operands[0])) * _traversal(_size(operands[1])), _ONE


def _walked(times: float, kind: str = "string") -> _Function:
    """A function that reads its first operand once or more, and whose result is no larger."""
    return lambda operands: (_traversal(_size(operands[0]), times), _Value(kind, _size(operands[0])))


def _replaced(operands: Sequence[_Value]) -> tuple[int, _Value]:
    text, old, new = (_size(one) for one in operands[:3])
    size = text if new <= old else ceil(text / old) * new if old else (text + 1) * new + text
    return _traversal(text, 2), _Value("string", size)


def _split(operands: Sequence[_Value]) -> tuple[int, _Value]:
    size = _size(operands[0])
    return _traversal(size, 2), _Value("list", size, element=_Value("string", size))


def _list_joined(operands: Sequence[_Value]) -> tuple[int, _Value]:
    count = _size(operands[0])
    between = _size(operands[1]) if len(operands) > 1 else 0
    size = count * _size(_element(operands[0])) + between * max(count - 1, 0)
    return _traversal(size), _Value("string", size)


def _aggregated(operands: Sequence[_Value]) -> tuple[int, _Value]:
    values, element = operands[0], _element(operands[0])
    if values.kind == "string":
        return _traversal(_size(values)), _Value("int", 1)
    each = 1 + (_traversal(_size(element)) if element.kind in ("string", "bytes") else 0)
    return _size(values) * each, element


def _fixed(cost: int, kind: str = "") -> _Function:
    return lambda _: (cost, _Value(kind, 1))


_PARSERS = ("url", "ip", "cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver")
_FUNCTIONS: Mapping[str, _Function] = {
    **dict.fromkeys(("_==_", "_!=_"), _compared),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _ordered),
    "_+_": _joined,
    "@in": _contained,
    **dict.fromkeys(("_[_]", "_[?_]"), _indexed),
    **dict.fromkeys(("orValue/member", "value/member", "dyn", "optional.of"), _kept),
    **dict.fromkeys(("startsWith/member", "endsWith/member"), _prefixed),
    "matches/member": _matched,
    **dict.fromkeys(("find/member", "findAll/member"), _found),
    "contains/member": _searched,
    **dict.fromkeys((f"{name}/member" for name in ("lowerAscii", "upperAscii", "substring", "trim")), _walked(1)),
    **dict.fromkeys(
        ("url", "ip", "cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _walked(1, "")
    ),
    "ip.isCanonical": _walked(2, "bool"),
    "replace/member": _replaced,
    "split/member": _split,
    "join/member": _list_joined,
    **dict.fromkeys(
        (f"{name}/member" for name in ("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf")), _aggregated
    ),
    "size": _fixed(1, "int"),
    "size/member": _fixed(1, "int"),
    "validate/member": lambda operands: (ceil(_traversal(_size(operands[1])) * _FORMAT_REGEX * _REGEX), _Value()),
    "check/member": _fixed(_CHECK),
}


def _sum(parts: Sequence[_Priced]) -> int:
    return sum(part.cost for part in parts)

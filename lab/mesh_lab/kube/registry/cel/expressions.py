"""Expressions of CEL: checked against the types of what they read, and evaluated.

Checking knows types, evaluation does not: an expression is evaluated on plain values
(`mesh_lab.kube.registry.cel.values`), so that one program serves the same text wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from mesh_lab.kube.registry.cel import literals, trees, words
from mesh_lab.kube.registry.cel.environment import duration_message, given, new_environment, timestamp_message
from mesh_lab.kube.registry.cel.library import Overload
from mesh_lab.kube.registry.cel.rewriting import UNREAD, has_two_variables, rewrite

if TYPE_CHECKING:
    from cel.expr.syntax_pb2 import Expr
    from cel_expr_python import cel
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

_PROGRAMS = 4096
_NUMBERS = tuple(
    f"'({one}, {other})'" for one in ("int", "uint", "double") for other in ("int", "uint", "double") if one != other
)
_ORDERED = ("_<_", "_<=_", "_>_", "_>=_")


class CompileError(Exception):
    """An expression that does not compile; the text is what cel-go says of it."""


class EvaluationError(Exception):
    """An expression that has no value; the text is what cel-go says of it."""


class Checker:
    """Checks expressions that read variables of certain types (name to type, as `environment.type_of` reads it)."""

    def __init__(
        self,
        variables: Mapping[str, str],
        messages: FileDescriptorProto | None = None,
        functions: Sequence[Overload] = (),
    ) -> None:
        self._environment = new_environment(variables, messages, functions)

    def check(self, text: str, prefix: str = "", suffix: str = "") -> str:
        """The type of an expression: `BOOL`, `STRING`, `DYN`, ...

        `prefix` and `suffix` are put around it on lines of their own, which errors do not count.

        Raises:
            CompileError: it does not compile.
        """
        tree = parse(text)
        if has_two_variables(tree):
            # The library's checker does not know the macro. What is wrong inside shows when it is evaluated.
            return "DYN"
        whole = f"{prefix}\n{text}\n{suffix}" if prefix else text
        try:
            return str(self._environment.compile(whole).return_type())
        except RuntimeError as error:
            said = str(error)
        if _compares_numbers_only(said):
            return "DYN"
        raise CompileError(words.of_compilation(said, 1 if prefix else 0))


def parse(text: str) -> Expr:
    """The syntax tree of an expression.

    Raises:
        CompileError: it is no expression, or has a macro that the lab cannot evaluate.
    """
    try:
        tree = trees.parsed(_untyped().compile(text, disable_check=True).serialize())
    except RuntimeError as error:
        raise CompileError(words.of_compilation(str(error))) from error
    if why := literals.problem(tree, text):
        raise CompileError(why)
    for node in trees.nodes(tree.expr):
        if node.call_expr.function in UNREAD and node.call_expr.HasField("target"):
            raise CompileError(f"ERROR: <input>: the lab cannot evaluate the macro '{node.call_expr.function}'")
    return tree.expr


class Program:
    """An expression that can be evaluated."""

    def __init__(self, text: str, functions: tuple[Overload, ...] = ()) -> None:
        environment = _untyped(functions)
        tree = trees.parsed(environment.compile(text, disable_check=True).serialize())
        self.reads = trees.identifiers(tree.expr)
        """The names that it reads."""
        self.bare = trees.bare_identifiers(tree.expr)
        """Those of which it does not read a field."""
        rewrite(tree.expr)
        self._compiled: cel.Expression = environment.deserialize(trees.packed(tree))

    def evaluate(self, data: Mapping[str, Any]) -> Any:
        """Its value: what JSON has, or `datetime`, `timedelta`, bytes and messages.

        Raises:
            EvaluationError: it has none.
        """
        try:
            value = self._compiled.eval(data={name: given(one) for name, one in data.items()})
        except (RuntimeError, OverflowError, TypeError, ValueError) as error:
            raise EvaluationError(words.of_evaluation(str(error))) from error
        if str(value.type()) == "ERROR":
            raise EvaluationError(words.of_evaluation(str(value.value())))
        try:
            return value.plain_value()
        except (RuntimeError, TypeError) as error:
            raise EvaluationError(f"a value of type {value.type()} cannot be read: {error}") from error


@lru_cache(maxsize=_PROGRAMS)
def program(text: str, functions: tuple[Overload, ...] = ()) -> Program:
    """The program of an expression that compiles.

    Raises:
        CompileError: it does not compile.
    """
    try:
        return Program(text, functions)
    except RuntimeError as error:
        raise CompileError(words.of_compilation(str(error))) from error


def as_data(value: Any) -> Any:
    """What an expression gave, as data of another one."""
    if isinstance(value, datetime):
        return timestamp_message(value)
    if isinstance(value, timedelta):
        return duration_message(value)
    if isinstance(value, list):
        return [as_data(one) for one in value]
    if isinstance(value, dict):
        return {key: as_data(one) for key, one in value.items()}
    return bytes(value) if isinstance(value, bytearray) else value


@cache
def _untyped(functions: tuple[Overload, ...] = ()) -> cel.Env:
    return new_environment({}, functions=functions)


def _compares_numbers_only(said: str) -> bool:
    """Whether all that the checker complains of is that numbers of two types are compared, as Kubernetes allows."""
    complaints = _complaints(said)
    return bool(complaints) and all(
        any(f"'{operator}'" in one for operator in _ORDERED) and one.endswith(_NUMBERS) for one in complaints
    )


def _complaints(said: str) -> Iterable[str]:
    return [line.rstrip() for line in said.splitlines() if "ERROR: <input>:" in line]

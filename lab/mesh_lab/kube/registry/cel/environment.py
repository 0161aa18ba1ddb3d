"""Environments of CEL: what expressions are compiled in, with Kubernetes' functions and types.

The library is imported with the first expression, not with this module: a lab without rules goes without it.
https://pkg.go.dev/k8s.io/apiserver/pkg/cel/environment
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mesh_lab.kube.registry.cel.library import FUNCTIONS, Opaque, Overload, authorizers

if TYPE_CHECKING:
    from cel_expr_python import cel
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.message import Message

OPAQUE_TYPES = (
    "kubernetes.Quantity",
    "kubernetes.URL",
    "kubernetes.NamedFormat",
    "kubernetes.Semver",
    "net.IP",
    "net.CIDR",
    *authorizers.TYPES,
)
"""Kubernetes' types, each a message with one text: the only values of a type of one's own that functions may return."""


def new_environment(
    variables: Mapping[str, str], messages: FileDescriptorProto | None = None, functions: Sequence[Overload] = ()
) -> cel.Env:
    """An environment with variables (name to type), the message types of a file, and further functions."""
    from cel_expr_python import cel

    return cel.NewEnv(
        descriptor_pool=_pool(messages),
        extensions=_extensions(),
        variables={name: type_of(written) for name, written in variables.items()},
        functions=_declared((*FUNCTIONS, *functions)),
    )


def type_of(written: str) -> cel.Type:
    """A type as CEL's messages write it: `int`, `list(string)`, `map(string, dyn)`, or the name of a message.

    Raises:
        ValueError: it is not written so.
    """
    from cel_expr_python import cel

    head, bracket, inner = written.partition("(")
    if not bracket:
        return cel.Type(_WELL_KNOWN.get(head, head))
    inner = inner.removesuffix(")")
    if head == "list":
        return cel.Type.List(type_of(inner))
    if head == "map":
        key, _, value = inner.partition(", ")
        return cel.Type.Map(type_of(key), type_of(value))
    raise ValueError(f"{written} is no type")


_WELL_KNOWN = {"timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}


@cache
def _extensions() -> list[Any]:
    from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

    return [
        ext_bindings.ExtBindings(),
        ext_encoders.ExtEncoders(),
        ext_math.ExtMath(),
        ext_optional.ExtOptional(),
        ext_strings.ExtStrings(),
    ]


@cache
def _opaque_file() -> list[FileDescriptorProto]:
    """The messages of Kubernetes' types, by package."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

    files: dict[str, FileDescriptorProto] = {}
    for full in OPAQUE_TYPES:
        package, _, name = full.rpartition(".")
        file = files.setdefault(package, FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3"))
        message = file.message_type.add(name=name)
        message.field.add(
            name="text",
            number=1,
            type=FieldDescriptorProto.TYPE_STRING,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )
    return list(files.values())


def _pool(messages: FileDescriptorProto | None) -> Any:
    from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
    from google.protobuf.descriptor_pool import DescriptorPool

    pool = DescriptorPool()
    for module in (duration_pb2, struct_pb2, timestamp_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    for file in (*_opaque_file(), *([messages] if messages is not None else ())):
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def _opaque_classes() -> Mapping[str, type[Message]]:
    from google.protobuf.message_factory import GetMessageClass

    pool = _pool(None)
    return {name: GetMessageClass(pool.FindMessageTypeByName(name)) for name in OPAQUE_TYPES}


def _declared(functions: Sequence[Overload]) -> list[cel.FunctionDecl]:
    from cel_expr_python import cel

    ordered = sorted(functions, key=lambda each: each.name)
    return [
        cel.FunctionDecl(name, _overloads(list(group))) for name, group in groupby(ordered, key=lambda each: each.name)
    ]


def _overloads(functions: Sequence[Overload]) -> list[cel.Overload]:
    """Overloads of one name. Where the library cannot tell some apart at run time, the first one's call serves all."""
    from cel_expr_python import cel

    seen: set[tuple[Any, ...]] = set()
    made = []
    for each in functions:
        shapes = (each.member, *map(_shape, each.parameters))
        call = {} if shapes in seen else {"impl": _adapted(each.call)}
        seen.add(shapes)
        made.append(
            cel.Overload(
                f"{each.name}({', '.join(each.parameters)})",
                return_type=type_of(each.result),
                parameters=[type_of(one) for one in each.parameters],
                is_member=each.member,
                **call,
            )
        )
    return made


def _shape(written: str) -> str:
    """What the library sees of a parameter's type when it calls a function."""
    head = written.partition("(")[0]
    return "message" if head in OPAQUE_TYPES else head


def _adapted(call: Callable[..., Any]) -> Callable[..., Any]:
    """A function as the library calls it, with messages in place of Kubernetes' types."""

    def adapted(*arguments: Any) -> Any:
        return given(call(*map(_taken, arguments)))

    return adapted


def _taken(value: Any) -> Any:
    descriptor = getattr(value, "DESCRIPTOR", None)
    if descriptor is not None:
        return Opaque(descriptor.full_name, value.text)
    if isinstance(value, bytearray):
        return bytes(value)
    return value


def given(value: Any) -> Any:
    """What a function returns, or an expression is given, as the library takes it."""
    if isinstance(value, Opaque):
        return _opaque_classes()[value.type](text=value.text)
    if isinstance(value, list):
        return [given(one) for one in value]
    if isinstance(value, timedelta):
        return duration_message(value)
    if isinstance(value, datetime):
        return timestamp_message(value)
    return value


def timestamp_message(value: datetime) -> Message:
    """A time, as the library takes it inside of lists and maps."""
    from google.protobuf.timestamp_pb2 import Timestamp

    message = Timestamp()
    message.FromDatetime(value)
    return message


def duration_message(value: timedelta) -> Message:
    """A duration, as the library takes it inside of lists and maps."""
    from google.protobuf.duration_pb2 import Duration

    message = Duration()
    message.FromTimedelta(value)
    return message

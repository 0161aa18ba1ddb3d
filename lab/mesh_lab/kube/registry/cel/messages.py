"""Declared types as protobuf messages, by which the CEL library checks what expressions do with fields.

Only checking uses them; expressions are evaluated on maps, which tell absent fields from empty ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesh_lab.kube.registry.cel.declared import Declared

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

_MESSAGES = {
    "list": ".google.protobuf.ListValue",
    "map": ".google.protobuf.Struct",
    "dyn": ".google.protobuf.Value",
    "timestamp": ".google.protobuf.Timestamp",
    "duration": ".google.protobuf.Duration",
}


class Messages:
    """The file of message types that declared types need; `type_of` adds to it."""

    def __init__(self) -> None:
        from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

        self._field = FieldDescriptorProto
        self._scalars = {
            "string": FieldDescriptorProto.TYPE_STRING,
            "bytes": FieldDescriptorProto.TYPE_BYTES,
            "bool": FieldDescriptorProto.TYPE_BOOL,
            "int": FieldDescriptorProto.TYPE_INT64,
            "double": FieldDescriptorProto.TYPE_DOUBLE,
        }
        self.file: FileDescriptorProto = FileDescriptorProto(
            name="schema.proto",
            syntax="proto2",
            dependency=[f"google/protobuf/{name}.proto" for name in ("struct", "timestamp", "duration")],
        )
        self._names: dict[int, str] = {}
        self._kept: list[Declared] = []

    def type_of(self, declared: Declared) -> str:
        """The type as `environment.type_of` reads it."""
        if declared.kind == "list":
            return f"list({self.type_of(_element(declared))})"
        if declared.kind == "map":
            return f"map(string, {self.type_of(_element(declared))})"
        return self._message(declared) if declared.kind == "object" else declared.kind

    def _message(self, declared: Declared) -> str:
        known = self._names.get(id(declared))
        if known is not None:
            return known
        name = self._names[id(declared)] = f"object{len(self._names)}"
        self._kept.append(declared)
        message = self.file.message_type.add(name=name)
        # Fields such as fooBar and foo_bar may stand beside each other here.
        message.options.deprecated_legacy_json_field_conflicts = True
        for number, (field, one) in enumerate(declared.fields.items(), 1):
            self._add_field(message, name, number, field, one)
        return name

    def _add_field(self, message: DescriptorProto, owner: str, number: int, name: str, declared: Declared) -> None:
        field = message.field.add(name=name, number=_number(number), json_name=f"f{number}")
        field.label = self._field.LABEL_OPTIONAL
        entry = _entry_name(name)
        if declared.kind == "map" and all(one.name != entry for one in message.nested_type):
            self._add_entry(message, entry, _element(declared))
            field.label, field.type = self._field.LABEL_REPEATED, self._field.TYPE_MESSAGE
            field.type_name = f".{owner}.{entry}"
            return
        if declared.kind == "list" and _element(declared).kind not in ("list", "map"):
            field.label = self._field.LABEL_REPEATED
            declared = _element(declared)
        kind, type_name = self._kind(declared)
        field.type = kind
        if type_name:
            field.type_name = type_name

    def _add_entry(self, message: DescriptorProto, name: str, element: Declared) -> None:
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        key = entry.field.add(name="key", number=1, type=self._field.TYPE_STRING, label=self._field.LABEL_OPTIONAL)
        key.json_name = "key"
        value = entry.field.add(name="value", number=2, label=self._field.LABEL_OPTIONAL, json_name="value")
        kind, type_name = self._kind(element)
        value.type = kind
        if type_name:
            value.type_name = type_name

    def _kind(self, declared: Declared) -> tuple[Any, str]:
        """The type of a field with one value. Lists and maps within others lose what they hold, for want of a type."""
        if declared.kind in self._scalars:
            return self._scalars[declared.kind], ""
        if declared.kind == "object":
            return self._field.TYPE_MESSAGE, f".{self._message(declared)}"
        return self._field.TYPE_MESSAGE, _MESSAGES[declared.kind]


def _element(declared: Declared) -> Declared:
    assert declared.element is not None
    return declared.element


def _number(count: int) -> int:
    """The number of the n-th field: protobuf keeps some for itself."""
    return count if count < 19000 else count + 1000


def _entry_name(field: str) -> str:
    """The name that protobuf wants of the entries of a map. Two fields may come to the same one."""
    return "".join(word[:1].upper() + word[1:] for word in field.split("_")) + "Entry"

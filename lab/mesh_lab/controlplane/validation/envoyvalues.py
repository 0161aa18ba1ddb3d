"""Envoy's own messages, as an EnvoyFilter writes them: from JSON, with the types that `@type` names.

Envoy has more than a thousand types of configuration. Their descriptors take memory, so that those of an extension are
loaded when a resource first names one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pool, json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mesh_lab.controlplane.model.envoyfilter import ApplyTo

_LISTENER = "envoy.config.listener.v3"
_ROUTE = "envoy.config.route.v3"
_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3"

SUBJECTS: Mapping[ApplyTo, str] = {
    "LISTENER": f"{_LISTENER}.Listener",
    "FILTER_CHAIN": f"{_LISTENER}.FilterChain",
    "LISTENER_FILTER": f"{_LISTENER}.ListenerFilter",
    "NETWORK_FILTER": f"{_LISTENER}.Filter",
    "HTTP_FILTER": f"{_MANAGER}.HttpFilter",
    "ROUTE_CONFIGURATION": f"{_ROUTE}.RouteConfiguration",
    "VIRTUAL_HOST": f"{_ROUTE}.VirtualHost",
    "HTTP_ROUTE": f"{_ROUTE}.Route",
    "CLUSTER": "envoy.config.cluster.v3.Cluster",
    "EXTENSION_CONFIG": "envoy.config.core.v3.TypedExtensionConfig",
    "BOOTSTRAP": "envoy.config.bootstrap.v3.Bootstrap",
}
"""The type of a patch's value."""

_NAME = re.compile(r"(envoy|udpa|xds|google)(\.[a-z][a-z0-9_]*)+(\.[A-Z][A-Za-z0-9_]*)+")
_AT = re.compile(r' at "?[A-Z]\w*((?:\.\w+|\[[^\]]*\])*)')
_WITHIN = re.compile(r"Failed to parse (\w+) field: ")
_STRUCTS = ("udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct")
_FROZEN = 1  # udpa.annotations.FROZEN: a version of Envoy's API that is no more developed


_DEADLY: Mapping[str, str] = {f"{_LISTENER}.AdditionalAddress": "address"}
"""Messages without a field that Envoy's own rules do not ask for, and without which it crashes instead of a NACK."""


class BadValueError(ValueError):
    """JSON that is no such message. `path` is the field, from the value on; empty where it is the value itself."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


def message_type(name: str) -> type[Message] | None:
    """The type with a full name, such as `envoy.config.core.v3.Address`; None when there is no such type here."""
    if not _NAME.fullmatch(name):
        return None
    pool = descriptor_pool.Default()
    for module in ("", *_modules(name)):
        if module:
            import_module(module)
        try:
            return GetMessageClass(pool.FindMessageTypeByName(name))
        except KeyError:
            continue
    return None


def _modules(name: str) -> Iterator[str]:
    """The modules in which a type may be defined: a package's types are spread over its files."""
    package = ".".join(part for part in name.split(".") if part[0].islower())
    try:
        found = sorted(each.name for each in files(package).iterdir() if each.name.endswith("_pb2.py"))
    except (ModuleNotFoundError, TypeError):
        return
    yield from (f"{package}.{module.removesuffix('.py')}" for module in found)


def read(apply_to: ApplyTo, value: Mapping[str, Any], *, strict: bool = False) -> Message:
    """A patch's value as Envoy's message. Without `strict`, fields that are unknown here are left out, as in Istio.

    Raises:
        BadValueError: it is no such message.
    """
    kind = message_type(SUBJECTS[apply_to])
    if kind is None:  # pragma: no cover - the table names types of the package that is installed
        raise BadValueError("", f"Envoy's type {SUBJECTS[apply_to]} is missing")
    for path, url in _named(value, ""):
        name = url.rpartition("/")[2]
        if message_type(name) is None:
            hint = " (hint: try using the v3 XDS API)" if ".v2." in name else ""
            raise BadValueError(path, f"referenced type unknown{hint}: {url}")
    result = kind()
    try:
        json_format.ParseDict(dict(value), result, ignore_unknown_fields=not strict)
    except (json_format.Error, ValueError, TypeError, AttributeError, RecursionError) as failure:
        raise _bad(str(failure)) from None
    for path, url, inner in _structs(value, ""):
        _check_struct(path, url, inner)
    return result


def _check_struct(path: str, url: str, value: Mapping[str, Any]) -> None:
    """Envoy reads a TypedStruct's value as the type that it names. One that is unknown here is for Envoy to judge."""
    kind = message_type(url.rpartition("/")[2])
    if kind is None:
        return
    try:
        json_format.ParseDict(dict(value), kind(), ignore_unknown_fields=True)
    except (json_format.Error, ValueError, TypeError, AttributeError, RecursionError) as failure:
        bad = _bad(str(failure))
        raise BadValueError(f"{path}{bad.path}", bad.message) from None


def _structs(value: object, path: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The TypedStructs within JSON: the field of the value, its type, and the value."""
    if isinstance(value, Mapping):
        url, inner = value.get("type_url", value.get("typeUrl")), value.get("value")
        if str(value.get("@type")).endswith(_STRUCTS) and isinstance(url, str) and isinstance(inner, Mapping):
            yield f"{path}.value", url, inner
        for name, part in value.items():
            yield from _structs(part, f"{path}.{name}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _structs(part, f"{path}[{index}]")


def _named(value: object, path: str) -> Iterator[tuple[str, str]]:
    """The types that are named within JSON, by the field that does."""
    if isinstance(value, Mapping):
        if isinstance(url := value.get("@type"), str):
            yield f"{path}.@type", url
        for name, part in value.items():
            yield from _named(part, f"{path}.{name}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _named(part, f"{path}[{index}]")


def _bad(text: str) -> BadValueError:
    """The parser's complaint, whose words for the field differ from one check to another."""
    first = text.partition("\n")[0]
    if (at := _AT.search(first)) is not None:
        return BadValueError(at.group(1), _WITHIN.sub("", first[: at.start()]))
    fields = _WITHIN.findall(first)
    return BadValueError("".join(f".{name}" for name in fields), _WITHIN.sub("", first).rstrip("."))


def deprecated_types(message: Message) -> Iterator[str]:
    """The types in it of versions that Envoy develops no more."""
    from udpa.annotations import status_pb2

    for part in _parts(message):
        if isinstance(part, AnyMessage) and (kind := message_type(part.TypeName())) is not None:
            options = kind.DESCRIPTOR.file.GetOptions()
            if options.Extensions[status_pb2.file_status].package_version_status == _FROZEN:
                yield part.type_url


def deadly(message: Message) -> Iterator[str]:
    """What in it Envoy would not reject but crash of."""
    for part in _parts(message, lists=True):
        wanted = _DEADLY.get(part.DESCRIPTOR.full_name)
        if wanted is not None and not part.HasField(wanted):
            yield f"{part.DESCRIPTOR.name} without {wanted}"


def untyped(message: Message) -> Iterator[str]:
    """The names of extensions in it that have no `typed_config`, by which Envoy would know them."""
    for part in _parts(message):
        fields = part.DESCRIPTOR.fields_by_name
        if "typed_config" in fields and "name" in fields and not part.HasField("typed_config"):
            if "config_discovery" in fields and part.HasField("config_discovery"):
                continue
            yield str(getattr(part, "name", ""))


def _parts(message: Message, *, lists: bool = False) -> Iterator[Message]:
    """A message, and those in its fields; in lists of them only where asked for, since Istio leaves those out."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if not field.is_repeated:
            yield from _parts(value, lists=lists)
        elif lists:
            for each in value:
                yield from _parts(each, lists=True)

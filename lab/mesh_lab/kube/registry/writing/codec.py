"""From what a client sends to what is kept: the schema is checked, unknown fields go, defaults come."""

from __future__ import annotations

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, Cause, bad_request
from mesh_lab.kube.registry.custom import values as custom_values
from mesh_lab.kube.registry.custom.definitions import Definition
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.registry.options import FieldValidation, WriteOptions
from mesh_lab.kube.registry.table import ResourceTable
from mesh_lab.kube.registry.writing import structure
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.schemas import OBJECT_META, Schema, builtin_schema, named_schema


class Codec:
    """Decodes objects of any resource in the table."""

    def __init__(self, resources: ResourceTable) -> None:
        self._resources = resources

    def decode(self, resource: Resource, obj: Object, options: WriteOptions) -> Object:
        """A new object with its defaults, in the version that is stored.

        Raises:
            ApiError: 400, it is of another kind or does not fit the schema.
        """
        _check_kind(resource, obj)
        definition = self._resources.definition(resource)
        schema = self._resources.schema(resource)
        if definition is None:
            new = decode_builtin(schema, obj, resource.api_version, resource.kind, options)
            behaviour_of(resource).fill_defaults(new)
        else:
            new = _decode_custom(schema, obj, resource, definition, options)
        return {"kind": resource.kind, "apiVersion": new.get("apiVersion", resource.api_version), **new}

    def decode_partial(self, resource: Resource, obj: Object, options: WriteOptions) -> Object:
        """What a client says of an object, and no more: as `decode`, without defaults and in the client's version.

        Raises:
            ApiError: 400, it is of another kind or does not fit the schema.
        """
        _check_kind(resource, obj)
        schema = self._resources.schema(resource)
        if self._resources.is_custom(resource):
            new = _prune_custom(schema, obj, resource, options)
        else:
            new = decode_builtin(schema, obj, resource.api_version, resource.kind, options)
        return {**new, "kind": resource.kind, "apiVersion": resource.api_version}


def decode_kind(obj: Object, api_version: str, kind: str, options: WriteOptions) -> Object:
    """A built-in object that is no resource of its own, such as a `Scale` or an `Eviction`.

    Raises:
        ApiError: 400, it does not fit the schema.
        KeyError: there is no such kind.
    """
    new = decode_builtin(builtin_schema(api_version, kind), obj, api_version, kind, options)
    return {**new, "kind": kind, "apiVersion": api_version}


def decode_builtin(schema: Schema, obj: Object, api_version: str, kind: str, options: WriteOptions) -> Object:
    """A copy of an object of a built-in kind without what its schema does not know.

    Raises:
        ApiError: 400, a value has the wrong type, or (strict) a field is unknown.
    """
    try:
        new, unknown = structure.decode(schema, obj)
    except structure.DecodeError as error:
        raise _undecodable(kind, api_version, str(error), (Cause(error.field, str(error)),)) from error
    _report_unknown(kind, api_version, unknown, options)
    decoded: Object = new
    decoded.setdefault("metadata", {})
    return decoded


def _decode_custom(
    schema: Schema, obj: Object, resource: Resource, definition: Definition, options: WriteOptions
) -> Object:
    new = _prune_custom(schema, obj, resource, options)
    new["apiVersion"] = definition.stored_api_version()
    custom_values.fill_defaults(schema, new)
    return new


def _prune_custom(schema: Schema, obj: Object, resource: Resource, options: WriteOptions) -> Object:
    unknown: list[str] = []
    new: Object = custom_values.prune(schema, obj, "", unknown)
    try:
        meta, unknown_meta = structure.decode(named_schema(OBJECT_META), obj.get("metadata") or {})
    except structure.DecodeError as error:
        cause = Cause(f"metadata.{error.field}", str(error))
        raise _undecodable(resource.kind, resource.api_version, str(error), (cause,)) from error
    unknown = [path for path in unknown if not path.startswith("metadata.")]
    unknown += [f"metadata.{path}" for path in unknown_meta]
    _report_unknown(resource.kind, resource.api_version, unknown, options)
    new["metadata"] = meta
    return new


def _check_kind(resource: Resource, obj: Object) -> None:
    version, kind = obj.get("apiVersion") or resource.api_version, obj.get("kind") or resource.kind
    if kind != resource.kind:
        raise bad_request(
            f"{kind} in version {version!r} cannot be handled as a {resource.kind}: "
            f"the request is for {resource.plural}, whose kind is {resource.kind}"
        )
    if version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )


def _report_unknown(kind: str, api_version: str, unknown: list[str], options: WriteOptions) -> None:
    found = [(path, f'unknown field "{path}"') for path in unknown]
    found += [(path, f'duplicate field "{path}"') for path in options.repeated]
    if not found or options.field_validation is FieldValidation.IGNORE:
        return
    if options.field_validation is FieldValidation.STRICT:
        causes = tuple(Cause(path, words, "FieldValueInvalid") for path, words in found)
        why = f"strict decoding error: {', '.join(words for _, words in found)}"
        raise _undecodable(kind, api_version, why, causes)
    for _, words in found:
        options.warn(words)


def _undecodable(kind: str, api_version: str, why: str, causes: tuple[Cause, ...]) -> ApiError:
    version = api_version.rpartition("/")[2]
    text = f'{kind} in version "{version}" cannot be handled as a {kind}: {why}'
    return ApiError(400, "BadRequest", text, causes=causes)

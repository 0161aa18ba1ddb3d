"""What the API server itself keeps in an object's metadata, and what it asks of the rest.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#metadata
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, Cause, bad_request, conflict, invalid, not_found
from mesh_lab.kube.registry.rules.labels import validate_labels
from mesh_lab.kube.registry.syntax import names
from mesh_lab.kube.resources import Resource
from mesh_lab.rfc3339 import timestamp

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED_PREFIX = 58
_ANNOTATIONS_LIMIT = 256 * 1024
_SYSTEM_FIELDS = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "selfLink")

# Built-in finalizers have no domain; all others must.
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def require_metadata(obj: Object) -> dict[str, Any]:
    """The object's metadata, made when missing."""
    metadata: dict[str, Any] = obj.setdefault("metadata", {})
    return metadata


def settle_namespace(resource: Resource, obj: Object, asked: str) -> str:
    """Put the namespace that the request names into the object, and return it.

    Raises:
        ApiError: 400, they differ, or a namespaced kind has none.
    """
    metadata = require_metadata(obj)
    if not resource.namespaced:
        if metadata.pop("namespace", ""):
            raise bad_request("namespace: must not be set on a cluster-scoped object")
        return ""
    own = metadata.get("namespace") or asked
    if asked and own != asked:
        raise bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request: {own} != {asked}"
        )
    if not own:
        raise bad_request(f"an empty namespace may not be set during creation of {resource.plural}")
    metadata["namespace"] = own
    return str(own)


def prepare_create(obj: Object, *, counts: bool) -> None:
    """Fill in what the server decides: uid and creation time; forget what a client may not decide."""
    metadata = require_metadata(obj)
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for field in (*_SYSTEM_FIELDS, "deletionGracePeriodSeconds", "managedFields"):
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp()
    if counts:
        metadata["generation"] = 1
    _tidy(metadata)


def generated_name(prefix: str) -> str:
    """A name that begins with `generateName`'s prefix, with five characters that make it most likely unique."""
    suffix = "".join(random.choices(_ALPHABET, k=5))
    return prefix[:_MAX_GENERATED_PREFIX] + suffix


def carry_over(resource: Resource, new: Object, old: Object) -> None:
    """Keep in an updated object what only the server changes.

    Raises:
        ApiError: 409, the caller means an object that was there earlier, or an earlier state of it.
    """
    metadata, before = require_metadata(new), old["metadata"]
    name = before["name"]
    for field in ("name", "namespace"):
        given = metadata.get(field)
        if given and given != before.get(field, ""):
            raise bad_request(
                f"the {field} of the object ({given}) does not match the {field} on the URL ({before.get(field, '')})"
            )
    if (uid := metadata.get("uid")) and uid != before["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
        raise conflict(resource.plural, name, why, resource.group)
    version = metadata.get("resourceVersion")
    if version and version != before["resourceVersion"]:
        why = "the object has been modified; please apply your changes to the latest version and try again"
        raise conflict(resource.plural, name, why, resource.group)
    for field in (*_SYSTEM_FIELDS, "deletionGracePeriodSeconds", "generateName", "name", "namespace"):
        if field in before:
            metadata[field] = before[field]
        else:
            metadata.pop(field, None)
    _tidy(metadata)


def _tidy(metadata: dict[str, Any]) -> None:
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        if field in metadata and not metadata[field]:
            del metadata[field]


def check_preconditions(resource: Resource, obj: Object, uid: str, resource_version: str) -> None:
    """Hold an object to a delete's preconditions.

    Raises:
        ApiError: 409, one does not hold.
    """
    metadata = obj["metadata"]
    for label, asked, found in (
        ("UID", uid, metadata["uid"]),
        ("ResourceVersion", resource_version, metadata["resourceVersion"]),
    ):
        if asked and asked != found:
            why = f"Precondition failed: {label} in precondition: {asked}, {label} in object meta: {found}"
            raise conflict(resource.plural, metadata["name"], why, resource.group)


def validate_metadata(obj: Object, name_problem: Callable[[str], str]) -> Iterator[Cause]:
    """Everything that is wrong with an object's metadata; `name_problem` says what is wrong with a name."""
    metadata = obj["metadata"]
    name = metadata.get("name", "")
    if not name:
        yield Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
    elif problem := name_problem(name):
        yield Cause("metadata.name", f'Invalid value: "{name}": {problem}')
    yield from validate_labels(metadata.get("labels") or {}, "metadata.labels")
    yield from _validate_annotations(metadata.get("annotations") or {})
    yield from validate_finalizers(metadata.get("finalizers") or (), "metadata.finalizers")
    yield from _validate_owners(metadata.get("ownerReferences") or ())


def validate_finalizers(finalizers: Iterable[str], at: str) -> Iterator[Cause]:
    """Everything that is wrong with a list of finalizers at `at`."""
    for index, finalizer in enumerate(finalizers):
        path = f"{at}[{index}]"
        if problem := names.qualified_name_problem(finalizer):
            yield Cause(path, f'Invalid value: "{finalizer}": {problem}')
        elif "/" not in finalizer and "." not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            words = "name is neither a standard finalizer name nor is it fully qualified"
            yield Cause(path, f'Invalid value: "{finalizer}": {words}')


def validate_metadata_update(new: Object, old: Object) -> Iterator[Cause]:
    """What is wrong with a change of metadata: an object that is being deleted takes no new finalizers."""
    if not old["metadata"].get("deletionTimestamp"):
        return
    present = old["metadata"].get("finalizers") or []
    more = [f for f in new["metadata"].get("finalizers") or () if f not in present]
    if more:
        words = "no new finalizers can be added if the object is being deleted, found new finalizers"
        yield Cause("metadata.finalizers", f"Forbidden: {words} {more}", "FieldValueForbidden")


def _validate_annotations(annotations: dict[str, str]) -> Iterator[Cause]:
    path = "metadata.annotations"
    for key in annotations:
        # Keys of annotations may have upper-case letters in their prefix.
        if problem := names.qualified_name_problem(key.lower()):
            yield Cause(path, f'Invalid value: "{key}": {problem}')
    if sum(len(k) + len(v) for k, v in annotations.items()) > _ANNOTATIONS_LIMIT:
        yield Cause(path, f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes", "FieldValueTooLong")


def _validate_owners(owners: Any) -> Iterator[Cause]:
    controllers = []
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield Cause(f"{path}.{field}", "Required value: must not be empty", "FieldValueRequired")
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind')}/{owner.get('name')}")
    if len(controllers) > 1:
        found = f'Found "true" in references for {" and ".join(controllers)}'
        words = f"Only one reference can have Controller set to true. {found}"
        yield Cause("metadata.ownerReferences", f"Invalid value: {words}")


def missing(resource: Resource, name: str) -> ApiError:
    """404 for an object of this resource."""
    return not_found(resource.plural, name, resource.group)


def needs_version(resource: Resource, name: str) -> ApiError:
    """422 for a replacement that does not say which state it replaces.

    It names the resource where others have the kind, as a real server's does.
    """
    cause = Cause("metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update")
    return invalid(resource.plural, name, (cause,), resource.group)
